//! `tracestate`: W3C Trace Context, level 2, "Tracestate Header" and "Mutating the tracestate Field".

use super::case::{Case, PARENT, Sentence, Settings, Shown, case};

/// Every sentence that says what a participant does.
pub(super) fn sentences() -> Vec<Sentence> {
    let mut sentences = lists();
    sentences.extend(entries());
    sentences.extend(limits());
    sentences.extend(mutations());
    sentences
}

fn lists() -> Vec<Sentence> {
    vec![
        Sentence {
            section: "Tracestate Header",
            text: "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate",
            shown: Shown::By(vec![
                case(
                    "after a traceparent that is none",
                    &[("traceparent", "00-0-0-01"), ("tracestate", "a=1")],
                )
                .begins()
                .without("tracestate"),
                case(
                    "the same with an own entry",
                    &[("traceparent", "00-0-0-01"), ("tracestate", "a=1")],
                )
                .with(Settings::Keyed)
                .begins()
                .line_with_parent("tracestate", "syn={parent}"),
            ]),
        },
        Sentence {
            section: "Tracestate Header",
            text: "failure to parse tracestate MUST NOT affect the parsing of traceparent",
            shown: Shown::By(vec![
                dropped("an entry without a value", "a"),
                dropped("an entry without a key", "=1"),
                dropped("one entry of several is wrong", "a=1,B=2,c=3"),
            ]),
        },
        Sentence {
            section: "Tracestate Header",
            text: "tracestate MUST NOT be used for any properties that are not defined by a tracing system",
            shown: Shown::By(vec![
                state("the own entry is the parent id", "a=1")
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", "syn={parent},a=1"),
            ]),
        },
        Sentence {
            section: "Header Name",
            text: "The header name is ASCII case-insensitive; tracing systems SHOULD encode it as ASCII lowercase",
            shown: Shown::By(vec![
                case(
                    "upper case",
                    &[("traceparent", PARENT), ("TRACESTATE", "a=1")],
                )
                .continues("01")
                .line("tracestate", "a=1"),
                case(
                    "mixed case",
                    &[("traceparent", PARENT), ("TraceState", "a=1")],
                )
                .continues("01")
                .line("tracestate", "a=1"),
                case(
                    "a name with a hyphen",
                    &[("traceparent", PARENT), ("trace-state", "a=1")],
                )
                .continues("01")
                .without("tracestate"),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "When receiving multiple tracestate header fields, they MUST be combined into a single header according to RFC \
                   9110; it SHOULD be sent as a single field when possible",
            shown: Shown::By(vec![
                several("three fields", &["a=1,b=2", "c=3", "d=4"])
                    .line("tracestate", "a=1,b=2,c=3,d=4"),
                several("three fields and an own entry", &["a=1,b=2", "c=3", "d=4"])
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", "syn={parent},a=1,b=2,c=3,d=4"),
                several("one of them empty", &["a=1", "", "b=2"]).line("tracestate", "a=1,b=2"),
                several("one of them wrong", &["a=1", "B=2"]).without("tracestate"),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "a caller SHOULD NOT generate optional whitespace other than a single space",
            shown: Shown::By(vec![
                state("what is written has none", "a=1 , \tb=2")
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", "syn={parent},a=1,b=2"),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "Spaces and horizontal tabs surrounding list-members are ignored",
            shown: Shown::By(vec![
                kept("spaces and tabs", "a=1 \t , \t b=2, \t c=3", "a=1,b=2,c=3"),
                kept("around all of it", "\t a=1 \t", "a=1"),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "There can be a maximum of 32 list-members in a list",
            shown: Shown::By(vec![
                unchanged("32 members", &list(0..32)),
                dropped("33 members", &list(0..33)),
                several("33 members in two fields", &[&list(0..30), &list(30..33)])
                    .without("tracestate"),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "If adding an entry would cause the list to contain more than 32 list-members the right-most list-member should \
                   be removed",
            shown: Shown::By(vec![
                state("an own entry before 32", &list(0..32))
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", format!("syn={{parent}},{}", list(0..31))),
            ]),
        },
        Sentence {
            section: "tracestate Header Field Values",
            text: "Empty and whitespace-only list members are allowed. Vendors MUST accept empty tracestate headers but SHOULD \
                   avoid sending them",
            shown: Shown::By(vec![
                kept("empty members", "a=1,, ,\t,b=2,", "a=1,b=2"),
                state("an empty header", "").without("tracestate"),
                state("white space and commas", " , ,").without("tracestate"),
            ]),
        },
    ]
}

fn entries() -> Vec<Sentence> {
    let long = "z".repeat(256);
    let every = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@a";
    let value: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    vec![
        Sentence {
            section: "Key",
            text: "A key MUST begin with a lowercase letter or a digit and contain up to 256 characters (level 1: a digit only in a \
                   multi-tenant key)",
            shown: Shown::By(vec![
                unchanged("every character", &format!("{every}=1")),
                unchanged("256 characters", &format!("{long}=1")),
                unchanged("a digit first", "0a=1"),
                unchanged("a tenant and its system", "fw529a3039@dt=FfAAA"),
                unchanged("several at signs, one at the end", "foo@bar@baz=1,foo@=2"),
                dropped("257 characters", &format!("{long}z=1")),
                dropped("an at sign first", "@foo=1,bar=2"),
                dropped("a dash first", "-foo=1"),
                dropped("an upper-case letter", "Foo=1"),
                dropped("a dot", "foo.bar=1"),
                dropped("a space before the equals sign", "foo =1"),
            ]),
        },
        Sentence {
            section: "Value",
            text: "up to 256 printable ASCII characters except comma and equals sign",
            shown: Shown::By(vec![
                unchanged("every value character", &format!("foo={value}")),
                unchanged(
                    "a value of 256 characters",
                    &format!("foo={}", "v".repeat(256)),
                ),
                dropped(
                    "a value of 257 characters",
                    &format!("foo={}", "v".repeat(257)),
                ),
                dropped("a second equals sign", "foo=bar=baz"),
                dropped("a value that is empty", "foo=,bar=3"),
                dropped("a tab in a value", "foo=a\tb"),
                dropped("a value beyond ASCII", "foo=\u{e9}"),
            ]),
        },
        Sentence {
            section: "Value",
            text: "All leading spaces MUST be preserved as part of the value; optional trailing whitespace MAY be excluded",
            shown: Shown::By(vec![kept(
                "spaces before and behind",
                "foo=  1  ,bar= 2",
                "foo=  1,bar= 2",
            )]),
        },
    ]
}

fn limits() -> Vec<Sentence> {
    let short = "y".repeat(100);
    let many: Vec<_> = (0..6).map(|number| format!("k{number}={short}")).collect();
    let long = format!("long={}", "x".repeat(200));
    vec![
        Sentence {
            section: "tracestate Limits",
            text: "Vendors SHOULD propagate at least 512 characters of a combined header",
            shown: Shown::By(vec![
                unchanged(
                    "512 characters",
                    &format!("a={},b={}", "v".repeat(252), "w".repeat(255)),
                ),
                unchanged(
                    "8000 characters",
                    &(0..32)
                        .map(|n| format!("k{n:02}={}", "v".repeat(246)))
                        .collect::<Vec<_>>()
                        .join(","),
                ),
                // The own entry and its comma take 21 characters.
                kept(
                    "512 characters, the own entry among them",
                    &filling(491),
                    &filling(491),
                ),
            ]),
        },
        Sentence {
            section: "tracestate Limits",
            text: "the vendor MUST truncate whole entries. Entries larger than 128 characters SHOULD be removed first, then \
                   entries starting from the end",
            shown: Shown::By(vec![
                state(
                    "a long entry goes before short ones",
                    &format!("{long},{}", many[..4].join(",")),
                )
                .with(Settings::Keyed)
                .line_with_parent(
                    "tracestate",
                    format!("syn={{parent}},{}", many[..4].join(",")),
                ),
                state("then the last ones", &many.join(","))
                    .with(Settings::Keyed)
                    .line_with_parent(
                        "tracestate",
                        format!("syn={{parent}},{}", many[..4].join(",")),
                    ),
            ]),
        },
        Sentence {
            section: "Versioning of tracestate",
            text: "Vendors need to attempt to parse tracestate if a higher version is detected",
            shown: Shown::By(vec![
                case(
                    "version cc",
                    &[
                        ("traceparent", &format!("cc{}-x", &PARENT[2..])),
                        ("tracestate", "a=1"),
                    ],
                )
                .with(Settings::Keyed)
                .continues("01")
                .line_with_parent("tracestate", "syn={parent},a=1"),
            ]),
        },
    ]
}

fn mutations() -> Vec<Sentence> {
    vec![
        Sentence {
            section: "Mutating the tracestate Field",
            text: "Vendors receiving a tracestate request header MUST send it to outgoing requests; the order of unmodified \
                   key/value pairs MUST be preserved",
            shown: Shown::By(vec![
                unchanged(
                    "three entries",
                    "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,blue=3",
                ),
                state("three entries behind the own one", "rojo=1,congo=2,blue=3")
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", "syn={parent},rojo=1,congo=2,blue=3"),
            ]),
        },
        Sentence {
            section: "Mutating the tracestate Field",
            text: "Modified keys MUST be moved to the beginning of the list; a new pair SHOULD be added to the beginning. Adding \
                   MUST NOT result in the same key being present multiple times",
            shown: Shown::By(vec![
                state("an older own entry", "rojo=1,syn=old,blue=3")
                    .with(Settings::Keyed)
                    .line_with_parent("tracestate", "syn={parent},rojo=1,blue=3"),
            ]),
        },
        Sentence {
            section: "Mutating the tracestate Field",
            text: "Vendors SHOULD NOT delete keys that were not generated by them; vendors MAY discard duplicate keys that were \
                   not generated by them",
            shown: Shown::By(vec![
                unchanged("a duplicate stays where nothing is added", "foo=1,foo=2"),
                state(
                    "the first of a duplicate stays where something is",
                    "foo=1,bar=2,foo=3",
                )
                .with(Settings::Keyed)
                .line_with_parent("tracestate", "syn={parent},foo=1,bar=2"),
                several("a duplicate in two fields", &["foo=1", "foo=2"])
                    .line("tracestate", "foo=1"),
            ]),
        },
        Sentence {
            section: "No traceparent Received",
            text: "If a tracestate header is received without an accompanying traceparent header, it is invalid and MUST be \
                   discarded",
            shown: Shown::By(vec![
                case("tracestate alone", &[("tracestate", "a=1")])
                    .begins()
                    .without("tracestate"),
                case(
                    "two fields alone",
                    &[("tracestate", "a=1"), ("tracestate", "b=1")],
                )
                .begins()
                .without("tracestate"),
                case("alone, with an own entry", &[("tracestate", "a=1")])
                    .with(Settings::Keyed)
                    .begins()
                    .line_with_parent("tracestate", "syn={parent}"),
                case(
                    "beside a context of B3",
                    &[
                        ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"),
                        ("tracestate", "a=1"),
                    ],
                )
                .continues("01")
                .without("tracestate"),
            ]),
        },
        Sentence {
            section: "No traceparent Received",
            text: "The vendor SHOULD create a new tracestate header and add a new key/value pair",
            shown: Shown::By(vec![
                case("where the filter was given a key", &[])
                    .with(Settings::Keyed)
                    .begins()
                    .line_with_parent("tracestate", "syn={parent}"),
            ]),
        },
        Sentence {
            section: "A traceparent is Received",
            text: "If the tracestate header cannot be parsed the vendor MAY discard the entire header",
            shown: Shown::By(vec![
                dropped("all of it", "a=1,b"),
                state("all of it but the own entry", "a=1,b")
                    .with(Settings::Keyed)
                    .continues("01")
                    .line_with_parent("tracestate", "syn={parent}"),
            ]),
        },
        Sentence {
            section: "Privacy of tracestate field",
            text: "Vendors MUST NOT include any personally identifiable information; MAY implement selective removal of values \
                   corresponding to the unknown keys",
            shown: Shown::Not("the own entry is the parent id; no entry of others is removed"),
        },
    ]
}

/// The valid context with this list.
fn state(name: &str, tracestate: &str) -> Case {
    case(name, &[("traceparent", PARENT), ("tracestate", tracestate)])
}

/// The valid context with several fields.
fn several(name: &str, fields: &[&str]) -> Case {
    let mut sent = vec![("traceparent", PARENT)];
    sent.extend(fields.iter().map(|field| ("tracestate", *field)));
    case(name, &sent).continues("01")
}

/// A list that is no list: it is dropped, and its context kept.
fn dropped(name: &str, tracestate: &str) -> Case {
    state(name, tracestate)
        .continues("01")
        .without("tracestate")
}

/// A list that is sent on to the letter.
fn unchanged(name: &str, tracestate: &str) -> Case {
    state(name, tracestate)
        .continues("01")
        .line("tracestate", tracestate)
}

/// A list that is read as `entries`: they stand behind the own entry.
fn kept(name: &str, tracestate: &str, entries: &str) -> Case {
    state(name, tracestate)
        .with(Settings::Keyed)
        .continues("01")
        .line_with_parent("tracestate", format!("syn={{parent}},{entries}"))
}

/// A list of so many characters, in two entries.
fn filling(len: usize) -> String {
    format!("a={},b={}", "v".repeat(238), "w".repeat(len - 243))
}

fn list(numbers: std::ops::Range<u32>) -> String {
    let entries: Vec<_> = numbers
        .map(|number| format!("k{number:02}={number}"))
        .collect();
    entries.join(",")
}
