//! A proxy that answers from maps and remembers what it was asked.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use prost::Message as _;
use syntrace_filter_core::{Attribute, Config, Filter, Host};
use syntrace_proto::{Batch, Request, fact::Body};

/// The proxy.
pub(crate) struct FakeHost {
    pub(crate) attributes: BTreeMap<Attribute, Vec<u8>>,
    /// What the client sends with each request.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// What the service gets of the latest request.
    upstream: RefCell<Vec<(String, Vec<u8>)>>,
    /// Host calls so far.
    pub(crate) calls: Cell<usize>,
    /// Attributes in the order in which they were asked for.
    pub(crate) asked: RefCell<Vec<Attribute>>,
    /// Batches that were posted.
    pub(crate) posted: RefCell<Vec<Batch>>,
    /// Whether a post is even tried.
    pub(crate) can_post: bool,
}

// === impl FakeHost ===

impl FakeHost {
    /// A routine `GET /a?b` on downstream connection `number`.
    pub(crate) fn routine(number: i64) -> Self {
        let mut host = Self {
            attributes: BTreeMap::new(),
            headers: Vec::new(),
            upstream: RefCell::new(Vec::new()),
            calls: Cell::new(0),
            asked: RefCell::new(Vec::new()),
            posted: RefCell::new(Vec::new()),
            can_post: true,
        };
        for (attribute, value) in [
            (Attribute::ConnectionId, number),
            (Attribute::RequestTime, 1_700_000_000_000_000_000),
            (Attribute::RequestDuration, 2_000_000),
            (Attribute::ResponseCode, 200),
            (Attribute::ResponseFlags, 0),
            (Attribute::UpstreamPoolWait, 300_000),
            (Attribute::UpstreamAttempts, 1),
            (Attribute::ResponseBackendLatency, 1_000_000),
            (Attribute::ResponseGrpcStatus, 2),
        ] {
            host.set_integer(attribute, value);
        }
        for (attribute, value) in [
            (Attribute::DirectLocalAddress, "127.0.0.1:10000"),
            (Attribute::DirectPeerAddress, "127.0.0.1:40000"),
            (Attribute::RequestProtocol, "HTTP/1.1"),
            (Attribute::UpstreamLocalAddress, "127.0.0.1:50000"),
            (Attribute::UpstreamAddress, "127.0.0.1:8080"),
            (Attribute::ClusterName, "service_http"),
            (Attribute::ResponseCodeDetails, "via_upstream"),
            (Attribute::NodeId, "gateway-1"),
        ] {
            host.set_text(attribute, value);
        }
        host.add_header(":method", "GET");
        host.add_header(":path", "/a?b");
        host.add_header(":authority", "example.test");
        host.add_header("x-request-id", "f6fa4506-31a1-465e-8161-46136cce11f8");
        host
    }

    pub(crate) fn set_integer(&mut self, attribute: Attribute, value: i64) {
        self.attributes
            .insert(attribute, value.to_le_bytes().to_vec());
    }

    pub(crate) fn set_text(&mut self, attribute: Attribute, value: &str) {
        self.attributes.insert(attribute, value.as_bytes().to_vec());
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        let line = (name.to_owned(), value.as_bytes().to_vec());
        self.headers.push(line);
    }

    /// Every line of a header that the service would get.
    pub(crate) fn sent(&self, name: &str) -> Vec<String> {
        let headers = self.upstream.borrow();
        let lines = headers.iter().filter(|(line, _)| line == name);
        lines
            .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
            .collect()
    }

    /// Everything that was posted, as requests.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let posted = self.posted.borrow();
        let facts = posted.iter().flat_map(|batch| &batch.facts);
        facts
            .map(|fact| match &fact.body {
                Some(Body::Request(request)) => request.clone(),
                _ => panic!("the filter reports requests only"),
            })
            .collect()
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl Host for FakeHost {
    fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>> {
        self.count();
        self.asked.borrow_mut().push(attribute);
        self.attributes.get(&attribute).cloned()
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        self.count();
        self.upstream.replace(self.headers.clone());
        self.headers.clone()
    }

    fn set_request_header(&self, name: &str, value: &str) {
        self.count();
        let mut headers = self.upstream.borrow_mut();
        match headers.iter_mut().find(|(line, _)| line == name) {
            Some((_, old)) => *old = value.as_bytes().to_vec(),
            None => headers.push((name.to_owned(), value.as_bytes().to_vec())),
        }
    }

    fn remove_request_header(&self, name: &str) {
        self.count();
        self.upstream.borrow_mut().retain(|(line, _)| line != name);
    }

    fn next_worker_number(&self) -> u32 {
        self.count();
        7
    }

    fn post_facts(&self, cluster: &str, body: &[u8]) -> bool {
        self.count();
        assert_eq!(cluster, "syntrace_bridge");
        if self.can_post {
            self.posted.borrow_mut().push(Batch::decode(body).unwrap());
        }
        self.can_post
    }
}

/// A filter with the default configuration.
pub(crate) fn filter() -> Filter {
    Filter::new(Config::default(), [7; 16])
}

/// Takes one request from its headers to its end; returns the host calls that it cost.
pub(crate) fn serve(filter: &mut Filter, host: &FakeHost) -> usize {
    let before = host.calls.get();
    let stream = filter.on_request_headers(host);
    filter.on_log(host, Some(stream));
    host.calls.get() - before
}

/// Serves one request and returns its report.
pub(crate) fn report(filter: &mut Filter, host: &FakeHost) -> Request {
    serve(filter, host);
    host.posted.borrow_mut().clear();
    filter.on_tick(host);
    let request = host.requests().pop().unwrap();
    filter.on_call_response(host, Some(200));
    request
}
