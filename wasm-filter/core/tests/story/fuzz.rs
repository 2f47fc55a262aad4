//! Whatever clients send and the proxy answers: no request is harmed, and every one is reported.

use proptest::{collection::vec, prelude::*};
use syntrace_filter_core::Attribute;

use crate::fake_host::{FakeHost, filter_with, report};

/// Names that the filter looks at, and others.
const NAMES: [&str; 18] = [
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
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-trace",
    "x-dye",
    "x-user",
    "",
];

const CONFIGURATIONS: [&str; 3] = [
    "",
    r#"{"mode": "observe", "path": "template"}"#,
    r#"{"read": ["house", "b3", "b3_multi", "w3c"], "write": ["w3c", "b3", "b3_multi", "house"],
        "house_id": {"header": "x-trace", "pattern": "t-{uuid}"}, "tracestate_key": "syn",
        "edges": [{"networks": ["127.0.0.0/8"], "context": "restart"}], "path": "hashed",
        "capture": [{"header": "x-user", "redact": "hash"}], "baggage": ["dye", "a"],
        "dye": {"header": "x-dye", "baggage": "dye", "rules": [
            {"set": "a=1", "header": {"name": "x-user", "regex": "(a|aa)+$"}}, {"set": "b=1", "percent": 50}]}}"#,
];

/// Values near what is valid, and any bytes.
#[cfg(test)]
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..80),
        "[-0-9a-f]{0,60}".prop_map(String::into_bytes),
        "00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f]".prop_map(String::into_bytes),
        "t-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}".prop_map(String::into_bytes),
        "([a-z@]{1,3}=[!-~]{0,5},? ?){0,40}".prop_map(String::into_bytes),
        "a{0,200}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|number| number.to_le_bytes().to_vec()),
        "(127\\.0\\.0\\.1:[0-9]{1,6} ?){0,4}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn nothing_breaks_a_request_or_its_report(
        headers in vec((0..NAMES.len(), value()), 0..30),
        attributes in vec((0..Attribute::ALL.len(), value()), 0..40),
        configuration in 0..CONFIGURATIONS.len(),
    ) {
        let mut host = FakeHost::blank();
        for (name, value) in headers {
            host.headers.push((NAMES[name].to_owned(), value));
        }
        for (attribute, value) in attributes {
            host.attributes.insert(Attribute::ALL[attribute], value);
        }
        let mut filter = filter_with(CONFIGURATIONS[configuration]);
        for _ in 0..2 {
            let request = report(&mut filter, &host);
            prop_assert_eq!((request.trace_id.len(), request.span_id.len()), (16, 8));
            prop_assert!(host.sent("traceparent").len() <= host.headers.len());
            if configuration != 1 {
                prop_assert!(host.headers.is_empty() || host.sent("traceparent").len() == 1);
            }
        }
    }
}

#[test]
fn ten_thousand_headers_and_values_of_64_kilobytes_pass() {
    for configuration in CONFIGURATIONS {
        let mut host = FakeHost::routine(1);
        for number in 0..10_000 {
            host.add_header(&format!("x-{number}"), "y");
        }
        for name in NAMES {
            host.add_header(name, &"a=1,".repeat(16 << 10));
        }
        let request = report(&mut filter_with(configuration), &host);
        assert!(prost::Message::encoded_len(&request) < 16 << 10);
    }
}
