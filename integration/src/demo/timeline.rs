//! Draws one TCP connection as a timeline: at most 100 columns, in colours that a pipe or `NO_COLOR` takes away.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::wire::{Tuple, Wire};
use crate::{
    api::{Connection, Join, Opening, Request},
    sandbox::{CLIENT, SERVICE_GRPC, SERVICE_HTTP},
};

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const LAYER_4: Style = AnsiColor::Cyan.on_default();
const LAYER_7: Style = AnsiColor::Magenta.on_default();

/// Columns of text beside the indentation of a sentence.
const TEXT_COLUMNS: usize = 94;

/// One line of the timeline.
struct Event {
    at: Timestamp,
    style: Style,
    what: String,
    note: String,
}

/// Draws the `number`th connection, with the requests that belong to it.
pub(super) fn draw(number: usize, (from, to): Tuple, wire: &Wire, requests: &[&Request]) -> String {
    let mut text = String::new();
    let outcome = wire
        .ends()
        .find_map(|end| end.outcome.as_deref())
        .unwrap_or("unknown");
    let style = if is_failure(outcome) { BAD } else { GOOD };
    let (opener, acceptor) = (role(from), role(to));
    line(
        &mut text,
        format_args!(
            "{BOLD}{number:>2}  {opener} {from} → {acceptor} {to}{BOLD:#}  {style}{outcome}{style:#}"
        ),
    );
    for sentence in wrapped(&answer(wire, requests)) {
        line(&mut text, format_args!("    {sentence}"));
    }
    for end in wire.ends() {
        identity(&mut text, end);
    }
    let mut events: Vec<Event> = wire.ends().flat_map(milestones).collect();
    events.extend(requests.iter().map(|request| request_event(request, wire)));
    events.sort_by_key(|event| event.at);
    let begun_at = wire
        .begun_at()
        .or_else(|| events.first().map(|event| event.at));
    for Event {
        at,
        style,
        what,
        note,
    } in &events
    {
        let ms = begun_at.map_or(0.0, |begun_at| {
            at.duration_since(begun_at).as_secs_f64() * 1e3
        });
        line(
            &mut text,
            format_args!(
                "  {FAINT}{ms:>+10.3} ms{FAINT:#}  {style}{what:<22}{style:#}  {FAINT}{note}{FAINT:#}"
            ),
        );
    }
    text
}

/// The answer in one sentence: why it failed, or else where its slowest request spent its time.
fn answer(wire: &Wire, requests: &[&Request]) -> String {
    let of_connection = wire.ends().find_map(|end| end.cause.as_ref());
    let mut failed = requests.iter().filter(|request| is_bad(request));
    let first_failed = failed.next();
    let slowest = requests.iter().max_by_key(|request| request.duration_ns);
    let of_request = first_failed.or(slowest).map(|request| &request.cause);
    let Some(cause) = of_connection.or(of_request) else {
        return "It carried no request".to_owned();
    };
    match failed.count() {
        0 => cause.sentence.clone(),
        1 => format!("{}; one more request failed", cause.sentence),
        more => format!("{}; {more} more requests failed", cause.sentence),
    }
}

/// What the colours and words mean, once for all timelines.
pub(super) fn legend() -> String {
    format!(
        "Each connection with its answer, its trace ids, and what happened when, counted from its SYN:\n\
         {LAYER_4}what the kernel saw at either end{LAYER_4:#}, \
         {LAYER_7}what the proxy saw of a request{LAYER_7:#} and how it was joined,\n\
         {BAD}what failed{BAD:#}\n"
    )
}

fn identity(text: &mut String, end: &Connection) {
    let side = match end.opening {
        Some(Opening::Active) => "opener",
        Some(Opening::Passive) => "acceptor",
        None => "proxy",
    };
    let (id, source) = (&end.trace_id, source(&end.trace_id_source));
    line(
        text,
        format_args!("    {side:<8}  {LAYER_4}{id}{LAYER_4:#}  {FAINT}{source}{FAINT:#}"),
    );
    for alias in &end.aliases {
        let tag = end.tag.as_ref().filter(|tag| tag.id == *alias);
        let tag = tag.map_or_else(String::new, |tag| format!(": the SYN's tag, {}", tag.state));
        line(
            text,
            format_args!("              {FAINT}{alias}  alias{tag}{FAINT:#}"),
        );
    }
}

/// What the kernel saw at one end.
fn milestones(end: &Connection) -> Vec<Event> {
    let is_active = end.opening == Some(Opening::Active);
    let name = end.local.map_or("proxy", |local| role(local));
    let mut events = Vec::new();
    let mut add = |at: Option<Timestamp>, style: Style, what: &str, note: String| {
        events.extend(at.map(|at| Event {
            at,
            style,
            what: what.to_owned(),
            note,
        }));
    };
    let tag = end
        .tag
        .as_ref()
        .map_or_else(String::new, |tag| format!(", tag {}", tag.state));
    let (syn, syn_ack) = if is_active {
        ("SYN sent", "SYN-ACK received")
    } else {
        ("SYN received", "SYN-ACK sent")
    };
    add(end.syn_at, LAYER_4, syn, format!("{name}{tag}"));
    add(end.syn_ack_at, LAYER_4, syn_ack, name.to_owned());
    add(end.established_at, LAYER_4, "established", name.to_owned());
    let waited = end
        .accepted_at
        .zip(end.established_at)
        .map(|(accepted, ready)| accepted.duration_since(ready));
    let waited = waited.map_or_else(String::new, |wait| {
        format!(", waited {:.3} ms at most", wait.as_secs_f64() * 1e3)
    });
    add(
        end.accepted_at,
        LAYER_4,
        "accepted",
        format!("{name}{waited}"),
    );
    let outcome = end.outcome.as_deref().unwrap_or("closed");
    let bytes = end.counters.map_or_else(String::new, |counters| {
        format!(
            ", {} bytes out, {} in, {} sent again",
            counters.bytes_acked, counters.bytes_received, counters.retransmits
        )
    });
    add(
        end.closed_at,
        if is_failure(outcome) { BAD } else { LAYER_4 },
        outcome,
        format!("{name}{bytes}"),
    );
    events
}

/// A request, as this connection had to do with it.
fn request_event(request: &Request, wire: &Wire) -> Event {
    let joins = [
        ("received", Some(&request.received_on)),
        ("served", request.served_by.as_ref()),
        ("waited for it", request.opened.as_ref()),
    ];
    let here = joins
        .into_iter()
        .filter_map(|(how, join)| Some((how, join?)));
    let mut ways: Vec<(String, &Join)> = Vec::new();
    for (how, join) in here.filter(|(_, join)| join.connection().is_some_and(|id| wire.is(id))) {
        match ways.iter_mut().find(|(_, known)| *known == join) {
            Some((hows, _)) => hows.push_str(" and opened"),
            None => ways.push((how.to_owned(), join)),
        }
    }
    let how: Vec<String> = ways
        .iter()
        .map(|(how, join)| format!("{how}: {join}"))
        .collect();
    let status = request
        .status
        .map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let grpc = request
        .grpc_status
        .map_or_else(String::new, |status| format!(", gRPC {status}"));
    let ms = f64::from(u32::try_from(request.duration_ns / 1000).unwrap_or(u32::MAX)) / 1e3;
    Event {
        at: request.started_at,
        style: if is_bad(request) { BAD } else { LAYER_7 },
        what: format!("{} {}", request.method, request.path),
        note: format!("{status}{grpc}, {ms:.3} ms; {}", how.join("; ")),
    }
}

fn is_bad(request: &Request) -> bool {
    request.status.is_none_or(|status| status >= 500)
        || request.grpc_status.is_some_and(|status| status > 0)
}

fn source(name: &str) -> &str {
    match name {
        "filter" => "minted by the filter",
        "tag" => "from the SYN's tag",
        "kernel" => "minted by the probe",
        other => other,
    }
}

fn is_failure(outcome: &str) -> bool {
    !matches!(outcome, "connecting" | "established" | "closed")
}

fn role(end: std::net::SocketAddr) -> &'static str {
    match end.ip() {
        ip if ip == CLIENT => "client",
        ip if ip == SERVICE_HTTP => "service-http",
        ip if ip == SERVICE_GRPC => "service-grpc",
        _ => "gateway",
    }
}

fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= TEXT_COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}
