//! The programs' orders: as long as they are renewed, programs may write, and they report as much
//! as they are told.

use std::time::Duration;

use syntrace_ebpf_common::Config;
use syntrace_proto::{Clock, Sampling};

use crate::{clock, loader::ConfigMap};

/// How often the lease is to be renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How long the programs go on tagging without renewal, nanoseconds.
const LEASE_NS: u64 = 10_000_000_000;

/// The orders, and the slot where the programs read them.
pub(crate) struct Lease {
    map: ConfigMap,
    config: Config,
}

impl Lease {
    /// Orders `config` in `map`, from the first renewal on.
    pub(crate) const fn new(map: ConfigMap, config: Config) -> Self {
        Self { map, config }
    }

    /// Renews the lease, and the wall clock's offset with it.
    pub(crate) fn renew(&mut self) {
        self.config = renewed(self.config, &clock::sample(), clock::boot_offset_ns());
        if let Err(error) = self.map.set(0, self.config.to_bytes(), 0) {
            tracing::warn!(%error, "Could not renew the lease, tagging ends");
        }
    }

    /// Returns whether not all is reported.
    pub(crate) const fn is_sampling(&self) -> bool {
        self.config.one_in > 1
    }

    /// Orders that one of `one_in` connections that end well is reported; returns from when on, if that is new. A
    /// connection of just then may be of the larger sample or of the smaller one: the smaller one counts.
    pub(crate) fn sample(&mut self, one_in: u32) -> Option<Sampling> {
        if one_in == self.config.one_in {
            return None;
        }
        let is_less = one_in > self.config.one_in;
        if is_less {
            tracing::warn!(one_in, "Reported less, the ring is too small for all");
        } else {
            tracing::info!(one_in, "Reported more again");
        }
        let before = clock::sample();
        self.config.one_in = one_in;
        self.renew();
        let from = if is_less { before } else { clock::sample() };
        Some(Sampling {
            boot_ns: from.boot_ns,
            one_in,
        })
    }
}

fn renewed(config: Config, now: &Clock, boot_offset_ns: u64) -> Config {
    Config {
        wall_offset_ns: clock::wall_offset_ns(now),
        boot_offset_ns,
        lease_until: now.boot_ns.saturating_add(LEASE_NS),
        ..config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_lasts_ten_seconds_and_brings_the_wall_clock() {
        let now = Clock {
            boot_ns: 5,
            unix_ns: 105,
        };
        let config = renewed(Config::EMPTY, &now, 7);
        assert_eq!(config.lease_until, 10_000_000_005);
        assert_eq!(config.wall_offset_ns, 100);
        assert_eq!(config.boot_offset_ns, 7);
    }
}
