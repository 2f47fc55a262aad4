//! `baggage`: W3C Baggage, as far as one is concerned who adds a member, and passes the others on.

use super::case::{Case, Sentence, Settings, Shown, case};

/// The member that a rule adds: `gray=50%` under the key `dye`.
const OWN: &str = "dye=gray=50%25";

/// Every sentence that says what a system that mutates does.
pub(super) fn sentences() -> Vec<Sentence> {
    let members = |n: usize| {
        (0..n)
            .map(|number| format!("k{number}=1"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let long = |n: usize| format!("k={}", "v".repeat(n - 2));
    vec![
        Sentence {
            section: "Baggage HTTP Header Format",
            text: "it SHOULD be passed on to all downstream requests; implementations SHOULD keep the header name lowercase",
            shown: Shown::By(vec![
                case("one header", &[("Baggage", "a=1;p=2, b = 2")])
                    .line("baggage", "a=1;p=2, b = 2"),
                case("several headers", &[("baggage", "a=1"), ("baggage", "b=2")])
                    .lines("baggage", &["a=1", "b=2"]),
                case("what is no baggage", &[("baggage", "=,\u{e9}")]).line("baggage", "=,\u{e9}"),
            ]),
        },
        Sentence {
            section: "baggage-string",
            text: "Values can be combined in a single header; the order of duplicate entries SHOULD be preserved when mutating the \
                   list",
            shown: Shown::By(vec![dyed(
                "a member is added behind",
                &["a=1", "b=2,a=3"],
                &format!("a=1,b=2,a=3,{OWN}"),
            )]),
        },
        Sentence {
            section: "baggage-string",
            text: "Producers SHOULD try to produce a baggage-string without any list-members which duplicate the key of another",
            shown: Shown::By(vec![dyed(
                "an older own member",
                &["a=1,dye=x,b=2"],
                &format!("a=1,b=2,{OWN}"),
            )]),
        },
        Sentence {
            section: "key",
            text: "Leading and trailing whitespaces are allowed and are not considered to be a part of the key",
            shown: Shown::By(vec![dyed(
                "an older own member with spaces",
                &[" dye =x"],
                OWN,
            )]),
        },
        Sentence {
            section: "value",
            text: "Any code points outside of the baggage-octet range MUST be percent-encoded; the percent code point MUST be \
                   percent-encoded",
            shown: Shown::By(vec![dyed("a percent sign", &[], OWN)]),
        },
        Sentence {
            section: "value",
            text: "value MAY contain any number of equal signs: parsers MUST NOT assume that it only separates key and value",
            shown: Shown::By(vec![
                case("dye is read with its own", &[("baggage", "dye=a=b")])
                    .with(Settings::Dye)
                    .line("x-dye", "a=b")
                    .line("baggage", "dye=a=b"),
                case("dye is read encoded", &[("baggage", "dye=a%3Db")])
                    .with(Settings::Dye)
                    .line("x-dye", "a=b"),
            ]),
        },
        Sentence {
            section: "value",
            text: "percent-encoded octet sequences that do not match UTF-8 MUST be replaced with the replacement code point",
            shown: Shown::By(vec![
                case(
                    "such a value is no dye, and stays none",
                    &[("baggage", "dye=a=%ff")],
                )
                .with(Settings::Dye)
                .line("x-dye", "gray=50%"),
            ]),
        },
        Sentence {
            section: "property",
            text: "Property keys and values are given no specific meaning",
            shown: Shown::By(vec![dyed(
                "properties stay",
                &["a=1;p;q=2 ; r"],
                &format!("a=1;p;q=2 ; r,{OWN}"),
            )]),
        },
        Sentence {
            section: "Limits",
            text: "A platform MUST propagate all list-members including any added by the platform whenever the result has 64 \
                   list-members or less and 8192 bytes or less",
            shown: Shown::By(vec![
                dyed(
                    "64 members with the own one",
                    &[&members(63)],
                    &format!("{},{OWN}", members(63)),
                ),
                dyed(
                    "8192 bytes with the own one",
                    &[&long(8192 - 15)],
                    &format!("{},{OWN}", long(8192 - 15)),
                ),
                dyed(
                    "both in two headers",
                    &[&members(30), &long(2_000)],
                    &format!("{},{},{OWN}", members(30), long(2_000)),
                ),
            ]),
        },
        Sentence {
            section: "Limits",
            text: "If either condition is not met, a platform MAY drop list-members; it MUST NOT propagate any partial ones",
            shown: Shown::By(vec![
                dyed(
                    "beyond 64 nothing is added or dropped",
                    &[&members(64)],
                    &members(64),
                ),
                dyed(
                    "beyond 8192 bytes nothing is added or dropped",
                    &[&long(8_190)],
                    &long(8_190),
                ),
            ]),
        },
    ]
}

/// Baggage where a rule adds a member, and what the service gets.
fn dyed(name: &str, sent: &[&str], expected: &str) -> Case {
    let sent: Vec<_> = sent.iter().map(|line| ("baggage", *line)).collect();
    case(name, &sent)
        .with(Settings::Dye)
        .line("baggage", expected)
}
