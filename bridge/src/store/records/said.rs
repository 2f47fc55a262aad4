//! A record's answer as bytes: its numbers where it has them, else its words.

use syntrace_core::answer::{Ground, Most, Sentence};

use crate::store::codec::Code;

impl Code for Sentence {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Words(words) => {
                false.put(to);
                words.put(to);
            }
            Self::Completed { total_ns, most } => {
                true.put(to);
                total_ns.put(to);
                most.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Self::Completed {
                total_ns: Code::take(from)?,
                most: Code::take(from)?,
            }
        } else {
            Self::Words(Code::take(from)?)
        })
    }
}

impl Code for Most {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Of { party, ns } => {
                0_u8.put(to);
                party.put(to);
                ns.put(to);
            }
            Self::Unreported => 1_u8.put(to),
            Self::Unaccounted { ns } => {
                2_u8.put(to);
                ns.put(to);
            }
            Self::Doubtful => 3_u8.put(to),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(Self::Of {
                party: Code::take(from)?,
                ns: Code::take(from)?,
            }),
            1 => Some(Self::Unreported),
            2 => Some(Self::Unaccounted {
                ns: Code::take(from)?,
            }),
            3 => Some(Self::Doubtful),
            _ => None,
        }
    }
}

impl Code for Ground {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Words(words) => {
                false.put(to);
                words.put(to);
            }
            Self::Status(status) => {
                true.put(to);
                status.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Self::Status(Code::take(from)?)
        } else {
            Self::Words(Code::take(from)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use syntrace_core::answer::Party;

    use super::*;
    use crate::store::codec::{decode, encode};

    #[test]
    fn what_an_answer_says_is_read_again_as_it_was_written() {
        let party = Party::Service;
        let most = [
            Most::Of { party, ns: 700 },
            Most::Unreported,
            Most::Unaccounted { ns: 1 << 40 },
            Most::Doubtful,
        ];
        let completed = most.map(|most| Sentence::Completed {
            total_ns: 1_000,
            most,
        });
        for sentence in completed.into_iter().chain(["".into(), "Gone".into()]) {
            assert_eq!(decode(&encode(&sentence)), Some(sentence));
        }
        for ground in [Ground::Status(0), Ground::Status(503), "errno=111".into()] {
            assert_eq!(decode(&encode(&ground)), Some(ground));
        }
        assert_eq!(decode::<Most>(&[4]), None);
    }
}
