//! What happened when: the kernel's steps and the requests on one scale.

use std::io::{self, Write};

use anstyle::Style;
use jiff::Timestamp;

use crate::cli::{
    answers::{Connection, Request},
    list,
    text::{self, BAD, BOLD, FAINT},
};

/// Lines that are written; a connection may have carried thousands of requests.
const LINES_MAX: usize = 500;

struct Event {
    at: Timestamp,
    style: Style,
    what: String,
    note: String,
}

/// Writes everything in the order in which it happened, from the first SYN or request.
pub(super) fn write(
    out: &mut impl Write,
    connections: &[Connection],
    requests: &[Request],
) -> io::Result<()> {
    let mut events: Vec<Event> = connections.iter().flat_map(steps).collect();
    events.extend(requests.iter().map(request));
    events.sort_by_key(|event| event.at);
    let Some(begun_at) = events.first().map(|event| event.at) else {
        return Ok(());
    };
    writeln!(out)?;
    for event in events.iter().take(LINES_MAX) {
        let ms = event.at.duration_since(begun_at).as_secs_f64() * 1e3;
        let (style, what) = (event.style, text::visible(&event.what));
        let note = text::visible(&event.note);
        writeln!(
            out,
            "  {FAINT}{ms:>+12.3} ms{FAINT:#}  {style}{what}{style:#}  {FAINT}{note}{FAINT:#}"
        )?;
    }
    if events.len() > LINES_MAX {
        let more = events.len() - LINES_MAX;
        writeln!(out, "  {FAINT}{more} more lines: --json has all{FAINT:#}")?;
    }
    Ok(())
}

fn steps(connection: &Connection) -> Vec<Event> {
    let (syn, syn_ack) = match connection.opening.as_deref() {
        Some("active") => ("SYN sent", "SYN-ACK received"),
        _ => ("SYN received", "SYN-ACK sent"),
    };
    let outcome = connection.outcome.as_deref().unwrap_or("closed");
    let end = if connection.cause.is_some() {
        BAD
    } else {
        BOLD
    };
    let steps = [
        (connection.syn_at, syn, BOLD),
        (connection.syn_ack_at, syn_ack, BOLD),
        (connection.established_at, "established", BOLD),
        (connection.accepted_at, "accepted", BOLD),
        (connection.closed_at, outcome, end),
    ];
    let note = connection.ends();
    let mut events: Vec<Event> = steps
        .into_iter()
        .filter_map(|(at, what, style)| {
            Some(Event {
                at: at?,
                style,
                what: text::plain(what),
                note: note.clone(),
            })
        })
        .collect();
    events.extend(connection.incidents.iter().filter_map(|incident| {
        Some(Event {
            at: incident.at?,
            style: BAD,
            what: text::plain(&incident.kind),
            note: format!("{} times, {note}", incident.count.max(1)),
        })
    }));
    events
}

fn request(request: &Request) -> Event {
    Event {
        at: request.started_at,
        style: if request.is_failure() { BAD } else { BOLD },
        what: format!("{} {}", request.method, request.path),
        note: format!(
            "{}, {}",
            list::status(request),
            text::duration(request.duration_ns)
        ),
    }
}
