//! What happened when: the kernel's steps and the requests on one time scale.

use std::io::{self, Write};

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use crate::cli::{
    answers::{Connection, Incident, Request},
    list,
    text::{self, BAD, BOLD, FAINT},
    words,
};

/// Lines that are written; a connection may have carried thousands of requests.
const LINES_MAX: usize = 500;

/// What happened, in its order.
pub(super) struct Events {
    /// What the others are told from.
    zero: Option<Timestamp>,
    events: Vec<Event>,
}

struct Event {
    at: Timestamp,
    style: Style,
    what: String,
    note: String,
}

/// Returns everything, in time from the first SYN or request.
pub(super) fn of(connections: &[Connection], requests: &[Request]) -> Events {
    let incidents = connections.iter().flat_map(|connection| {
        let incidents = connection.incidents.iter();
        incidents.filter_map(|incident| of_incident(connection, incident))
    });
    let mut events: Vec<Event> = connections.iter().flat_map(steps).collect();
    events.extend(incidents);
    events.extend(requests.iter().map(of_request));
    events.sort_by_key(|event| event.at);
    Events {
        zero: events.first().map(|event| event.at),
        events,
    }
}

/// Returns the steps of a request's connections, told from the request's begin, with the incidents that
/// happened while it was there: a pooled connection may be hours older.
pub(super) fn around(request: &Request, connections: &[Connection]) -> Events {
    let Events { mut events, .. } = of(&[], std::slice::from_ref(request));
    for connection in connections {
        events.extend(steps(connection));
        let within = connection
            .incidents
            .iter()
            .filter(|incident| incident.at.is_some_and(|at| is_during(request, at)));
        events.extend(within.filter_map(|incident| of_incident(connection, incident)));
    }
    events.sort_by_key(|event| event.at);
    Events {
        zero: Some(request.started_at),
        events,
    }
}

fn is_during(request: &Request, at: Timestamp) -> bool {
    let after = at.duration_since(request.started_at);
    let lasted = SignedDuration::from_nanos(i64::try_from(request.duration_ns).unwrap_or(i64::MAX));
    !after.is_negative() && after <= lasted
}

/// Writes a line for each.
pub(super) fn write(out: &mut impl Write, Events { zero, events }: Events) -> io::Result<()> {
    let Some(zero) = zero else {
        return Ok(());
    };
    writeln!(out)?;
    for event in events.iter().take(LINES_MAX) {
        let ms = event.at.duration_since(zero).as_secs_f64() * 1e3;
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
    steps
        .into_iter()
        .filter_map(|(at, what, style)| {
            Some(Event {
                at: at?,
                style,
                what: text::plain(what),
                note: note.clone(),
            })
        })
        .collect()
}

fn of_incident(connection: &Connection, incident: &Incident) -> Option<Event> {
    let often = match incident.count {
        0 | 1 => String::new(),
        count => format!(", {count} times"),
    };
    Some(Event {
        at: incident.at?,
        style: BAD,
        what: format!("{}{often}", words::incident(&incident.kind)),
        note: connection.outwards(),
    })
}

fn of_request(request: &Request) -> Event {
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
