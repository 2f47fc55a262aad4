//! What the filter asks of its proxy. Each method is one host call, and host calls are the filter's
//! cost: the stories under `tests/` count them.

use crate::Attribute;

/// The proxy, as one callback of the filter sees it.
pub trait Host {
    /// Reads an Envoy attribute, as raw bytes; `None` if it is unset in this phase.
    fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>>;

    /// Returns every request header line, in order; values are bytes, not text.
    fn request_headers(&self) -> Vec<(String, Vec<u8>)>;

    /// Replaces a request header by one line.
    fn set_request_header(&self, name: &str, value: &str);

    /// Removes every line of a request header.
    fn remove_request_header(&self, name: &str);

    /// Takes the next number of this process' filter VMs: 0, 1, 2, ...
    ///
    /// Asked once in the life of a VM, when it first has something to send.
    fn next_worker_number(&self) -> u32;

    /// Posts `body` to the bridge behind `cluster`; false if the proxy did not even try.
    ///
    /// Where this returns true, [`crate::Filter::on_call_response`] follows exactly once.
    fn post_facts(&self, cluster: &str, body: &[u8]) -> bool;
}
