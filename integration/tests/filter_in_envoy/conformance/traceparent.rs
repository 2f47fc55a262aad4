//! `traceparent`: W3C Trace Context, level 2, "Traceparent Header" and "Mutating the traceparent Field".

use super::case::{Case, PARENT, SPAN, Sentence, Settings, Shown, TRACE, case};

/// A list that is dropped with the context that it came with.
const STATE: (&str, &str) = ("tracestate", "a=1");

/// Every sentence that says what a participant does.
pub(super) fn sentences() -> Vec<Sentence> {
    let mut sentences = fields();
    sentences.extend(flags());
    sentences.extend(versions());
    sentences.extend(mutations());
    sentences
}

fn fields() -> Vec<Sentence> {
    vec![
        Sentence {
            section: "Header Name",
            text: "The header name is ASCII case-insensitive",
            shown: Shown::By(vec![
                case("a name in upper case", &[("TRACEPARENT", PARENT)]).continues("01"),
                case("a name in mixed case", &[("TraceParent", PARENT)]).continues("01"),
                case("a name with a hyphen", &[("trace-parent", PARENT)]).begins(),
                case("a name with an underscore", &[("trace_parent", PARENT)]).begins(),
            ]),
        },
        Sentence {
            section: "Header Name",
            text: "tracing systems SHOULD encode the header name as ASCII lowercase",
            shown: Shown::By(vec![
                case("the service sees lower case", &[("TRACEPARENT", PARENT)])
                    .without("TRACEPARENT")
                    .continues("01"),
            ]),
        },
        Sentence {
            section: "version",
            text: "Version 255 (\"ff\") is invalid",
            shown: Shown::By(vec![restarted("version ff", &replaced(0, "ff"))]),
        },
        Sentence {
            section: "traceparent Header Field Values",
            text: "HEXDIGLC: lowercase hex characters; the dash is the delimiter between fields",
            shown: Shown::By(vec![
                restarted("an upper-case version", &replaced(0, "0A")),
                restarted("an upper-case trace id", &PARENT.to_uppercase()),
                restarted("an upper-case parent id", &replaced(36, "00F067AA0BA902B7")),
                restarted("upper-case flags", &replaced(53, "0A")),
                restarted("a dot for a dash", &PARENT.replace('-', ".")),
                restarted("an underscore for the second dash", &replaced(35, "_")),
                case(
                    "white space around",
                    &[("traceparent", &format!(" \t{PARENT}\t "))],
                )
                .continues("01"),
                restarted("white space within", &PARENT.replace('-', " -")),
                restarted("an empty header", ""),
            ]),
        },
        Sentence {
            section: "trace-id",
            text: "All bytes as zero is considered an invalid value. If the trace-id value is invalid, vendors MUST \
                   ignore the entire header",
            shown: Shown::By(vec![
                restarted("a trace id of zeros", &replaced(3, &"0".repeat(32))),
                restarted("a dot in the trace id", &replaced(10, ".")),
                restarted("a letter beyond f in the trace id", &replaced(10, "g")),
                restarted(
                    "a trace id that is too long",
                    &PARENT.replace(TRACE, &format!("{TRACE}0")),
                ),
                restarted(
                    "a trace id that is too short",
                    &PARENT.replace(TRACE, &TRACE[1..]),
                ),
            ]),
        },
        Sentence {
            section: "parent-id",
            text: "Vendors MUST ignore the traceparent when the parent-id is invalid",
            shown: Shown::By(vec![
                restarted("a parent id of zeros", &replaced(36, &"0".repeat(16))),
                restarted("a dot in the parent id", &replaced(40, ".")),
                restarted("a letter beyond f in the parent id", &replaced(40, "g")),
                restarted(
                    "a parent id that is too long",
                    &PARENT.replace(SPAN, &format!("{SPAN}0")),
                ),
                restarted(
                    "a parent id that is too short",
                    &PARENT.replace(SPAN, &SPAN[1..]),
                ),
            ]),
        },
        Sentence {
            section: "trace-id",
            text: "The value of trace-id SHOULD be globally unique; at least the right-most 7 bytes SHOULD be \
                   (pseudo-)randomly generated",
            shown: Shown::By(vec![
                case("64 connections", &[]).times(64).begins().random(),
            ]),
        },
        Sentence {
            section: "Considerations for span-id field generation",
            text: "Values of span-id SHOULD be randomly generated, and unique within a distributed trace",
            shown: Shown::By(vec![
                case("64 requests of one trace", &[("traceparent", PARENT)])
                    .times(64)
                    .continues("01"),
            ]),
        },
    ]
}

fn flags() -> Vec<Sentence> {
    vec![
        Sentence {
            section: "trace-flags",
            text: "flags cannot be interpreted by a simple equality comparison",
            shown: Shown::By(vec![
                flagged("sampled and random", "03", "03"),
                flagged("sampled and an unknown flag", "05", "01"),
                restarted("a flag that is no digit", &replaced(54, ".")),
                restarted("flags of three digits", &format!("{PARENT}0")),
                restarted("flags of one digit", &PARENT[..54]),
            ]),
        },
        Sentence {
            section: "Sampled flag",
            text: "it can only be mutated when parent-id is updated; if a component needs to make a recording decision, it \
                   SHOULD respect the sampled flag",
            shown: Shown::By(vec![
                flagged("sampled stays", "01", "01"),
                flagged("not sampled stays", "00", "00"),
            ]),
        },
        Sentence {
            section: "Sampled flag",
            text: "If a component made a definitive recording decision, it SHOULD be reflected in the sampled flag",
            shown: Shown::By(vec![
                case("a trace that begins here is recorded", &[]).begins_with("03"),
            ]),
        },
        Sentence {
            section: "Sampled flag",
            text: "If a component deferred or delayed the decision, the flag should be propagated unchanged, and be 0 where \
                   the trace is initiated",
            shown: Shown::Not("the filter defers no decision: it reports every request"),
        },
        Sentence {
            section: "Random Trace ID Flag",
            text: "When starting or restarting a trace: if the flag is set, at least the right-most 7 bytes MUST be random; \
                   when they are, the flag SHOULD be set",
            shown: Shown::By(vec![
                case("64 traces that begin, flag and bits", &[])
                    .times(64)
                    .begins_with("03")
                    .random(),
                case(
                    "64 traces that begin anew, flag and bits",
                    &[("traceparent", PARENT)],
                )
                .with(Settings::Restart)
                .times(64)
                .begins_with("03")
                .random(),
            ]),
        },
        Sentence {
            section: "Random Trace ID Flag",
            text: "When continuing a trace: if the flag is set, it MUST be set in all outgoing headers",
            shown: Shown::By(vec![
                flagged("random", "02", "02"),
                flagged("random and an unknown flag", "0a", "02"),
            ]),
        },
        Sentence {
            section: "Random Trace ID Flag",
            text: "When continuing a trace: if the flag is unset, it MUST be unset in any outgoing headers",
            shown: Shown::By(vec![
                flagged("not random", "08", "00"),
                flagged("not random, sampled", "09", "01"),
            ]),
        },
        Sentence {
            section: "Other Flags",
            text: "Vendors MUST set those to zero",
            shown: Shown::By(vec![
                flagged("all flags", "ff", "03"),
                flagged("the third flag alone", "04", "00"),
                flagged("the eighth flag alone", "80", "00"),
            ]),
        },
    ]
}

fn versions() -> Vec<Sentence> {
    let future = |rest: &str| format!("cc{}{rest}", &PARENT[2..]);
    vec![
        Sentence {
            section: "Versioning of traceparent",
            text: "When the version prefix cannot be parsed (it is not 2 hex characters followed by a dash), the implementation \
                   should restart the trace",
            shown: Shown::By(vec![
                restarted("a dot in the version", &replaced(0, ".0")),
                restarted("a letter beyond f in the version", &replaced(0, "0g")),
                restarted("a version of three digits", &format!("0{PARENT}")),
                restarted("a version of one digit", &PARENT[1..]),
                restarted("no version", &PARENT[3..]),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "If a higher version is detected, the implementation SHOULD try to parse it; if all three values were parsed \
                   successfully, the vendor should use them",
            shown: Shown::By(vec![
                case("version cc", &[("traceparent", &future(""))]).continues("01"),
                case("version 01", &[("traceparent", &replaced(0, "01"))]).continues("01"),
                case("version fe", &[("traceparent", &replaced(0, "fe"))]).continues("01"),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "If the size of the header is shorter than 55 characters, the vendor should not parse the header and should \
                   restart the trace",
            shown: Shown::By(vec![restarted(
                "version cc, 54 characters",
                &future("")[..54],
            )]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "Vendors MUST check that the 32 characters are hex, and that they are followed by a dash",
            shown: Shown::By(vec![
                restarted(
                    "version cc, a dot in the trace id",
                    &format!("cc{}", &replaced(10, ".")[2..]),
                ),
                restarted(
                    "version cc, no dash after the trace id",
                    &format!("cc{}", &replaced(35, "0")[2..]),
                ),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "Vendors MUST check that the 16 characters are hex and followed by a dash",
            shown: Shown::By(vec![
                restarted(
                    "version cc, a dot in the parent id",
                    &format!("cc{}", &replaced(40, ".")[2..]),
                ),
                restarted(
                    "version cc, no dash after the parent id",
                    &format!("cc{}", &replaced(52, "0")[2..]),
                ),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "Vendors MUST check that the 2 characters are either at the end of the string or followed by a dash",
            shown: Shown::By(vec![
                case(
                    "version cc, more after a dash",
                    &[("traceparent", &future("-what-the-future-brings"))],
                )
                .continues("01"),
                case(
                    "version cc, nothing after a dash",
                    &[("traceparent", &future("-"))],
                )
                .continues("01"),
                restarted(
                    "version cc, more without a dash",
                    &future(".what-the-future-brings"),
                ),
                restarted("version 00, more after a dash", &format!("{PARENT}-x")),
                restarted("version 00, nothing after a dash", &format!("{PARENT}-")),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "Vendors MUST NOT parse or assume anything about unknown fields; they MUST use these fields to construct the \
                   new traceparent according to the highest version known (00)",
            shown: Shown::By(vec![
                case(
                    "version cc with flags of the future",
                    &[("traceparent", &future("-00-00").replace("-01-", "-ff-"))],
                )
                .continues("03"),
            ]),
        },
        Sentence {
            section: "Versioning of traceparent",
            text: "Pass-through services should not analyze the version",
            shown: Shown::By(vec![
                case(
                    "version cc, where nothing is written",
                    &[("traceparent", &future("-x"))],
                )
                .with(Settings::Observe)
                .line("traceparent", future("-x")),
            ]),
        },
    ]
}

fn mutations() -> Vec<Sentence> {
    vec![
        Sentence {
            section: "Mutating the traceparent Field",
            text: "A vendor receiving a request without a traceparent header SHOULD generate traceparent headers for outbound \
                   requests",
            shown: Shown::By(vec![
                case("no traceparent", &[]).begins(),
                case("no traceparent, from an edge that is not trusted", &[])
                    .with(Settings::Ignore)
                    .begins(),
            ]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "A vendor receiving a traceparent request header MUST send it to outgoing requests",
            shown: Shown::By(vec![
                case("it is sent on", &[("traceparent", PARENT)]).continues("01"),
                case(
                    "two that are equal name two senders",
                    &[("traceparent", PARENT), ("traceparent", PARENT), STATE],
                )
                .begins()
                .without("tracestate"),
                case(
                    "two that differ name two senders",
                    &[
                        ("traceparent", PARENT),
                        ("traceparent", &replaced(3, "5")),
                        STATE,
                    ],
                )
                .begins()
                .without("tracestate"),
            ]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "If the value of the traceparent field wasn't changed before propagation, tracestate MUST NOT be modified as \
                   well",
            shown: Shown::By(vec![
                case(
                    "nothing is written, and both stay as they came",
                    &[
                        ("traceparent", PARENT),
                        ("tracestate", "b=2 , A"),
                        ("tracestate", "a=1"),
                    ],
                )
                .with(Settings::Observe)
                .line("traceparent", PARENT)
                .lines("tracestate", &["b=2 , A", "a=1"]),
            ]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "Update parent-id: set to the new value representing the ID of the current operation; it MUST be set to a new \
                   value with the sampled flag update",
            shown: Shown::By(vec![flagged("the parent id is new", "00", "00")]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "Restart trace: all properties are regenerated. Vendors SHOULD clean up tracestate on traceparent restart",
            shown: Shown::By(vec![
                case("restart", &[("traceparent", PARENT), STATE])
                    .with(Settings::Restart)
                    .begins()
                    .without("tracestate"),
                case("ignore", &[("traceparent", PARENT), STATE])
                    .with(Settings::Ignore)
                    .begins()
                    .without("tracestate"),
            ]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "Downgrade the version: the first mutation is to downgrade the version of the header",
            shown: Shown::By(vec![
                case(
                    "version 7f becomes 00",
                    &[("traceparent", &replaced(0, "7f"))],
                )
                .continues("01"),
            ]),
        },
        Sentence {
            section: "Mutating the traceparent Field",
            text: "Vendors MUST NOT make any other mutations to the traceparent header",
            shown: Shown::By(vec![flagged(
                "the trace id stays, in a header of four fields",
                "02",
                "02",
            )]),
        },
        Sentence {
            section: "A traceparent is Received",
            text: "If the version cannot be parsed, or parsing of a higher one fails, or trace-id, parent-id or trace-flags are \
                   invalid, the vendor creates a new traceparent header and deletes tracestate",
            shown: Shown::By(vec![
                restarted("no version at all", "x"),
                restarted("a higher version that is too short", "cc-1-2-3"),
                restarted("the supported version, too short", "00-1-2-3"),
                restarted("non-ASCII bytes", &replaced(10, "\u{e9}")),
                restarted("a header of 30 KB", &"0".repeat(30_000)),
            ]),
        },
        Sentence {
            section: "A traceparent is Received",
            text: "The vendor MUST modify the traceparent header: parent-id MUST be set to the ID of the current operation",
            shown: Shown::By(vec![
                case(
                    "the service's parent is the gateway",
                    &[("traceparent", PARENT), STATE],
                )
                .with(Settings::Keyed)
                .continues("01")
                .line_with_parent("tracestate", "syn={parent},a=1"),
            ]),
        },
        Sentence {
            section: "Trace Context HTTP Response Headers",
            text: "the called service MAY return a traceresponse field",
            shown: Shown::Not("the filter writes no response headers"),
        },
        Sentence {
            section: "Interoperating with existing systems which use shorter identifiers",
            text: "it SHOULD left pad the original identifier with zeroes; if the result does not satisfy the constraints of \
                   the random-trace-id flag, the flag MUST be set to 0",
            shown: Shown::By(vec![
                case(
                    "a trace id of 64 bits by B3",
                    &[("b3", &format!("{}-{SPAN}-1", &TRACE[16..]))],
                )
                .continues_short("01"),
            ]),
        },
        Sentence {
            section: "Privacy Considerations",
            text: "Tracing vendors MUST NOT use traceparent and tracestate fields for any personally identifiable or otherwise \
                   sensitive information",
            shown: Shown::Not(
                "ids come from a keyed hash of a counter under a random key; the own entry is the parent id",
            ),
        },
    ]
}

/// A context that is no context: the trace begins anew, and its list goes with it.
fn restarted(name: &str, traceparent: &str) -> Case {
    case(name, &[("traceparent", traceparent), STATE])
        .begins()
        .without("tracestate")
}

/// A valid context with these flags, and the flags that the service gets.
fn flagged(name: &str, sent: &str, expected: &'static str) -> Case {
    let header = format!("{}{sent}", &PARENT[..53]);
    case(name, &[("traceparent", &header)]).continues(expected)
}

/// The valid header with other characters from `start` on, and as many fewer of its own.
fn replaced(start: usize, with: &str) -> String {
    let rest = start + with.chars().count();
    format!("{}{with}{}", &PARENT[..start], &PARENT[rest..])
}
