//! How well a record was seen: what is missing in it, and why.

use crate::fact::Origin;

/// How well a connection was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCoverage {
    /// Where the kernel view found it; absent if only the proxy saw it.
    pub kernel: Option<Origin>,
    /// Whether the proxy saw it.
    pub proxy: bool,
    /// One of how many such connections the kernel view reports; 0 and 1 mean all.
    pub one_in: u32,
    /// The kernel view lost facts while the connection lived: something of it may be missing.
    pub facts_lost: bool,
    /// Its close is not known: the record ends where the kernel view last saw it.
    pub close_missing: bool,
    /// The sender that reported it ended without saying goodbye.
    pub no_goodbye: bool,
    /// Facts about it that came after it was settled; the record does not hold them.
    pub late: u64,
    /// Incidents that the bound left out.
    pub incidents_evicted: u64,
    /// The bound on live connections ended the record early.
    pub evicted: bool,
    /// Facts that contradict each other, by kind, in order, without repetition.
    pub contradictions: Vec<&'static str>,
}

/// How well a request was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCoverage {
    /// Its report came after the grace period: facts that it would be joined to may be gone.
    pub late: bool,
    /// The kernel view lost facts while the request ran.
    pub facts_lost: bool,
    /// Incidents that the bounds left out of the connections that explain it, if any of them may have hit it.
    pub incidents_evicted: u64,
    /// The bound on live requests ended the record early.
    pub evicted: bool,
    /// What it says contradicts what the kernel view says, by kind, in order, without repetition.
    pub contradictions: Vec<&'static str>,
}
