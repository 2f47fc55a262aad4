//! Dye: a `key=value` label on traffic, which routes can match in the same request.
//!
//! A request keeps the dye that it brings from an edge that is trusted. Otherwise the first rule of which
//! every condition holds dyes it.

use std::hash::Hasher as _;

use regex_lite::Regex;
use siphasher::sip::SipHasher13;
use syntrace_model::{Endpoint, TraceId, baggage};

use super::{ConfigError, is_header, networks, object::Object};
use crate::{ends::Ends, headers::Incoming, json::Json, network::Network, pairs::Pairs};

pub(super) const KEYS: [&str; 3] = ["baggage", "header", "rules"];

pub(super) const RULE_KEYS: [&str; 8] = [
    "header",
    "host",
    "networks",
    "path_prefix",
    "path_regex",
    "percent",
    "server_name",
    "set",
];

pub(super) const HEADER_KEYS: [&str; 4] = ["exact", "name", "prefix", "regex"];

/// Longest dye, bytes.
pub(crate) const MAX_DYE_BYTES: usize = 128;

/// How dye travels, and which requests get it.
#[derive(Clone, Debug)]
pub(crate) struct Dye {
    /// Request header that carries it.
    pub(crate) header: Option<String>,
    /// Key of the `baggage` member that carries it.
    pub(crate) baggage: Option<String>,
    rules: Vec<Rule>,
}

/// Conditions, all of which must hold, and what they lead to.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    set: String,
    header: Option<HeaderIs>,
    host: Option<String>,
    path_prefix: Option<String>,
    path_regex: Option<Regex>,
    server_name: Option<String>,
    networks: Option<Vec<Network>>,
    share: Option<Share>,
}

/// A condition on one header; it holds if any of its lines fits.
#[derive(Clone, Debug)]
struct HeaderIs {
    name: String,
    value: ValueIs,
}

#[derive(Clone, Debug)]
enum ValueIs {
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

/// A share of all traces, in thousandths of a percent: those whose hash is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share(u64);

/// All of them.
const WHOLE: u64 = 100_000;

const SHARE: &str = "a number from 0 to 100 with at most three decimals";

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) lines: Pairs<'a>,
    pub(crate) host: &'a [u8],
    /// Without the query string.
    pub(crate) path: &'a [u8],
    pub(crate) server_name: &'a str,
    pub(crate) peer: Option<Endpoint>,
    pub(crate) trace_id: TraceId,
}

// === impl Seen ===

impl<'a> Seen<'a> {
    /// Takes what is known of a request; `ends` only where rules need them.
    pub(crate) fn new(
        lines: Pairs<'a>,
        incoming: &Incoming<'a>,
        ends: Option<&'a Ends>,
        trace_id: TraceId,
    ) -> Self {
        Self {
            lines,
            host: incoming.authority,
            path: incoming.path(),
            server_name: ends.map_or("", |ends| &ends.server_name),
            peer: ends.and_then(|ends| ends.peer),
            trace_id,
        }
    }
}

// === impl Dye ===

impl Dye {
    pub(super) fn read(dye: &Object<'_>) -> Result<Self, ConfigError> {
        let read = Self {
            header: dye.text("header", is_header, "a header's name in lower case")?,
            baggage: dye.text("baggage", baggage::is_key, "a key of baggage")?,
            rules: dye.list("rules", Rule::read)?.unwrap_or_default(),
        };
        if read.header.is_none() && read.baggage.is_none() {
            let expected = "a header, or a key of `baggage`, for the dye to travel in";
            return Err(dye.contradiction("header", expected));
        }
        Ok(read)
    }

    /// Returns whether a rule looks at the connection.
    pub(crate) fn needs_ends(&self) -> bool {
        let needs = |rule: &Rule| rule.networks.is_some() || rule.server_name.is_some();
        self.rules.iter().any(needs)
    }

    /// Returns the dye of the first rule that fits.
    pub(crate) fn decide(&self, seen: &Seen<'_>) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.fits(seen))?;
        Some(&rule.set)
    }
}

/// Returns whether `text` is dye: `key=value` in visible ASCII, without what divides lists.
pub(crate) fn is_dye(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b",;\\\"".contains(&byte);
    text.len() <= MAX_DYE_BYTES
        && text.bytes().all(is_allowed)
        && text
            .split_once('=')
            .is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
}

// === impl Rule ===

impl Rule {
    fn read(rule: &Object<'_>) -> Result<Self, ConfigError> {
        rule.check_keys(&RULE_KEYS)?;
        let any = |text: &str| !text.is_empty();
        let set = rule.text("set", is_dye, "dye of the form key=value, such as gray=v2")?;
        let header = rule.object("header", &HEADER_KEYS)?;
        Ok(Self {
            set: rule.required("set", set)?,
            header: header.map(|header| HeaderIs::read(&header)).transpose()?,
            host: rule.text("host", any, "a host name")?,
            path_prefix: rule.text("path_prefix", |text| text.starts_with('/'), "a path")?,
            path_regex: regex(rule, "path_regex")?,
            server_name: rule.text("server_name", any, "a server name")?,
            networks: networks(rule, "networks")?,
            share: rule.value("percent", SHARE, Share::read)?,
        })
    }

    fn fits(&self, seen: &Seen<'_>) -> bool {
        self.header
            .as_ref()
            .is_none_or(|header| header.fits(seen.lines))
            && self
                .host
                .as_ref()
                .is_none_or(|host| without_port(seen.host).eq_ignore_ascii_case(host.as_bytes()))
            && self
                .path_prefix
                .as_ref()
                .is_none_or(|prefix| seen.path.starts_with(prefix.as_bytes()))
            && self
                .path_regex
                .as_ref()
                .is_none_or(|regex| is_match(regex, seen.path))
            && self
                .server_name
                .as_ref()
                .is_none_or(|name| seen.server_name.eq_ignore_ascii_case(name))
            && self.networks.as_ref().is_none_or(|networks| {
                seen.peer
                    .is_some_and(|peer| networks.iter().any(|network| network.contains(peer)))
            })
            && self.share.is_none_or(|share| share.holds(seen.trace_id))
    }
}

// === impl HeaderIs ===

impl HeaderIs {
    fn read(header: &Object<'_>) -> Result<Self, ConfigError> {
        let name = header.text("name", is_header, "a header's name in lower case")?;
        let any = |_: &str| true;
        let exact = header.text("exact", any, "a text")?.map(ValueIs::Exact);
        let prefix = header.text("prefix", any, "a text")?.map(ValueIs::Prefix);
        let regex = regex(header, "regex")?.map(ValueIs::Regex);
        let mut values = [exact, prefix, regex].into_iter().flatten();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(header.contradiction("exact", "exactly one of exact, prefix, regex"));
        };
        Ok(Self {
            name: header.required("name", name)?,
            value,
        })
    }

    fn fits(&self, mut lines: Pairs<'_>) -> bool {
        lines.any(|(name, value)| {
            name == self.name.as_bytes()
                && match &self.value {
                    ValueIs::Exact(exact) => value == exact.as_bytes(),
                    ValueIs::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
                    ValueIs::Regex(regex) => is_match(regex, value),
                }
        })
    }
}

// === impl Share ===

impl Share {
    fn read(value: &Json) -> Option<Self> {
        let Json::Number(number) = value else {
            return None;
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
        let share = whole.parse::<u64>().ok()?.checked_mul(1_000)? + thousandths;
        (decimals.len() <= 3 && share <= WHOLE).then_some(Self(share))
    }

    /// Decides by a hash: ids that others made need not be random in any of their bits.
    fn holds(self, trace_id: TraceId) -> bool {
        let mut hasher = SipHasher13::new();
        hasher.write(&trace_id.to_bytes());
        hasher.finish() % WHOLE < self.0
    }
}

fn regex(object: &Object<'_>, key: &str) -> Result<Option<Regex>, ConfigError> {
    // The engine runs in linear time; the limit bounds what one expression may cost in memory.
    let expected = "a regular expression without look-around and back-references";
    object.value(key, expected, |value| {
        let text = value.as_text().filter(|text| text.len() <= 256)?;
        Regex::new(text).ok()
    })
}

fn is_match(regex: &Regex, value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|value| regex.is_match(value))
}

/// Removes the port of an authority.
fn without_port(authority: &[u8]) -> &[u8] {
    let end = authority.iter().rposition(|byte| *byte == b':');
    match end.map(|end| authority.split_at(end)) {
        Some((host, [b':', port @ ..])) if port.iter().all(u8::is_ascii_digit) => host,
        Some(_) | None => authority,
    }
}
