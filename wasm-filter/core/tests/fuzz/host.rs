//! Fuzz target: whatever a proxy answers, and in whatever order it calls, nothing traps, every report is sound,
//! no request's context ends up in another's, and no stream is kept once it has ended.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use prost::Message as _;
use syntrace_filter_core::{
    Attribute, Expression, Filter, HeaderMap, Host, Metric, MetricKind, pairs,
};
use syntrace_proto::{Batch, fact::Body};

const CONFIGURATIONS: [&str; 4] = [
    "",
    r#"{"mode": "observe", "path": "template"}"#,
    r#"{"context": "restart", "requests_per_trace": 2, "max_queue_bytes": 65536, "max_connections": 2}"#,
    r#"{"read": ["house", "b3", "b3_multi", "w3c"], "write": ["w3c", "b3", "b3_multi", "house"],
        "house_id": {"header": "x-trace", "pattern": "t-{uuid}"}, "tracestate_key": "syn",
        "edges": [{"networks": ["127.0.0.0/8"], "context": "ignore"}], "path": "hashed", "max_batch_facts": 1,
        "capture": [{"header": "x-user", "redact": "hash"}, {"header": "x-user", "of": "response"}],
        "baggage": ["dye", "a"], "dye": {"header": "x-dye", "baggage": "dye", "rules": [
            {"set": "a=1", "header": {"name": "x-user", "regex": "(a|aa)+$"}}, {"set": "b=1", "percent": 50}]}}"#,
];

const NAMES: [&str; 16] = [
    ":method",
    ":path",
    ":authority",
    "content-type",
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-trace",
    "x-dye",
    "x-user",
    "",
];

const VALUES: [&[u8]; 12] = [
    b"",
    b"GET",
    b"application/grpc",
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    b"4bf92f3577b34da6a3ce929d0e0e4736",
    b"t-4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    b"a=1,b=2",
    b"127.0.0.1:10000 127.0.0.1:40000 127.0.0.1:10000 127.0.0.1:40000",
    b"127.0.0.1:80",
    b"\x01\x00\x00\x00\x00\x00\x00\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
];

/// What can be in a client's mind: fewer streams than calls, so that they meet.
const STREAMS: u8 = 6;

/// Lets a proxy that `input` describes call a filter and answer it.
pub(crate) fn run(input: &[u8]) {
    let host = Any {
        input,
        at: Cell::new(0),
        written: Cell::new(None),
        posted: RefCell::new(Vec::new()),
    };
    let mut filter = Filter::new([7; 16]);
    let mut written = BTreeMap::new();
    let mut open = BTreeSet::new();
    while let Some(operation) = host.byte() {
        let stream = u32::from(operation >> 3) % u32::from(STREAMS);
        match operation % 8 {
            0 => {
                let index = usize::from(operation >> 3) % (CONFIGURATIONS.len() + 1);
                let _refused = match CONFIGURATIONS.get(index) {
                    Some(text) => filter.configure(&host, stream, text.as_bytes()),
                    None => filter.configure(&host, stream, host.some()),
                };
            }
            1..=3 => {
                host.written.set(None);
                filter.on_request_headers(&host, stream);
                open.insert(stream);
                if let Some(header) = host.written.take() {
                    let (trace, span) = ids(&header);
                    assert_eq!(written.insert(span, trace), None, "a span is minted once");
                }
            }
            4 | 5 => {
                filter.on_log(&host, stream);
                open.remove(&stream);
            }
            6 => filter.on_tick(&host),
            _ => {
                let status = [Some(200), Some(503), Some(400), None];
                let status = status
                    .get(usize::from(operation >> 3) % status.len())
                    .copied();
                filter.on_call_response(&host, status.flatten());
            }
        }
        assert!(
            filter.open_streams() <= open.len(),
            "an ended stream is not kept"
        );
    }
    let mut sequence = BTreeMap::new();
    for batch in host.posted.borrow().iter() {
        let batch = Batch::decode(&batch[..]).expect("a batch");
        for (fact, seq) in batch.facts.iter().zip(batch.first_seq..) {
            let Some(Body::Request(request)) = &fact.body else {
                panic!("the filter reports requests only");
            };
            let (trace, span) = (&request.trace_id[..], &request.span_id[..]);
            assert_eq!((trace.len(), span.len()), (16, 8));
            let known = written.get(span).is_none_or(|written| written == trace);
            assert!(known, "a report has the context that its service got");
            let same = sequence.entry(seq).or_insert_with(|| span.to_vec());
            assert_eq!(same, span, "a number names one fact");
        }
    }
}

/// Reads a `traceparent` that the filter wrote.
fn ids(header: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let read = syntrace_model::Traceparent::parse(header).expect("a valid traceparent");
    (
        read.trace_id.to_bytes().to_vec(),
        read.parent_id.to_bytes().to_vec(),
    )
}

/// A proxy whose answers are the bytes of the input, one after the other.
struct Any<'a> {
    input: &'a [u8],
    at: Cell<usize>,
    written: Cell<Option<Vec<u8>>>,
    posted: RefCell<Vec<Vec<u8>>>,
}

impl<'a> Any<'a> {
    fn byte(&self) -> Option<u8> {
        let byte = self.input.get(self.at.get()).copied();
        self.at.set(self.at.get() + 1);
        byte
    }

    /// Takes some of the input's bytes.
    fn some(&self) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or_default());
        let rest = self.input.get(self.at.get()..).unwrap_or_default();
        let taken = rest.get(..len).unwrap_or(rest);
        self.at.set(self.at.get() + taken.len());
        taken
    }

    /// Takes a value that means something, or any bytes; `None` now and then.
    fn value(&self) -> Option<Vec<u8>> {
        match self.byte()? {
            0..64 => None,
            known @ 64..192 => VALUES
                .get(usize::from(known) % VALUES.len())
                .map(|value| value.to_vec()),
            192..=255 => Some(self.some().to_vec()),
        }
    }

    fn pairs(&self, named: bool) -> Option<Vec<u8>> {
        let count = self.byte()?;
        if count > 240 {
            return Some(self.some().to_vec());
        }
        let lines: Vec<_> = (0..count % 16)
            .map(|_| {
                let value = self.value().unwrap_or_default();
                let name = usize::from(self.byte().unwrap_or_default()) % NAMES.len();
                (NAMES.get(name).copied().unwrap_or_default(), value)
            })
            .collect();
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| match named {
                true => (name.as_bytes(), &value[..]),
                false => (&value[..], &[][..]),
            })
            .collect();
        Some(pairs::write(&lines))
    }
}

impl Host for Any<'_> {
    fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
        self.value()
    }

    fn compile(&self, _: &str) -> Option<Expression> {
        Some(Expression(u32::from(self.byte()?)))
    }

    fn evaluate(&self, _: Expression) -> Option<Vec<u8>> {
        self.pairs(false)
    }

    fn headers(&self, _: HeaderMap) -> Option<Vec<u8>> {
        self.pairs(true)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        assert!(!name.is_empty() && !value.iter().any(|byte| b"\r\n\0".contains(byte)));
        if name == "traceparent" {
            self.written.set(Some(value.to_vec()));
        }
    }

    fn remove_request_header(&self, name: &str) {
        assert!(!name.is_empty());
    }

    fn clear_route_cache(&self) {}

    fn now_unix_ns(&self) -> Option<u64> {
        let bytes = self.value()?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn next_worker_number(&self) -> u32 {
        self.byte().unwrap_or_default().into()
    }

    fn post_facts(&self, _: &str, _: &[u8], body: &[u8]) -> bool {
        let is_taken = self.byte().is_some_and(|byte| byte < 200);
        if is_taken {
            self.posted.borrow_mut().push(body.to_vec());
        }
        is_taken
    }

    fn warn(&self, _: &str) {}

    fn memory_pages(&self) -> u64 {
        self.byte().unwrap_or_default().into()
    }

    fn define_metric(&self, _: MetricKind, _: &str) -> Option<Metric> {
        Some(Metric(u32::from(self.byte()?)))
    }

    fn add(&self, _: Metric, by: i64) {
        assert_ne!(by, 0);
    }
}
