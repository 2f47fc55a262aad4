//! A proxy that answers from maps and remembers what it was asked.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use prost::Message as _;
use syntrace_filter_core::{
    Attribute, Expression, Filter, HeaderMap, Host, Metric, MetricKind,
    pairs::{self, Pairs},
};
use syntrace_proto::{Batch, Request, fact::Body};

/// The context number under which [`serve`] serves requests.
const STREAM: u32 = 2;

thread_local! {
    /// Prepared expressions by number: a test that hands a filter from one fake to the next means one proxy.
    static EXPRESSIONS: RefCell<Vec<Vec<Attribute>>> = const { RefCell::new(Vec::new()) };
    /// Names of metrics by number.
    static METRICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A header line.
type Line = (String, Vec<u8>);

/// The proxy.
pub(crate) struct FakeHost {
    pub(crate) attributes: BTreeMap<Attribute, Vec<u8>>,
    /// What the client sends with each request.
    pub(crate) headers: Vec<Line>,
    /// What the client gets.
    pub(crate) response_headers: Vec<Line>,
    /// What the service gets of the latest request.
    upstream: RefCell<Vec<Line>>,
    /// Host calls so far.
    pub(crate) calls: Cell<usize>,
    /// Attributes in the order in which they were asked for, alone or in a list.
    pub(crate) asked: RefCell<Vec<Attribute>>,
    /// How often the route was to be chosen anew.
    pub(crate) n_rerouted: Cell<usize>,
    /// Batches that were posted.
    pub(crate) posted: RefCell<Vec<Batch>>,
    /// What metrics were told, by name.
    pub(crate) metrics: RefCell<BTreeMap<String, u64>>,
    /// Warnings in the proxy's log.
    pub(crate) warnings: RefCell<Vec<String>>,
    /// Whether a post is even tried.
    pub(crate) can_post: bool,
    /// Whether lists can be evaluated.
    pub(crate) can_evaluate: bool,
    pub(crate) now_unix_ns: Cell<u64>,
    pub(crate) memory_pages: Cell<u64>,
}

// === impl FakeHost ===

impl FakeHost {
    /// A proxy that knows nothing.
    pub(crate) fn blank() -> Self {
        Self {
            attributes: BTreeMap::new(),
            headers: Vec::new(),
            response_headers: Vec::new(),
            upstream: RefCell::new(Vec::new()),
            calls: Cell::new(0),
            asked: RefCell::new(Vec::new()),
            n_rerouted: Cell::new(0),
            posted: RefCell::new(Vec::new()),
            metrics: RefCell::new(BTreeMap::new()),
            warnings: RefCell::new(Vec::new()),
            can_post: true,
            can_evaluate: true,
            now_unix_ns: Cell::new(1_700_000_000_100_000_000),
            memory_pages: Cell::new(17),
        }
    }

    /// A routine `GET /a?b` on downstream connection `number`.
    pub(crate) fn routine(number: i64) -> Self {
        let mut host = Self::blank();
        for (attribute, value) in [
            (Attribute::ConnectionId, number),
            (Attribute::RequestTime, 1_700_000_000_000_000_000),
            (Attribute::RequestDuration, 2_000_000),
            (Attribute::RequestSize, 5),
            (Attribute::ResponseCode, 200),
            (Attribute::ResponseFlags, 0),
            (Attribute::ResponseSize, 7),
            (Attribute::UpstreamPoolWait, 300_000),
            (Attribute::UpstreamAttempts, 1),
            (Attribute::ResponseBackendLatency, 1_000_000),
            (Attribute::ResponseGrpcStatus, 2),
        ] {
            host.set_integer(attribute, value);
        }
        for (attribute, value) in [
            (Attribute::PluginName, "syntrace"),
            (
                Attribute::ConnectionAddresses,
                "127.0.0.1:10000 127.0.0.1:40000 127.0.0.1:10000 127.0.0.1:40000",
            ),
            (Attribute::RequestProtocol, "HTTP/1.1"),
            (Attribute::UpstreamLocalAddress, "127.0.0.1:50000"),
            (Attribute::UpstreamAddress, "127.0.0.1:8080"),
            (Attribute::ClusterName, "service_http"),
            (Attribute::RouteName, "everything"),
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

    /// A `tcp_proxy` session of downstream connection `number`.
    pub(crate) fn tcp_session(number: i64) -> Self {
        let mut host = Self::routine(number);
        host.headers.clear();
        for attribute in [
            Attribute::RequestProtocol,
            Attribute::RequestDuration,
            Attribute::ResponseCode,
            Attribute::ResponseCodeDetails,
            Attribute::ResponseBackendLatency,
        ] {
            host.attributes.remove(&attribute);
        }
        host.set_text(Attribute::RequestedServerName, "example.test");
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
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
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

    fn compile(&self, expression: &str) -> Option<Expression> {
        self.count();
        let list = expression.strip_prefix('[')?.strip_suffix(']')?;
        let attribute = |path: &str| {
            let path = path.replace('.', "\0");
            *Attribute::ALL
                .iter()
                .find(|one| one.path() == path)
                .unwrap()
        };
        let number = EXPRESSIONS.with_borrow_mut(|expressions| {
            expressions.push(list.split(',').map(attribute).collect());
            u32::try_from(expressions.len() - 1).unwrap()
        });
        self.can_evaluate.then_some(Expression(number))
    }

    fn evaluate(&self, Expression(number): Expression) -> Option<Vec<u8>> {
        self.count();
        let attributes = EXPRESSIONS.with_borrow(|all| all[number as usize].clone());
        self.asked.borrow_mut().extend(&attributes);
        let values: Option<Vec<_>> = attributes
            .iter()
            .map(|attribute| Some((&self.attributes.get(attribute)?[..], &[][..])))
            .collect();
        Some(pairs::write(&values?))
    }

    fn headers(&self, map: HeaderMap) -> Option<Vec<u8>> {
        self.count();
        let lines = match map {
            HeaderMap::Request => {
                self.upstream.replace(self.headers.clone());
                &self.headers
            }
            HeaderMap::Response => &self.response_headers,
        };
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (name.as_bytes(), &value[..]))
            .collect();
        (!lines.is_empty()).then(|| pairs::write(&lines))
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        self.count();
        let mut headers = self.upstream.borrow_mut();
        match headers.iter_mut().find(|(line, _)| line == name) {
            Some((_, old)) => *old = value.to_vec(),
            None => headers.push((name.to_owned(), value.to_vec())),
        }
    }

    fn remove_request_header(&self, name: &str) {
        self.count();
        self.upstream.borrow_mut().retain(|(line, _)| line != name);
    }

    fn clear_route_cache(&self) {
        self.count();
        self.n_rerouted.set(self.n_rerouted.get() + 1);
    }

    fn now_unix_ns(&self) -> Option<u64> {
        self.count();
        Some(self.now_unix_ns.get())
    }

    fn next_worker_number(&self) -> u32 {
        self.count();
        7
    }

    fn post_facts(&self, cluster: &str, headers: &[u8], body: &[u8]) -> bool {
        self.count();
        assert_eq!(cluster, "syntrace_bridge");
        assert!(Pairs::new(headers).any(|line| line == (&b":path"[..], &b"/v1/facts"[..])));
        if self.can_post {
            self.posted.borrow_mut().push(Batch::decode(body).unwrap());
        }
        self.can_post
    }

    fn warn(&self, message: &str) {
        self.count();
        self.warnings.borrow_mut().push(message.to_owned());
    }

    fn memory_pages(&self) -> u64 {
        self.memory_pages.get()
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Option<Metric> {
        METRICS.with_borrow_mut(|metrics| {
            metrics.push(name.to_owned());
            Some(Metric(u32::try_from(metrics.len() - 1).unwrap()))
        })
    }

    fn add(&self, changed: Metric, by: i64) {
        self.count();
        let mut metrics = self.metrics.borrow_mut();
        let value = metrics.entry(metric(changed)).or_default();
        // A filter may have told another fake before: what it takes back may be more than is here.
        *value = value.wrapping_add_signed(by);
    }
}

fn metric(Metric(number): Metric) -> String {
    METRICS.with_borrow(|metrics| metrics[number as usize].clone())
}

/// A filter with the default configuration.
pub(crate) fn filter() -> Filter {
    filter_with("")
}

/// A filter with this configuration.
pub(crate) fn filter_with(configuration: &str) -> Filter {
    let mut filter = Filter::new([7; 16]);
    let host = FakeHost::routine(0);
    filter
        .configure(&host, 1, configuration.as_bytes())
        .unwrap();
    filter
}

/// Takes one request from its headers to its end; returns the host calls that it cost.
pub(crate) fn serve(filter: &mut Filter, host: &FakeHost) -> usize {
    let before = host.calls.get();
    filter.on_request_headers(host, STREAM);
    filter.on_log(host, STREAM);
    host.calls.get() - before
}

/// Serves one request and returns its report.
pub(crate) fn report(filter: &mut Filter, host: &FakeHost) -> Request {
    serve(filter, host);
    reported(filter, host)
}

/// Returns what the filter reports of a stream that it has not seen begin.
pub(crate) fn ended(filter: &mut Filter, host: &FakeHost) -> Request {
    filter.on_log(host, STREAM);
    reported(filter, host)
}

fn reported(filter: &mut Filter, host: &FakeHost) -> Request {
    host.posted.borrow_mut().clear();
    filter.on_tick(host);
    let request = host.requests().pop().unwrap();
    filter.on_call_response(host, Some(200));
    request
}
