//! One sentence, the requests that show it, and what the service has to receive.

use std::collections::BTreeSet;

/// The trace that clients of the cases are in.
pub(super) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Their span.
pub(super) const SPAN: &str = "00f067aa0ba902b7";
/// Both, sampled.
pub(super) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A sentence of a recommendation.
pub(super) struct Sentence {
    /// The heading that it stands under.
    pub(super) section: &'static str,
    pub(super) text: &'static str,
    pub(super) shown: Shown,
}

/// Whether a sentence can be shown by requests.
pub(super) enum Shown {
    By(Vec<Case>),
    /// It concerns others, or is kept elsewhere: this says whom or where.
    Not(&'static str),
}

/// The filter's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settings {
    Default,
    /// With an entry of its own in `tracestate`.
    Keyed,
    Restart,
    Ignore,
    /// Writes B3 as well.
    WriteB3,
    /// Reads B3 first.
    B3First,
    Dye,
    Observe,
}

/// Requests that are all the same, and what is expected of each.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) sent: Vec<(String, String)>,
    /// How often it is sent, each time on a connection of its own.
    pub(super) connections: usize,
    expected: Vec<Expected>,
}

enum Expected {
    /// The client's trace with these flags, under a new parent id.
    Continues(&'static str),
    /// The client's 64-bit B3 trace.
    ContinuesShort(&'static str),
    /// A new trace, with these flags.
    Begins(&'static str),
    /// Exactly these lines of a header, whose name is in lower case.
    Lines(&'static str, Vec<String>),
    /// One line, which holds the parent id that the service got where `{parent}` stands.
    LineWithParent(&'static str, String),
    /// All ids differ, and each of the right-most 56 bits of the trace id was seen as 0 and as 1.
    Random,
}

type Headers = [(String, String)];

// === impl Settings ===

impl Settings {
    /// In the order of their listeners.
    pub(super) const ALL: [Self; 8] = [
        Self::Default,
        Self::Keyed,
        Self::Restart,
        Self::Ignore,
        Self::WriteB3,
        Self::B3First,
        Self::Dye,
        Self::Observe,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Default => "{}",
            Self::Keyed => r#"{"tracestate_key": "syn"}"#,
            Self::Restart => r#"{"context": "restart"}"#,
            Self::Ignore => r#"{"context": "ignore"}"#,
            Self::WriteB3 => r#"{"write": ["w3c", "b3", "b3_multi"]}"#,
            Self::B3First => r#"{"read": ["b3", "b3_multi", "w3c"]}"#,
            Self::Dye => {
                r#"{"dye": {"header": "x-dye", "baggage": "dye", "rules": [{"set": "gray=50%"}]}}"#
            }
            Self::Observe => r#"{"mode": "observe"}"#,
        }
    }
}

/// Begins a case: requests with these header lines.
pub(super) fn case(name: impl Into<String>, sent: &[(&str, &str)]) -> Case {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Case {
        name: name.into(),
        settings: Settings::Default,
        sent: sent.iter().map(owned).collect(),
        connections: 1,
        expected: Vec::new(),
    }
}

// === impl Case ===

impl Case {
    pub(super) fn with(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    pub(super) fn times(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    pub(super) fn continues(self, flags: &'static str) -> Self {
        self.expect(Expected::Continues(flags))
    }

    pub(super) fn continues_short(self, flags: &'static str) -> Self {
        self.expect(Expected::ContinuesShort(flags))
    }

    /// The trace begins anew, recorded and random.
    pub(super) fn begins(self) -> Self {
        self.expect(Expected::Begins("03"))
    }

    /// The trace begins anew with these flags.
    pub(super) fn begins_with(self, flags: &'static str) -> Self {
        self.expect(Expected::Begins(flags))
    }

    pub(super) fn line(self, name: &'static str, value: impl Into<String>) -> Self {
        self.expect(Expected::Lines(name, vec![value.into()]))
    }

    pub(super) fn lines(self, name: &'static str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.expect(Expected::Lines(name, values))
    }

    pub(super) fn without(self, name: &'static str) -> Self {
        self.lines(name, &[])
    }

    pub(super) fn line_with_parent(self, name: &'static str, value: impl Into<String>) -> Self {
        self.expect(Expected::LineWithParent(name, value.into()))
    }

    pub(super) fn random(self) -> Self {
        self.expect(Expected::Random)
    }

    fn expect(mut self, expected: Expected) -> Self {
        self.expected.push(expected);
        self
    }

    /// Holds what the service received against what is expected; the error says what differs.
    pub(super) fn check(&self, received: &[Vec<(String, String)>]) -> Result<(), String> {
        if received.len() != self.connections || self.expected.is_empty() {
            return Err(format!("{} answers", received.len()));
        }
        for expected in &self.expected {
            if matches!(expected, Expected::Random) {
                random(received)?;
                continue;
            }
            for headers in received {
                self.check_one(expected, headers)?;
            }
        }
        Ok(())
    }

    fn check_one(&self, expected: &Expected, headers: &Headers) -> Result<(), String> {
        let fails = |what: &str| Err(format!("{what} in {headers:?}"));
        match expected {
            Expected::Continues(flags) | Expected::ContinuesShort(flags) => {
                let [trace, parent, seen] = traceparent(headers)?;
                let is_short = matches!(expected, Expected::ContinuesShort(_));
                let expected = if is_short {
                    format!("{:0>32}", &TRACE[16..])
                } else {
                    TRACE.to_owned()
                };
                if trace != expected || seen != *flags || parent == SPAN {
                    return fails("another context");
                }
            }
            Expected::Begins(flags) => {
                let [trace, parent, seen] = traceparent(headers)?;
                let is_old = |id: &str| {
                    let lower = |value: &String| value.to_ascii_lowercase();
                    self.sent.iter().any(|(_, value)| lower(value).contains(id))
                };
                if is_old(&trace) || is_old(&parent) || seen != *flags {
                    return fails("no new trace");
                }
            }
            Expected::Lines(name, values) => {
                let seen: Vec<_> = lines(headers, name);
                if seen != values.iter().collect::<Vec<_>>() {
                    return fails(&format!("not {name}: {values:?}"));
                }
            }
            Expected::LineWithParent(name, value) => {
                let [_, parent, _] = traceparent(headers)?;
                let value = value.replace("{parent}", &parent);
                if lines(headers, name) != [&value] {
                    return fails(&format!("not {name}: {value}"));
                }
            }
            Expected::Random => {}
        }
        Ok(())
    }
}

/// Returns the values of a header in their order; its name has to be in lower case.
fn lines<'a>(headers: &'a Headers, name: &str) -> Vec<&'a String> {
    let named = headers.iter().filter(|(line, _)| line == name);
    named.map(|(_, value)| value).collect()
}

/// Reads the one `traceparent` that must be there, of version 00: trace id, parent id and flags.
fn traceparent(headers: &Headers) -> Result<[String; 3], String> {
    let [value] = lines(headers, "traceparent")[..] else {
        return Err(format!("not one traceparent in {headers:?}"));
    };
    let is_hex = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fields: Vec<_> = value.split('-').map(str::to_owned).collect();
    match <[String; 4]>::try_from(fields) {
        Ok([version, trace, parent, flags])
            if version == "00"
                && [trace.len(), parent.len(), flags.len()] == [32, 16, 2]
                && [&trace, &parent, &flags].iter().all(|field| is_hex(field))
                && [&trace, &parent]
                    .iter()
                    .all(|id| id.bytes().any(|byte| byte != b'0')) =>
        {
            Ok([trace, parent, flags])
        }
        _ => Err(format!("no traceparent of version 00: {value}")),
    }
}

fn random(received: &[Vec<(String, String)>]) -> Result<(), String> {
    const LOW: u64 = (1 << 56) - 1;
    let (mut ids, mut ones, mut zeros) = (BTreeSet::new(), 0, 0);
    for headers in received {
        let [trace, parent, _] = traceparent(headers)?;
        let low = u64::from_str_radix(&trace[16..], 16).map_err(|error| error.to_string())?;
        ones |= low;
        zeros |= !low;
        ids.extend([trace, parent]);
    }
    if ids.len() == 2 * received.len() && ones & LOW == LOW && zeros & LOW == LOW {
        Ok(())
    } else {
        Err(format!("{} ids, bits {ones:x} and {zeros:x}", ids.len()))
    }
}
