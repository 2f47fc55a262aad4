//! Records as lines, and the pages they come in.

use std::{
    fmt::Display,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    CliError,
    answers::{Among, Connection, Incomplete, Request},
    bridge::{AskError, Bridge},
    text::{self, BAD, BOLD, FAINT, WARN},
};
use crate::moment;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests.
    Requests,
    /// Connections.
    Connections,
}

/// A page of records.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The newest first.
    pub(super) rows: Vec<Row>,
    /// Cursor of the next page, if there may be one.
    pub(super) next: Option<String>,
    /// What the slowest were chosen from, where requested.
    pub(super) among: Option<Among>,
    /// What may be left out.
    pub(super) incomplete: Option<Incomplete>,
}

/// What an answer says besides its records.
#[derive(Debug, Deserialize)]
struct Rest {
    next: Option<String>,
    among: Option<Among>,
    incomplete: Option<Incomplete>,
}

/// One record with what it was read from.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    /// As the bridge gave it.
    pub(super) value: Value,
    record: Record,
}

#[derive(Debug)]
enum Record {
    Request(Box<Request>),
    Connection(Box<Connection>),
}

impl Kind {
    /// Returns the name that the API has for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Connections => "connections",
        }
    }
}

impl Row {
    /// Returns how long a request took, in nanoseconds; 0 for a connection.
    pub(super) const fn duration_ns(&self) -> u64 {
        match &self.record {
            Record::Request(request) => request.duration_ns,
            Record::Connection(_) => 0,
        }
    }

    /// Returns whether nothing more is expected of it.
    pub(super) const fn is_settled(&self) -> bool {
        match &self.record {
            Record::Request(request) => request.settled,
            Record::Connection(connection) => connection.settled,
        }
    }
}

/// Returns a page of records.
pub(super) async fn page(
    bridge: &Bridge,
    kind: Kind,
    query: &[(&str, &str)],
) -> Result<Listed, AskError> {
    let mut answer = bridge.json(&format!("/v1/{}", kind.name()), query).await?;
    let records = answer.get_mut(kind.name()).map(Value::take);
    let records: Vec<Value> = bridge.shape(&records.unwrap_or_default())?;
    let rows = records.into_iter().map(|value| row(kind, value));
    let rows = rows.collect::<Result<_, _>>();
    let rest: Rest = bridge.shape(&answer)?;
    Ok(Listed {
        rows: rows.map_err(|source| bridge.strange(source))?,
        next: rest.next,
        among: rest.among,
        incomplete: rest.incomplete,
    })
}

/// Says after the answer what it leaves out.
pub(super) fn warn(left_out: Option<impl Display>) -> io::Result<()> {
    match left_out.map(|left_out| left_out.to_string()) {
        Some(words) => {
            let words = text::visible(&words);
            writeln!(anstream::stderr(), "{WARN}Incomplete:{WARN:#} {words}")
        }
        None => Ok(()),
    }
}

/// Reads one record from what the bridge gives for it.
pub(super) fn row(kind: Kind, value: Value) -> Result<Row, serde_json::Error> {
    let (id, record) = match kind {
        Kind::Requests => {
            let request = Request::deserialize(&value)?;
            (request.id.clone(), Record::Request(Box::new(request)))
        }
        Kind::Connections => {
            let connection = Connection::deserialize(&value)?;
            let id = connection.id.clone();
            (id, Record::Connection(Box::new(connection)))
        }
    };
    Ok(Row { id, value, record })
}

/// Writes one record: as one line of words, or as one line of JSON.
pub(super) fn write(out: &mut impl Write, row: &Row, json: bool) -> Result<(), CliError> {
    if json {
        serde_json::to_writer(&mut *out, &row.value).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    match &row.record {
        Record::Request(request) => request_line(out, request)?,
        Record::Connection(connection) => connection_line(out, connection)?,
    }
    Ok(())
}

pub(super) fn request_line(out: &mut impl Write, request: &Request) -> io::Result<()> {
    let style = if request.is_failure() { BAD } else { BOLD };
    let party = text::party(&request.cause.party);
    writeln!(
        out,
        "{FAINT}{}{FAINT:#}  {style}{:<7}{style:#}  {:>10}  {FAINT}{}{FAINT:#}  {} {}  {party}{}{party:#}: {}",
        text::clock(request.started_at),
        status(request),
        text::duration(request.duration_ns),
        text::visible(&request.id),
        text::visible(&request.method),
        text::visible(&request.path),
        text::visible(&request.cause.party),
        text::visible(&request.cause.sentence),
    )
}

pub(super) fn connection_line(out: &mut impl Write, connection: &Connection) -> io::Result<()> {
    let outcome = connection.outcome.as_deref().unwrap_or("proxy only");
    let style = if connection.cause.is_some() {
        BAD
    } else {
        BOLD
    };
    let at = connection.began_at().map(text::clock);
    write!(
        out,
        "{FAINT}{}{FAINT:#}  {style}{:<13}{style:#}  {}  {FAINT}{}{FAINT:#}  {}",
        at.as_deref().unwrap_or("not seen    "),
        text::plain(outcome),
        text::visible(&connection.ends()),
        text::visible(&connection.id),
        text::counted(
            connection.requests.len() as u64 + connection.requests_evicted,
            "request"
        ),
    )?;
    if let Some(cause) = &connection.cause {
        let party = text::party(&cause.party);
        let (who, sentence) = (text::visible(&cause.party), text::visible(&cause.sentence));
        write!(out, "  {party}{who}{party:#}: {sentence}")?;
    }
    writeln!(out)
}

/// Writes the status, on gRPC with gRPC's own.
pub(super) fn status(request: &Request) -> String {
    let status = request.status.map(|status| status.to_string());
    let status = status.unwrap_or_else(|| "none".to_owned());
    match request.grpc_status {
        Some(grpc) => format!("{status}/{grpc}"),
        None => status,
    }
}

/// Returns the point in time that a text means, in RFC 3339; what has no meaning here, the bridge refuses.
pub(super) fn absolute(text: &str) -> String {
    moment::parse(text, Timestamp::now()).map_or_else(|| text.to_owned(), |at| at.to_string())
}
