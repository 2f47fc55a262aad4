//! One worker's filter: what happens when a request begins, when it ends, and on each tick.
//!
//! No method can fail a request or hold it up: what cannot be read is left out, what cannot be sent waits
//! within a bound.

use std::{collections::HashMap, mem, rc::Rc};

use foldhash::fast::FixedState;

use crate::{
    Attribute, ConfigError, HeaderMap, Host, PathForm,
    attribute::integer,
    config::{Capture, Mode, Policy, Rules, Seen, Sending, captured},
    connections::Connections,
    context::Context,
    dyeing,
    ends::Ends,
    headers::Incoming,
    pairs::Pairs,
    plugins::Plugins,
    propagation::{self, Brought},
    random::{IdSource, SEED_BYTES},
    report::{Kind, Readings},
    sending::Outbox,
    wire::{Message, request},
};

/// What a report needs most of the time, bytes.
const REPORT_BYTES: usize = 512;

/// Streams that are open at the same time, per worker; further ones are reported, and not tagged.
const MAX_STREAMS: usize = 1 << 16;

/// What one worker keeps from request to request.
#[derive(Debug)]
pub struct Filter {
    plugins: Plugins,
    ids: IdSource,
    connections: Connections,
    streams: HashMap<u32, Stream, FixedState>,
    readings: Readings,
    outbox: Outbox,
}

/// What is kept of a request from its headers until its end.
#[derive(Debug)]
struct Stream {
    rules: Rc<Rules>,
    connection: Option<u64>,
    context: Context,
    kind: Kind,
    /// When its headers were complete; `None` if that was not seen.
    headed_at_unix_ns: Option<u64>,
    /// As far as it is known.
    report: Message,
}

/// Where a stream comes from.
#[derive(Debug)]
struct Origin {
    connection: Option<u64>,
    /// Only where the rules depend on it.
    ends: Option<Ends>,
    policy: Policy,
}

// === impl Filter ===

impl Filter {
    /// Returns the filter of one worker; `seed` must be random, and another for each.
    #[must_use]
    pub fn new(seed: [u8; SEED_BYTES]) -> Self {
        let mut ids = IdSource::new(seed);
        let sending = Sending::default();
        Self {
            plugins: Plugins::default(),
            connections: Connections::new(size(sending.max_connections)),
            streams: HashMap::default(),
            readings: Readings::new(),
            outbox: Outbox::new(sending, ids.epoch()),
            ids,
        }
    }

    /// Takes the configuration of the plugin whose root context is `root`; returns how often it wants
    /// [`Self::on_tick`], milliseconds.
    ///
    /// What concerns the worker as a whole is what the latest configuration says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is wrong; everything stays as it was, then.
    pub fn configure(
        &mut self,
        host: &impl Host,
        root: u32,
        text: &[u8],
    ) -> Result<u32, ConfigError> {
        let sending = self.plugins.configure(host, root, text)?.sending;
        let period_ms = sending.flush_interval_ms;
        self.connections.resize(size(sending.max_connections));
        self.outbox.configure(host, sending);
        Ok(period_ms)
    }

    /// Begins the request of the context `stream`: decides its context and hands it to the service.
    pub fn on_request_headers(&mut self, host: &impl Host, stream: u32) {
        let Some(rules) = self.plugins.rules(host) else {
            return;
        };
        if rules.mode == Mode::Observe || self.streams.len() >= MAX_STREAMS {
            return;
        }
        let Some(buffer) = host.headers(HeaderMap::Request) else {
            return;
        };
        let lines = Pairs::new(&buffer);
        let incoming = Incoming::read(lines, &rules);
        let origin = self.origin(host, &rules);
        let mut begun = self.begin(&rules, Brought::read(&incoming, &rules), &origin);
        let context = &begun.context;
        let report = &mut begun.report;
        incoming.describe(rules.path, report);
        captured(&rules.capture, false, lines, report);
        let tracestate = propagation::write(host, &rules, &incoming, origin.policy, context);
        report.bytes(request::TRACESTATE, tracestate.as_bytes());
        let seen = Seen::new(lines, &incoming, origin.ends.as_ref(), context.trace_id);
        dyeing::dye(host, &rules, &incoming, origin.policy, &seen, report);
        if incoming.is_grpc {
            begun.kind = Kind::Grpc;
        }
        begun.headed_at_unix_ns = host.now_unix_ns();
        self.streams.insert(stream, begun);
    }

    /// Ends the stream of the context `stream` and reports it.
    ///
    /// Where the filter has not seen it begin, it reports what it finds: a request that another filter or
    /// the proxy's codec answered before, a TCP session, whatever an access logger is told of, or any
    /// request where it only watches.
    pub fn on_log(&mut self, host: &impl Host, stream: u32) {
        let Some(stream) = self.streams.remove(&stream).or_else(|| self.adopt(host)) else {
            return;
        };
        let rules = &stream.rules;
        let mut report = stream.report;
        let is_first = self.describe_connection(host, stream.connection, &mut report);
        let slow_ns = u64::from(rules.detail_above_ms) * 1_000_000;
        let began_at_unix_ns =
            self.readings
                .describe(host, stream.kind, is_first, slow_ns, &mut report);
        let head_ns = stream.headed_at_unix_ns.zip(began_at_unix_ns);
        let head_ns = head_ns.map(|(headed, began)| headed.saturating_sub(began));
        report.some_uint(request::HEAD_NS, head_ns);
        if rules.capture.iter().any(Capture::is_response)
            && let Some(buffer) = host.headers(HeaderMap::Response)
        {
            captured(&rules.capture, true, Pairs::new(&buffer), &mut report);
        }
        self.outbox.push(&report);
    }

    /// Sends what waits; to be called as often as [`Self::configure`] said.
    pub fn on_tick(&mut self, host: &impl Host) {
        self.outbox.on_tick(host);
    }

    /// Feeds the bridge's answer to the batch on its way, and sends the next full one.
    ///
    /// `status` is the HTTP status, `None` if no answer came.
    pub fn on_call_response(&mut self, host: &impl Host, status: Option<u16>) {
        self.outbox.on_call_response(host, status);
    }

    /// Returns how many requests have begun and not ended.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Begins a report of what ends without having been seen to begin.
    fn adopt(&mut self, host: &impl Host) -> Option<Stream> {
        let rules = self.plugins.rules(host)?;
        let origin = self.origin(host, &rules);
        let buffer = host.headers(HeaderMap::Request).unwrap_or_default();
        let lines = Pairs::new(&buffer);
        let incoming = Incoming::read(lines, &rules);
        let mut stream = self.begin(&rules, Brought::read(&incoming, &rules), &origin);
        let report = &mut stream.report;
        if incoming.method.is_empty() {
            stream.kind = report_without_headers(host, rules.path, report);
            return Some(stream);
        }
        if incoming.is_grpc {
            stream.kind = Kind::Grpc;
        }
        incoming.describe(rules.path, report);
        captured(&rules.capture, false, lines, report);
        if let Some(list) = propagation::tracestate(&incoming, &stream.context) {
            report.bytes(request::TRACESTATE, list.to_header().as_bytes());
        }
        dyeing::found(&rules, &incoming, report);
        Some(stream)
    }

    /// Says where the stream at hand comes from, and what that means for the context that it brings.
    fn origin(&mut self, host: &impl Host, rules: &Rules) -> Origin {
        let connection = host
            .attribute(Attribute::ConnectionId)
            .as_deref()
            .and_then(integer);
        let ends = rules.need_ends().then(|| {
            let known = connection.and_then(|number| self.connections.ends(number));
            known.cloned().unwrap_or_else(|| Ends::read(host))
        });
        let policy = match rules.mode {
            Mode::Observe => Policy::Continue,
            Mode::Tag => rules.policy(ends.as_ref().and_then(|ends| ends.peer)),
        };
        Origin {
            connection,
            ends,
            policy,
        }
    }

    /// Decides the context of a stream.
    fn begin(&mut self, rules: &Rc<Rules>, brought: Brought, origin: &Origin) -> Stream {
        let ids = &mut self.ids;
        let continues = brought.parent.is_some() && origin.policy == Policy::Continue;
        let mut connection = origin.connection.map(|number| {
            let mint = || (!continues).then(|| ids.trace_id());
            self.connections.meet(number, mint)
        });
        if let (Some(connection), Some(ends)) = (&mut connection, &origin.ends) {
            connection.ends.get_or_insert_with(|| ends.clone());
        }
        let mut report = Message::with_capacity(REPORT_BYTES);
        report.uint(
            request::DOWNSTREAM_CONNECTION,
            origin.connection.unwrap_or_default(),
        );
        if let Some(id) = connection.as_ref().and_then(|connection| connection.minted) {
            report.bytes(request::CONNECTION_TRACE_ID, &id.to_bytes());
        }
        let requests_per_trace = rules.requests_per_trace.into();
        let context = Context::decide(
            &brought,
            origin.policy,
            connection,
            requests_per_trace,
            &mut self.ids,
        );
        context.describe(&mut report);
        Stream {
            rules: Rc::clone(rules),
            connection: origin.connection,
            context,
            kind: Kind::Http,
            headed_at_unix_ns: None,
            report,
        }
    }

    /// Writes the downstream connection's ends; returns whether this is its first report.
    fn describe_connection(
        &mut self,
        host: &impl Host,
        number: Option<u64>,
        report: &mut Message,
    ) -> bool {
        let Some(number) = number else {
            report.append(&Ends::read(host).report);
            return true;
        };
        let connection = self.connections.meet(number, || None);
        let ends = connection.ends.get_or_insert_with(|| Ends::read(host));
        report.append(&ends.report);
        !mem::replace(&mut connection.is_reported, true)
    }
}

/// Reports what attributes tell of a stream without headers, and returns what it is: a request that was
/// answered before the filter saw it, or no request at all.
fn report_without_headers(host: &impl Host, path: PathForm, report: &mut Message) -> Kind {
    let read = |attribute| host.attribute(attribute).unwrap_or_default();
    let method = read(Attribute::RequestMethod);
    if method.is_empty() && host.attribute(Attribute::RequestProtocol).is_none() {
        report.bool(request::TCP_SESSION, true);
        return Kind::TcpSession;
    }
    let incoming = Incoming {
        method: &method,
        target: &read(Attribute::RequestUrlPath),
        authority: &read(Attribute::RequestHost),
        request_id: &read(Attribute::RequestId),
        ..Incoming::default()
    };
    incoming.describe(path, report);
    Kind::Http
}

/// A number of the configuration as a size; the module's addresses have 32 bits.
pub(crate) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
