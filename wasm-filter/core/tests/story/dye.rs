//! Which requests are dyed, and what their service and their route see of it.

use syntrace_filter_core::Attribute;

use crate::fake_host::{FakeHost, filter_with, report};

fn rule(conditions: &str) -> String {
    format!(
        r#"{{"dye": {{"header": "x-dye", "baggage": "dye", "rules": [{{"set": "gray=v2"{conditions}}}]}}}}"#
    )
}

#[test]
fn each_condition_decides() {
    for (conditions, is_dyed) in [
        ("", true),
        (r#", "header": {"name": "x-user", "exact": "ann"}"#, true),
        (r#", "header": {"name": "x-user", "exact": "an"}"#, false),
        (r#", "header": {"name": "x-user", "prefix": "an"}"#, true),
        (r#", "header": {"name": "x-user", "prefix": "nn"}"#, false),
        (
            r#", "header": {"name": "x-user", "regex": "^a[mn]+$"}"#,
            true,
        ),
        (r#", "header": {"name": "x-user", "regex": "^n"}"#, false),
        (r#", "header": {"name": "x-none", "exact": ""}"#, false),
        (r#", "host": "EXAMPLE.test""#, true),
        (r#", "host": "example.org""#, false),
        (r#", "path_prefix": "/a""#, true),
        (r#", "path_prefix": "/ab""#, false),
        (r#", "path_regex": "^/a$""#, true),
        (r#", "path_regex": "b""#, false),
        (r#", "server_name": "example.test""#, true),
        (r#", "server_name": "example.org""#, false),
        (r#", "networks": ["127.0.0.0/8"]"#, true),
        (r#", "networks": ["10.0.0.0/8"]"#, false),
        (r#", "percent": 100"#, true),
        (r#", "percent": 0"#, false),
        (r#", "path_prefix": "/a", "host": "example.org""#, false),
    ] {
        let mut host = FakeHost::routine(1);
        host.headers.retain(|(name, _)| name != ":authority");
        host.add_header(":authority", "example.test:8080");
        host.add_header("x-user", "ann");
        host.set_text(Attribute::ConnectionTls, "1 example.test");
        let request = report(&mut filter_with(&rule(conditions)), &host);
        let (dye, header, baggage) = if is_dyed {
            ("gray=v2", vec!["gray=v2"], vec!["dye=gray=v2"])
        } else {
            ("", vec![], vec![])
        };
        assert_eq!(request.dye, dye, "{conditions}");
        assert_eq!(host.sent("x-dye"), header, "{conditions}");
        assert_eq!(host.sent("baggage"), baggage, "{conditions}");
        assert_eq!(host.n_rerouted.get(), usize::from(is_dyed), "{conditions}");
    }
}

#[test]
fn the_first_rule_that_fits_counts() {
    let mut filter = filter_with(
        r#"{"dye": {"header": "x-dye", "rules": [{"set": "a=1", "path_prefix": "/z"},
            {"set": "a=2"}, {"set": "a=3"}]}}"#,
    );
    assert_eq!(report(&mut filter, &FakeHost::routine(1)).dye, "a=2");
}

#[test]
fn a_share_of_all_traces_is_the_same_traces_every_time() {
    let mut filter = filter_with(&rule(r#", "percent": 10"#));
    let mut n_dyed = 0;
    for number in 0..2_000 {
        let mut host = FakeHost::routine(number);
        let parent = format!("00-{number:032x}-00f067aa0ba902b7-01").replacen("00-0", "00-f", 1);
        host.add_header("traceparent", &parent);
        let first = report(&mut filter, &host).dye;
        assert_eq!(report(&mut filter, &host).dye, first);
        n_dyed += usize::from(!first.is_empty());
    }
    assert!((140..260).contains(&n_dyed), "{n_dyed} of 2000");
}

#[test]
fn dye_that_a_request_brings_is_kept_and_carried_in_both_ways() {
    for (name, value) in [("x-dye", "blue=1"), ("baggage", "a=1,dye=blue=1")] {
        let mut host = FakeHost::routine(1);
        host.add_header(name, value);
        let request = report(&mut filter_with(&rule("")), &host);
        assert_eq!(request.dye, "blue=1", "{name}");
        assert_eq!(host.sent("x-dye"), ["blue=1"], "{name}");
        assert!(host.sent("baggage")[0].ends_with("dye=blue=1"), "{name}");
    }
}

#[test]
fn dye_from_an_untrusted_edge_reaches_nobody() {
    let mut filter =
        filter_with(r#"{"context": "ignore", "dye": {"header": "x-dye", "baggage": "dye"}}"#);
    let mut host = FakeHost::routine(1);
    host.add_header("x-dye", "blue=1");
    host.add_header("baggage", "a=1,dye=blue=1");
    let request = report(&mut filter, &host);
    assert_eq!((request.dye.as_str(), host.sent("x-dye").len()), ("", 0));
    assert_eq!(host.sent("baggage"), ["a=1"]);
    assert_eq!(host.n_rerouted.get(), 1);
}

#[test]
fn what_is_no_dye_is_not_carried() {
    for value in [
        "",
        "blue",
        "=1",
        "blue=",
        "a=1,b=2",
        "a=\u{e9}",
        &"a=".repeat(100),
    ] {
        let mut host = FakeHost::routine(1);
        host.add_header("x-dye", value);
        let mut filter = filter_with(r#"{"dye": {"header": "x-dye"}}"#);
        assert_eq!(report(&mut filter, &host).dye, "", "{value}");
        assert_eq!(host.sent("x-dye").len(), 0, "{value}");
    }
}
