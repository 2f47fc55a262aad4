//! How much is kept, and for how long.

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after its event a fact may arrive, nanoseconds.
    pub grace_ns: u64,
    /// How long a request may go on after an upstream connection that it used has closed, nanoseconds;
    /// one that goes on longer no longer finds it.
    pub linger_ns: u64,
    /// Requests listed in one connection's record; the oldest are left out beyond.
    pub requests_per_connection: usize,
    /// Connections that are not settled; beyond, of the kind of which there are the most the oldest is settled
    /// early.
    pub live_connections: usize,
    /// Requests that are not settled; beyond, one that would settle next is settled early.
    pub live_requests: usize,
    /// Settled connections remembered, to tell late facts from new connections.
    pub remembered: usize,
    /// Seed of the hash tables. Results do not depend on it; a secret one prevents collision attacks.
    pub hash_seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace_ns: 2_000_000_000,
            // Envoy's default route timeout.
            linger_ns: 15_000_000_000,
            requests_per_connection: 1_000,
            live_connections: 1_000_000,
            live_requests: 1_000_000,
            remembered: 65_536,
            hash_seed: 0,
        }
    }
}
