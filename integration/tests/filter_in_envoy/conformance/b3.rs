//! B3 in one header and in several, and its order beside `traceparent`.

use super::case::{PARENT, SPAN, Sentence, Settings, Shown, TRACE, case};

/// What B3's specification says of a participant.
pub(super) fn sentences() -> Vec<Sentence> {
    let single = |rest: &str| format!("{TRACE}-{SPAN}{rest}");
    let other = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
    vec![
        Sentence {
            section: "Single Header",
            text: "b3={TraceId}-{SpanId}-{SamplingState}-{ParentSpanId}, where the last two fields are optional",
            shown: Shown::By(vec![
                case(
                    "two fields: the decision is deferred, and made here",
                    &[("b3", &single(""))],
                )
                .continues("01"),
                case("three fields", &[("b3", &single("-1"))]).continues("01"),
                case("four fields", &[("b3", &single("-1-05e3ac9a4f6e3b90"))]).continues("01"),
                case("not sampled", &[("b3", &single("-0"))]).continues("00"),
                case("debug", &[("b3", &single("-d"))]).continues("01"),
                case(
                    "upper case is read",
                    &[("b3", &single("-1").to_uppercase())],
                )
                .continues("01"),
                case(
                    "five fields are none",
                    &[("b3", &single("-1-05e3ac9a4f6e3b90-1"))],
                )
                .begins(),
                case(
                    "a span of zeros is none",
                    &[("b3", &format!("{TRACE}-0000000000000000-1"))],
                )
                .begins(),
            ]),
        },
        Sentence {
            section: "Single Header",
            text: "a sampling state alone is allowed: b3=0",
            shown: Shown::By(vec![
                case("b3 of 0 alone", &[("b3", "0")]).begins_with("02"),
                case("b3 of 1 alone", &[("b3", "1")]).begins(),
            ]),
        },
        Sentence {
            section: "Multiple Headers",
            text: "X-B3-TraceId, X-B3-SpanId, X-B3-Sampled, X-B3-Flags",
            shown: Shown::By(vec![
                case(
                    "ids and decision",
                    &[
                        ("X-B3-TraceId", TRACE),
                        ("X-B3-SpanId", SPAN),
                        ("X-B3-Sampled", "0"),
                    ],
                )
                .continues("00"),
                case(
                    "debug by flags",
                    &[
                        ("x-b3-traceid", TRACE),
                        ("x-b3-spanid", SPAN),
                        ("x-b3-flags", "1"),
                    ],
                )
                .continues("01"),
                case("a trace without a span is none", &[("x-b3-traceid", TRACE)]).begins(),
                case(
                    "two trace ids are none",
                    &[
                        ("x-b3-traceid", TRACE),
                        ("x-b3-traceid", TRACE),
                        ("x-b3-spanid", SPAN),
                    ],
                )
                .begins(),
            ]),
        },
        Sentence {
            section: "TraceId",
            text: "16 or 32 lower-hex characters",
            shown: Shown::By(vec![
                case(
                    "64 bits are widened",
                    &[("b3", &format!("{}-{SPAN}-1", &TRACE[16..]))],
                )
                .continues_short("01"),
                case(
                    "64 bits are written as they came",
                    &[("b3", &format!("{}-{SPAN}-1", &TRACE[16..]))],
                )
                .with(Settings::WriteB3)
                .line_with_parent("b3", format!("{}-{{parent}}-1", &TRACE[16..]))
                .line("x-b3-traceid", &TRACE[16..]),
                case(
                    "24 characters are none",
                    &[("b3", &format!("{}-{SPAN}-1", &TRACE[8..]))],
                )
                .begins(),
            ]),
        },
        Sentence {
            section: "The order of formats (this filter's `read` and `write`)",
            text: "the first valid context in the configured order counts, and every configured format is written",
            shown: Shown::By(vec![
                case(
                    "traceparent before b3",
                    &[("traceparent", PARENT), ("b3", other)],
                )
                .continues("01"),
                case(
                    "b3 before traceparent",
                    &[
                        ("traceparent", &PARENT.replace(TRACE, &"1".repeat(32))),
                        ("b3", &single("-0")),
                    ],
                )
                .with(Settings::B3First)
                .continues("00"),
                case(
                    "b3 where traceparent is invalid",
                    &[("traceparent", "x"), ("b3", &single("-1"))],
                )
                .continues("01"),
                case(
                    "one header and several are written",
                    &[
                        ("traceparent", PARENT),
                        ("x-b3-parentspanid", SPAN),
                        ("x-b3-flags", "1"),
                    ],
                )
                .with(Settings::WriteB3)
                .continues("01")
                .line_with_parent("b3", format!("{TRACE}-{{parent}}-1"))
                .line("x-b3-traceid", TRACE)
                .line_with_parent("x-b3-spanid", "{parent}")
                .line("x-b3-sampled", "1")
                .without("x-b3-parentspanid")
                .without("x-b3-flags"),
                case(
                    "what came from an edge that is not trusted goes",
                    &[("b3", other), ("x-b3-traceid", TRACE)],
                )
                .with(Settings::Restart)
                .begins()
                .without("b3")
                .without("x-b3-traceid"),
            ]),
        },
    ]
}
