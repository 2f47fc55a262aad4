//! What the filter asks of its proxy. Each method is one host call, and host calls are the filter's
//! cost: the stories under `tests/` count them.

use crate::Attribute;

/// The proxy, as one callback of the filter sees it.
pub trait Host {
    /// Reads an Envoy attribute, as raw bytes; `None` if it is unset in this phase.
    fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>>;

    /// Prepares a CEL expression; `None` if the proxy cannot.
    fn compile(&self, expression: &str) -> Option<Expression>;

    /// Evaluates an expression; a list comes as [pairs](crate::pairs) without values. `None` if any part
    /// of it is unset in this phase.
    fn evaluate(&self, expression: Expression) -> Option<Vec<u8>>;

    /// Returns every line of a header map as [pairs](crate::pairs), in order; `None` where there is none.
    fn headers(&self, map: HeaderMap) -> Option<Vec<u8>>;

    /// Replaces a request header by one line.
    fn set_request_header(&self, name: &str, value: &[u8]);

    /// Removes every line of a request header.
    fn remove_request_header(&self, name: &str);

    /// Lets the proxy choose the route anew, by the headers as they are.
    fn clear_route_cache(&self);

    /// Returns the wall clock, nanoseconds since 1970.
    fn now_unix_ns(&self) -> Option<u64>;

    /// Takes the next number of this process' filter VMs: 0, 1, 2, ...
    ///
    /// Asked once in the life of a VM, when it first has something to send.
    fn next_worker_number(&self) -> u32;

    /// Posts `body` to the bridge behind `cluster`, with `headers` as [pairs](crate::pairs); false if
    /// the proxy did not even try.
    ///
    /// Where this returns true, [`crate::Filter::on_call_response`] follows exactly once.
    fn post_facts(&self, cluster: &str, headers: &[u8], body: &[u8]) -> bool;

    /// Writes a warning to the proxy's log.
    fn warn(&self, message: &str);

    /// Returns how large the filter's own memory has become, in pages of 64 KiB; no host call.
    fn memory_pages(&self) -> u64;

    /// Names a metric among the proxy's own; `None` if it cannot be had.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<Metric>;

    /// Adds to a metric; never less than nothing to a counter.
    fn add(&self, metric: Metric, by: i64);
}

/// A prepared expression, by the proxy's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression(pub u32);

/// A metric, by the proxy's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric(pub u32);

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Headers of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// What came from the client.
    Request,
    /// What goes to the client; known at the stream's end.
    Response,
}
