//! `syntrace show`: one connection, one request, or all under one trace id.

mod events;

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde_json::Value;
use syntrace_model::Traceparent;

use super::{
    CliError, Exit,
    answers::{Cause, Connection, Join, Request, Trace},
    bridge::{AskError, Bridge, encode},
    list,
    text::{self, BAD, BOLD, FAINT},
    words,
};

/// Printed where nothing was found.
const FINDABLE: &str = "What can be found: an id of a connection, a span id, a trace id or alias, a traceparent, \
    an x-request-id; an address, a pair of them, a network; \"503 10:04\", a status and a time (UTC); \
    \"p99 10:04\", the slowest of that minute; dye=gray=v2, the requests with that label.";

/// Width of the names on the left.
const NAMES: usize = 12;

/// Says what is known under an id of any kind.
pub(super) async fn run(
    bridge: &Bridge,
    id: &str,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let Some((kind, value)) = look_up(bridge, id).await? else {
        writeln!(
            anstream::stderr(),
            "{BAD}Nothing is stored under {}{BAD:#}: it may have expired, or belong to another host's bridge.\n\
             {FAINT}{FINDABLE}{FAINT:#}",
            text::visible(id)
        )?;
        return Ok(Exit::NotFound);
    };
    if json {
        serde_json::to_writer_pretty(&mut *out, &value).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    match kind {
        "connections" => {
            let connection: Connection = bridge.shape(&value)?;
            let trace = trace(bridge, &connection.trace_id).await?;
            list::warn(trace.incomplete)?;
            let requests = trace
                .requests
                .iter()
                .filter(|request| touches(request, &connection.id));
            let mut requests: Vec<Request> = requests.cloned().collect();
            requests.sort_by_key(|request| request.started_at);
            say_connection(out, &connection, &requests)?;
        }
        "requests" => {
            let request: Request = bridge.shape(&value)?;
            // The one that it waited for is mostly the one that carried it.
            let ids: BTreeSet<&str> = joins(&request)
                .filter_map(|(_, join)| join.connection.as_deref())
                .collect();
            let mut connections = Vec::new();
            for id in ids {
                let path = format!("/v1/connections/{}", encode(id));
                match bridge.json(&path, &[]).await {
                    Ok(value) => connections.push(bridge.shape(&value)?),
                    Err(error) if error.is_unknown() => {}
                    Err(error) if error.is_awaited() => list::warn(Some(error))?,
                    Err(error) => return Err(error.into()),
                }
            }
            say_request(out, &request, &connections)?;
        }
        _ => {
            let trace: Trace = bridge.shape(&value)?;
            list::warn(trace.incomplete)?;
            say_trace(out, &trace)?;
        }
    }
    Ok(Exit::Done)
}

/// Finds what has the id: itself first, then everything under it.
async fn look_up(bridge: &Bridge, id: &str) -> Result<Option<(&'static str, Value)>, AskError> {
    let context = Traceparent::parse(id.as_bytes()).ok();
    let span = context.map_or_else(|| id.to_owned(), |context| context.parent_id.to_string());
    let name = context.map_or_else(|| id.to_owned(), |context| context.trace_id.to_string());
    for (kind, id) in [
        ("connections", &name),
        ("requests", &span),
        ("traces", &name),
    ] {
        match bridge
            .json(&format!("/v1/{kind}/{}", encode(id)), &[])
            .await
        {
            Ok(value) => return Ok(Some((kind, value))),
            Err(error) if error.is_unknown() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn trace(bridge: &Bridge, id: &str) -> Result<Trace, AskError> {
    let value = bridge
        .json(&format!("/v1/traces/{}", encode(id)), &[])
        .await?;
    bridge.shape(&value)
}

fn joins(request: &Request) -> impl Iterator<Item = (&'static str, &Join)> {
    let all = [
        ("received on", Some(&request.received_on)),
        ("waited for", request.opened.as_ref()),
        ("carried by", request.served_by.as_ref()),
    ];
    all.into_iter()
        .filter_map(|(name, join)| Some((name, join?)))
}

fn touches(request: &Request, connection: &str) -> bool {
    joins(request).any(|(_, join)| join.connection.as_deref() == Some(connection))
}

fn say_connection(
    out: &mut impl Write,
    connection: &Connection,
    requests: &[Request],
) -> io::Result<()> {
    match &connection.cause {
        Some(cause) => headline(out, cause)?,
        None => {
            let outcome = connection
                .outcome
                .as_deref()
                .unwrap_or("seen by the proxy only");
            let carried = requests.len() as u64 + connection.requests_evicted;
            let carried = text::counted(carried, "request");
            writeln!(
                out,
                "{BOLD}{}, with {carried}{BOLD:#}",
                text::plain(outcome)
            )?;
        }
    }
    field(out, "connection", &connection.ends())?;
    field(
        out,
        "role",
        connection.role.as_deref().unwrap_or("not known"),
    )?;
    field(out, "trace", &connection.trace_id)?;
    for alias in &connection.aliases {
        field(out, "alias", alias)?;
    }
    field(out, "id from", &connection.trace_id_source)?;
    field(out, "record", &connection.id)?;
    field(out, "state", state(connection.settled))?;
    let seen: Vec<String> = connection.coverage.iter().filter_map(seen).collect();
    field(out, "seen", &seen.join(", "))?;
    if connection.requests_evicted > 0 {
        let left_out = text::counted(connection.requests_evicted, "older request");
        field(out, "left out", &left_out)?;
    }
    evidence(out, connection.cause.as_ref())?;
    events::write(out, events::of(std::slice::from_ref(connection), requests))
}

/// Says one thing about how well a record was seen; what is as it should be, in few words.
fn seen((name, value): (&String, &Value)) -> Option<String> {
    let name = text::plain(name);
    match value {
        Value::Bool(true) => Some(name),
        Value::Bool(false) if matches!(&*name, "kernel" | "proxy" | "handshake") => {
            Some(format!("no {name}"))
        }
        Value::Number(count) if count.as_u64() > Some(1) => Some(format!("{name} {count}")),
        Value::String(word) => Some(text::plain(word)),
        Value::Array(words) if !words.is_empty() => Some(format!("{name} {value}")),
        Value::Bool(false)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Null => None,
    }
}

fn say_request(
    out: &mut impl Write,
    request: &Request,
    connections: &[Connection],
) -> io::Result<()> {
    headline(out, &request.cause)?;
    field(
        out,
        "request",
        &format!("{} {}", request.method, request.path),
    )?;
    field(out, "status", &list::status(request))?;
    field(out, "took", &text::duration(request.duration_ns))?;
    field(out, "trace", &request.trace_id)?;
    field(out, "span", &request.id)?;
    if !request.request_id.is_empty() {
        field(out, "x-request-id", &request.request_id)?;
    }
    for (name, join) in joins(request) {
        let how = match &join.connection {
            Some(id) => format!("{id}  {}, {}", join.method, join.confidence),
            None => format!("not joined: {}", text::plain(&join.missing)),
        };
        field(out, name, &how)?;
    }
    field(out, "state", state(request.settled))?;
    evidence(out, Some(&request.cause))?;
    if !request.phases.is_empty() {
        writeln!(out, "\n  {FAINT}its time{FAINT:#}")?;
    }
    for phase in &request.phases {
        let style = text::party(&phase.party);
        let (name, length) = (words::phase(&phase.name), text::duration(phase.duration_ns));
        let party = text::visible(&phase.party);
        writeln!(out, "  {length:>12}  {style}{party:<8}{style:#}  {name}")?;
    }
    events::write(out, events::around(request, connections))
}

fn say_trace(out: &mut impl Write, trace: &Trace) -> io::Result<()> {
    let requests = text::counted(trace.requests.len() as u64, "request");
    let connections = text::counted(trace.connections.len() as u64, "connection");
    writeln!(out, "{BOLD}{requests} and {connections}{BOLD:#}\n")?;
    for connection in &trace.connections {
        list::connection_line(out, connection)?;
    }
    for request in &trace.requests {
        list::request_line(out, request)?;
    }
    events::write(out, events::of(&trace.connections, &trace.requests))
}

fn headline(out: &mut impl Write, cause: &Cause) -> io::Result<()> {
    let style = text::party(&cause.party);
    writeln!(out, "{BOLD}{}{BOLD:#}", text::visible(&cause.sentence))?;
    writeln!(
        out,
        "{style}{}{style:#}  {FAINT}{}, {}{FAINT:#}",
        text::visible(&cause.party),
        text::visible(&cause.code),
        text::visible(&cause.confidence),
    )
}

fn evidence(out: &mut impl Write, cause: Option<&Cause>) -> io::Result<()> {
    match cause {
        Some(cause) if !cause.evidence.is_empty() => {
            field(out, "evidence", &cause.evidence.join("; "))
        }
        Some(_) | None => Ok(()),
    }
}

const fn state(settled: bool) -> &'static str {
    if settled {
        "settled: nothing more is expected"
    } else {
        "live: more is expected"
    }
}

pub(super) fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    let value = text::visible(value);
    writeln!(out, "  {FAINT}{name:<NAMES$}{FAINT:#}  {value}")
}
