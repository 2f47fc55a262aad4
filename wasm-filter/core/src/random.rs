//! Ids that never repeat: a keyed hash of a counter.
//!
//! The key comes from the proxy's own random generator, fresh for each VM, so that two workers, two
//! proxies, and a VM before and after its reload mint from unrelated sequences. A keyed hash rather
//! than a plain generator: whoever sees some ids, as each service does, cannot tell the next ones.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use syntrace_model::{SpanId, TraceId};

/// Bytes of the seed: the key of the hash.
pub(crate) const SEED_BYTES: usize = 16;

/// Mints ids.
#[derive(Debug)]
pub(crate) struct IdSource {
    key: [u8; SEED_BYTES],
    minted: u64,
}

// === impl IdSource ===

impl IdSource {
    pub(crate) const fn new(seed: [u8; SEED_BYTES]) -> Self {
        Self {
            key: seed,
            minted: 0,
        }
    }

    /// Mints the id of a trace.
    pub(crate) fn trace_id(&mut self) -> TraceId {
        loop {
            if let Some(id) = TraceId::new(self.next()) {
                return id;
            }
        }
    }

    /// Mints the id of a span.
    pub(crate) fn span_id(&mut self) -> SpanId {
        loop {
            let [low @ .., _, _, _, _, _, _, _, _] = self.next();
            if let Some(id) = SpanId::new(low) {
                return id;
            }
        }
    }

    /// Mints the epoch of a sender.
    pub(crate) fn epoch(&mut self) -> u64 {
        u64::from_be_bytes(self.span_id().to_bytes())
    }

    fn next(&mut self) -> [u8; 16] {
        self.minted = self.minted.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(self.minted);
        hasher.finish128().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_id_repeats_within_a_source_or_between_two() {
        let mut sources = [IdSource::new([1; 16]), IdSource::new([2; 16])];
        let mut ids = BTreeSet::new();
        for _ in 0..1_000 {
            for source in &mut sources {
                assert!(ids.insert(source.trace_id()));
            }
        }
    }
}
