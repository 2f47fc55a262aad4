//! One worker's filter: what happens when a request begins, when it ends, and on each tick.
//!
//! No method can fail, and none can hold up a request: what cannot be read is left out, what
//! cannot be sent waits within a bound.

use syntrace_model::{ConnKey, TraceId};
use syntrace_proto::{Request, Sender, fact::Body};

use crate::{
    Attribute, Config, Host,
    attribute::{integer, text},
    batch::{Answer, Limits, Queue},
    config::is_name,
    connections::Connections,
    context::Context,
    headers::RequestHeaders,
    random::{IdSource, SEED_BYTES},
    recent::Recent,
    report::{self, Ending},
};

/// Upstream connections that count as known, per worker.
///
/// Few on purpose: the kernel gives a port out again, and a connection wrongly taken for known is
/// reported without its pool wait.
const MAX_UPSTREAMS: usize = 256;

/// What one worker keeps from request to request.
#[derive(Debug)]
pub struct Filter {
    config: Config,
    epoch: u64,
    ids: IdSource,
    connections: Connections,
    upstreams: Recent<ConnKey, ()>,
    queue: Queue,
    sender: Option<Sender>,
}

/// What is kept of a request from its headers until its end.
#[derive(Debug)]
pub struct Stream {
    connection: Option<u64>,
    connection_trace_id: Option<TraceId>,
    context: Context,
    headers: RequestHeaders,
}

// === impl Filter ===

impl Filter {
    /// Returns the filter of one worker; `seed` must be random, and another for each.
    #[must_use]
    pub fn new(config: Config, seed: [u8; SEED_BYTES]) -> Self {
        let mut ids = IdSource::new(seed);
        let limits = Limits {
            batch_facts: config.max_batch_facts,
            queue_bytes: config.max_queue_bytes,
        };
        Self {
            epoch: ids.epoch(),
            ids,
            connections: Connections::new(config.max_connections),
            upstreams: Recent::new(MAX_UPSTREAMS),
            queue: Queue::new(limits),
            sender: None,
            config,
        }
    }

    /// Begins a request: decides its context and hands it to the service.
    pub fn on_request_headers(&mut self, host: &impl Host) -> Stream {
        let stream = self.begin(host, RequestHeaders::read(&host.request_headers()));
        let headers = &stream.headers;
        // Whatever replacing does to several lines: none of theirs may stand beside ours.
        if headers.n_traceparent > 1 {
            host.remove_request_header("traceparent");
        }
        host.set_request_header("traceparent", &stream.context.traceparent().to_string());
        if headers.traceparent.is_none() && headers.n_tracestate > 0 {
            host.remove_request_header("tracestate");
        }
        stream
    }

    /// Ends a request and reports it.
    ///
    /// `stream` is `None` where another filter, or the proxy's codec, answered before this one saw
    /// the headers.
    pub fn on_log(&mut self, host: &impl Host, stream: Option<Stream>) {
        let stream =
            stream.unwrap_or_else(|| self.begin(host, RequestHeaders::from_attributes(host)));
        let connection = stream.connection;
        let ending = Ending::read(host, stream.headers.grpc);
        let mut request = stream.into_request();
        ending.describe(&mut request);
        let is_first = self.describe_connection(host, connection, &mut request);
        let is_new_upstream = ending
            .upstream_key()
            .is_some_and(|key| !self.upstreams.touch(key, ()));
        let slow_ns = self.config.detail_above_ms.saturating_mul(1_000_000);
        if is_first || is_new_upstream || ending.is_remarkable(slow_ns) {
            report::detail(host, &mut request);
        }
        self.queue.push(Body::Request(request));
    }

    /// Sends what waits; to be called every [`Config::flush_interval_ms`].
    pub fn on_tick(&mut self, host: &impl Host) {
        let sender = match &self.sender {
            Some(sender) => sender,
            None if self.queue.is_silent() => return,
            None => self
                .sender
                .insert(Self::name(&self.config, self.epoch, host)),
        };
        if let Some(batch) = self.queue.poll_batch(sender)
            && !host.post_facts(&self.config.bridge_cluster, &batch)
        {
            self.queue.handle_answer(Answer::Unavailable);
        }
    }

    /// Feeds the bridge's answer to the batch on its way, and sends the next full one.
    ///
    /// `status` is the HTTP status, `None` if no answer came.
    pub fn on_call_response(&mut self, host: &impl Host, status: Option<u16>) {
        let answer = Answer::from_status(status);
        self.queue.handle_answer(answer);
        // After a failure the next attempt waits for the tick.
        if answer != Answer::Unavailable && self.queue.has_full_batch() {
            self.on_tick(host);
        }
    }

    /// Decides the context of a request that came with `headers`.
    fn begin(&mut self, host: &impl Host, headers: RequestHeaders) -> Stream {
        let number = host
            .attribute(Attribute::ConnectionId)
            .as_deref()
            .and_then(integer);
        let ids = &mut self.ids;
        let connection = number.map(|number| {
            let mint = || headers.traceparent.is_none().then(|| ids.trace_id());
            self.connections.meet(number, mint)
        });
        let connection_trace_id = connection.as_ref().and_then(|connection| connection.minted);
        let context = Context::decide(
            headers.traceparent,
            connection,
            self.config.requests_per_trace,
            &mut self.ids,
        );
        Stream {
            connection: number,
            connection_trace_id,
            context,
            headers,
        }
    }

    /// Writes the downstream connection's ends; returns whether they had to be read.
    fn describe_connection(
        &mut self,
        host: &impl Host,
        number: Option<u64>,
        request: &mut Request,
    ) -> bool {
        let known = number.map(|number| &mut self.connections.meet(number, || None).ends);
        let is_first = known.as_deref().is_none_or(Option::is_none);
        let ends = match known {
            Some(ends) => ends.get_or_insert_with(|| report::ends(host)).clone(),
            None => report::ends(host),
        };
        request.local = ends.local;
        request.peer = ends.peer;
        request.protocol = ends.protocol;
        is_first
    }

    /// Names this worker: `filter/<gateway>/<number>`.
    fn name(config: &Config, epoch: u64, host: &impl Host) -> Sender {
        let gateway = config.gateway.clone().or_else(|| {
            let node = host.attribute(Attribute::NodeId)?;
            Some(text(&node, 200)).filter(|node| is_name(node))
        });
        let gateway = gateway.as_deref().unwrap_or("envoy");
        let name = format!("filter/{gateway}/{}", host.next_worker_number());
        Sender {
            name,
            epoch,
            host_id: String::new(),
        }
    }
}

// === impl Stream ===

impl Stream {
    /// Begins the report with what was known when the request began.
    fn into_request(self) -> Request {
        let Self {
            connection,
            connection_trace_id,
            context,
            headers,
        } = self;
        let bytes = |id: TraceId| id.to_bytes().to_vec();
        Request {
            downstream_connection: connection.unwrap_or_default(),
            connection_trace_id: connection_trace_id.map(bytes).unwrap_or_default(),
            trace_id: bytes(context.trace_id),
            span_id: context.span_id.to_bytes().to_vec(),
            parent_span_id: context
                .parent_id
                .map(|id| id.to_bytes().to_vec())
                .unwrap_or_default(),
            trace_flags: context.flags.to_byte().into(),
            tracestate: headers.tracestate,
            method: headers.method,
            path: headers.path,
            authority: headers.authority,
            request_id: headers.request_id,
            grpc: headers.grpc,
            ..Request::default()
        }
    }
}
