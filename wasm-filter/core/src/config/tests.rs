//! Every key, what is said of a wrong one, and that the published schema says the same.

use serde_json::{Value, json};

use super::*;

const SCHEMA: &str = include_str!("../../../../envoy/filter-config.schema.json");

fn parse(json: &Value) -> Result<Config, ConfigError> {
    Config::parse(json.to_string().as_bytes())
}

fn error(text: &str) -> String {
    Config::parse(text.as_bytes()).unwrap_err().to_string()
}

/// A configuration that has every key, and says nothing that is the default.
fn everything() -> Value {
    json!({
        "baggage": ["tenant"],
        "bridge_cluster": "b",
        "capture": [{"header": "user-agent", "of": "request", "redact": "hash"}],
        "context": "restart",
        "detail_above_ms": 1,
        "dye": {"header": "x-dye", "baggage": "dye", "rules": [{
            "set": "gray=v2",
            "header": {"name": "x-user", "regex": "^a.*z$"},
            "host": "example.test",
            "path_prefix": "/a",
            "path_regex": "b$",
            "server_name": "example.test",
            "networks": ["10.0.0.0/8"],
            "percent": 12.5,
        }]},
        "edges": [{"networks": ["10.0.0.0/8", "::1"], "context": "ignore"}],
        "flush_interval_ms": 20,
        "gateway": "g",
        "house_id": {"header": "x-trace", "pattern": "t-{uuid}"},
        "max_batch_facts": 3,
        "max_connections": 4,
        "max_queue_bytes": 65_536,
        "mode": "tag",
        "path": "template",
        "read": ["house", "w3c", "b3", "b3_multi"],
        "requests_per_trace": 5,
        "tracestate_key": "syn",
        "write": ["w3c", "house"],
    })
}

#[test]
fn an_unknown_key_is_named_on_one_line_whatever_it_is() {
    let long = format!(r#"{{"a\n{}": 1}}"#, "b".repeat(10_000));
    let line = error(&long);
    assert!(line.starts_with(r"unknown key `a\nbbb"), "{line}");
    assert!(line.len() < 1_000 && !line.contains('\n'), "{line}");
}

#[test]
fn no_configuration_means_all_defaults() {
    for text in ["", "  \n", "{}"] {
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!(config.sending, Sending::default());
        assert_eq!(
            format!("{:?}", config.rules),
            format!("{:?}", Rules::default())
        );
    }
}

#[test]
fn every_key_is_read() {
    let everything = everything();
    let mut keys: Vec<_> = everything.as_object().unwrap().keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS);
    let config = parse(&everything).unwrap();
    let expected = Sending {
        bridge_cluster: "b".to_owned(),
        flush_interval_ms: 20,
        gateway: Some("g".to_owned()),
        max_batch_facts: 3,
        max_connections: 4,
        max_queue_bytes: 65_536,
    };
    assert_eq!(config.sending, expected);
    let rules = config.rules;
    assert_eq!(
        (
            rules.context,
            rules.path,
            rules.requests_per_trace,
            rules.detail_above_ms
        ),
        (Policy::Restart, PathForm::Template, 5, 1)
    );
    assert_eq!(rules.policy("10.1.2.3:4".parse().ok()), Policy::Ignore);
    assert_eq!(rules.policy("11.1.2.3:4".parse().ok()), Policy::Restart);
    assert_eq!(rules.policy(None), Policy::Restart);
    assert_eq!(rules.write, [Format::W3c, Format::House]);
    assert_eq!(rules.tracestate_key.as_deref(), Some("syn"));
    assert!(rules.need_ends() && rules.capture.len() == 1 && rules.baggage == ["tenant"]);
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    for (text, message) in [
        ("{", "configuration is not JSON: expected a key at byte 1"),
        ("[]", "`configuration` is [], expected a JSON object"),
        (
            r#"{"gateway": ""}"#,
            r#"`gateway` is "", expected a text of 1 to 200 visible ASCII characters"#,
        ),
        (
            r#"{"flush_interval_ms": "1"}"#,
            r#"`flush_interval_ms` is "1", expected a whole number from 10 to 60000"#,
        ),
        (
            r#"{"requests_per_trace": 0}"#,
            "`requests_per_trace` is 0, expected a whole number from 1 to 1000000",
        ),
        (
            r#"{"mode": "log"}"#,
            r#"`mode` is "log", expected one of tag, observe"#,
        ),
        (
            r#"{"read": ["w3c", "zipkin"]}"#,
            r#"`read[1]` is "zipkin", expected one of w3c, b3, b3_multi, house"#,
        ),
        (
            r#"{"edges": [{"context": "restart"}]}"#,
            "`edges[0].networks` is missing, expected a value",
        ),
        (
            r#"{"edges": [{"networks": ["10.0.0.1/8"], "context": "restart"}]}"#,
            r#"`edges[0].networks[0]` is "10.0.0.1/8", expected a network, such as 10.0.0.0/8"#,
        ),
        (
            r#"{"dye": {"header": "x-dye", "rules": [{"set": "a=b", "percent": 100.5}]}}"#,
            "`dye.rules[0].percent` is 100.5, expected a number from 0 to 100 with at most three decimals",
        ),
        (
            r#"{"dye": {"header": "x-dye", "rules": [{"set": "a=b", "path_regex": "("}]}}"#,
            r#"`dye.rules[0].path_regex` is "(", expected a regular expression without look-around and back-references"#,
        ),
        (
            r#"{"dye": {"header": "x-dye", "rules": [{"set": "gray"}]}}"#,
            r#"`dye.rules[0].set` is "gray", expected dye of the form key=value, such as gray=v2"#,
        ),
    ] {
        assert_eq!(error(text), message);
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_known_ones() {
    let known = KEYS.join(", ");
    assert_eq!(
        error(r#"{"bridge_clutser": "b"}"#),
        format!("unknown key `bridge_clutser`, expected one of {known}")
    );
    assert_eq!(
        error(r#"{"house_id": {"head": "x"}}"#),
        "unknown key `house_id.head`, expected one of header, pattern"
    );
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (text, message) in [
        (
            r#"{"mode": "observe", "write": ["b3"]}"#,
            r#"`write` is ["b3"], expected none where `mode` is "observe": nothing is written"#,
        ),
        (
            r#"{"read": ["house"]}"#,
            r#"`read` is ["house"], expected "house" only beside `house_id`"#,
        ),
        (
            r#"{"house_id": {"header": "x", "pattern": "{hex}"}}"#,
            r#"`house_id` is {"header":"x","pattern":"{hex}"}, expected "house" in `read` or in `write`"#,
        ),
        (
            r#"{"tracestate_key": "syn", "write": ["b3"]}"#,
            r#"`tracestate_key` is "syn", expected "w3c" in `write`"#,
        ),
        (
            r#"{"dye": {"rules": []}}"#,
            "`dye.header` is missing, expected a header, or a key of `baggage`, for the dye to travel in",
        ),
        (
            r#"{"dye": {"header": "x-dye", "rules": [{"set": "a=b", "header": {"name": "x", "exact": "a", "prefix": "a"}}]}}"#,
            r#"`dye.rules[0].header.exact` is "a", expected exactly one of exact, prefix, regex"#,
        ),
        (
            r#"{"capture": [{"header": "cookie"}]}"#,
            "`capture[0].redact` is missing, expected hash or length for a header that holds secrets",
        ),
    ] {
        assert_eq!(error(text), message);
    }
}

#[test]
fn a_giant_wrong_value_is_shortened() {
    let text = format!(r#"{{"gateway": "{}"}}"#, "\u{e9}".repeat(1_000));
    assert!(error(&text).len() < 250);
}

#[test]
fn the_published_schema_has_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |pointer: &str| {
        let properties = schema.pointer(pointer).and_then(Value::as_object);
        let mut keys: Vec<_> = properties.unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys("/properties"), KEYS);
    assert_eq!(keys("/properties/house_id/properties"), house_id::KEYS);
    assert_eq!(keys("/properties/capture/items/properties"), capture::KEYS);
    assert_eq!(keys("/properties/dye/properties"), dye::KEYS);
    assert_eq!(keys("/$defs/rule/properties"), dye::RULE_KEYS);
    assert_eq!(
        keys("/$defs/rule/properties/header/properties"),
        dye::HEADER_KEYS
    );
}

#[test]
fn the_published_schema_has_the_same_defaults_bounds_and_words() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let default = format!("{:?}", Config::default());
    for (key, property) in schema["properties"].as_object().unwrap() {
        let with = |value: &Value| parse(&json!({ key: value }));
        if let Some(value) = property.get("default") {
            assert_eq!(format!("{:?}", with(value).unwrap()), default, "{key}");
        }
        if let Some(least) = property.get("minimum").and_then(Value::as_u64) {
            let most = property["maximum"].as_u64().unwrap();
            assert!(
                with(&json!(least)).is_ok() && with(&json!(most)).is_ok(),
                "{key}"
            );
            assert!(with(&json!(most + 1)).is_err(), "{key}");
            assert!(least == 0 || with(&json!(least - 1)).is_err(), "{key}");
        }
        for word in property
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert!(with(word).is_ok(), "{key}: {word}");
        }
    }
    let words = |pointer: &str| {
        let words = schema.pointer(pointer).and_then(Value::as_array).unwrap();
        words.iter().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    assert_eq!(
        words("/properties/context/enum"),
        POLICIES.map(|(word, _)| word)
    );
    assert_eq!(words("/properties/mode/enum"), MODES.map(|(word, _)| word));
    assert_eq!(
        words("/$defs/formats/items/enum"),
        FORMATS.map(|(word, _)| word)
    );
    assert_eq!(
        words("/properties/path/enum"),
        path::FORMS.map(|(word, _)| word)
    );
}
