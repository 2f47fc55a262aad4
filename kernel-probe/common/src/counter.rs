//! What the programs count: slots of the `COUNTERS` map, and their names outside.

/// Declares the counters in slot order.
macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $loss:literal;)+) => {
        /// One slot of the `COUNTERS` map: counted since load, one number per CPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $variant,)+
        }

        impl Counter {
            /// All counters, in slot order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns whether each count is a snapshot or a connection that is never reported.
            #[must_use]
            pub const fn is_loss(self) -> bool {
                match self {
                    $(Self::$variant => $loss,)+
                }
            }
        }
    };
}

counters! {
    /// A snapshot found the ring buffer full.
    RingFull = "ring_full", true;
    /// A connection could not be kept with its socket.
    StorageFull = "storage_full", true;
    /// A handshake could not be kept by its cookie.
    HandshakeFull = "handshake_full", true;
    /// A connection that ended well was not of the sample.
    SampledOut = "sampled_out", false;
    /// A segment had no room for the tag.
    ReserveFailed = "tag_reserve_failed", false;
    /// The tag could not be written into the room reserved for it.
    StoreFailed = "tag_store_failed", false;
    /// A SYN went untagged, because its destination is not known to pass the option.
    TagWithheld = "tag_withheld", false;
    /// A SYN was answered by a cookie, and its tag is lost: it could not be asked for, or not be sent again.
    SynCookie = "tag_lost_to_syn_cookie", false;
    /// A SYN was answered by a cookie, and its tag asked for again.
    TagAskedAgain = "tag_asked_again", false;
    /// A tag came again, with the segment that ends the handshake.
    TagSentAgain = "tag_sent_again", false;
    /// A tag came from a network that is not believed.
    TagForeign = "tag_from_foreign_network", false;
    /// A tag's MAC was not valid.
    TagForged = "tag_mac_invalid", false;
    /// A tag was borne a second time.
    TagReplayed = "tag_replayed", false;
    /// An option was ours by its ExID, but not of a tag's length, or its id was all zero.
    TagMalformed = "tag_malformed", false;
    /// An option of the tag's kind belongs to another experiment.
    TagOfOthers = "tag_of_other_experiment", false;
}

impl Counter {
    /// Returns the slot.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dense_and_in_order() {
        for (at, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter.slot() as usize, at);
        }
    }
}
