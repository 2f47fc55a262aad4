//! `syntrace tail`: the newest records, then each further one as it settles, the newest last.
//!
//! The bridge streams what settles, and resumes where a broken stream ended; a line on standard error says how many
//! records it could not send any more.

use std::{
    collections::HashSet,
    io::{self, Write},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::sleep;

use super::{
    CliError, Exit,
    bridge::{AskError, Bridge, Follow, Told},
    line,
    list::{self, Kind, absolute},
    text::{self, WARN},
};

/// How long after a stream ended it is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// The data of an event `missed`.
#[derive(Deserialize)]
struct Missed {
    count: u64,
}

/// Writes what is there, then what comes.
pub(super) async fn run(
    bridge: &Bridge,
    options: &line::Tail,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let filters: Vec<(String, String)> = options.filters.iter().map(resolved).collect();
    let query: Vec<(&str, &str)> = filters
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let kind = if options.connections {
        Kind::Connections
    } else {
        Kind::Requests
    };
    // Listened first: what settles while the list is read is told then.
    let mut follow = match options.once {
        true => None,
        false => Some(bridge.follow(&path(kind), &query, None).await?),
    };
    let mut known = HashSet::new();
    if options.lines > 0 {
        let lines = options.lines.to_string();
        let mut first = query.clone();
        first.push(("limit", &lines));
        let listed = list::page(bridge, kind, &first).await?;
        list::warn(listed.incomplete)?;
        for row in listed.rows.into_iter().rev() {
            list::write(out, &row, json)?;
            if row.is_settled() {
                known.insert(row.id);
            }
        }
        out.flush()?;
    }
    let mut last = None;
    while let Some(mut stream) = follow.take() {
        while let Some(told) = stream.next().await {
            last = told.id.clone().or(last);
            say(out, bridge, kind, &told, &mut known, json)?;
        }
        complain("The bridge ended the stream; reconnecting")?;
        follow = Some(resume(bridge, kind, &query, last.as_deref()).await?);
    }
    Ok(Exit::Done)
}

/// Writes one event, unless the record was written before.
fn say(
    out: &mut impl Write,
    bridge: &Bridge,
    kind: Kind,
    told: &Told,
    known: &mut HashSet<String>,
    json: bool,
) -> Result<(), CliError> {
    if told.event == "missed" {
        let Missed { count } = serde_json::from_str(&told.data)?;
        let records = text::counted(count, "record");
        return Ok(complain(&format!(
            "{records} settled too fast to be listed; those that match the filter are missing here"
        ))?);
    }
    let value = serde_json::from_str(&told.data)?;
    let row = list::row(kind, value).map_err(|source| bridge.strange(source))?;
    if !known.remove(&row.id) {
        list::write(out, &row, json)?;
        out.flush()?;
    }
    Ok(())
}

/// Asks until the bridge is there again; gives up only where asking again cannot help.
async fn resume(
    bridge: &Bridge,
    kind: Kind,
    query: &[(&str, &str)],
    last: Option<&str>,
) -> Result<Follow, AskError> {
    loop {
        sleep(AGAIN).await;
        match bridge.follow(&path(kind), query, last).await {
            Err(error) if error.may_pass() => {}
            answer => return answer,
        }
    }
}

fn path(kind: Kind) -> String {
    format!("/v1/{}", kind.name())
}

fn complain(sentence: &str) -> io::Result<()> {
    writeln!(anstream::stderr(), "{WARN}{sentence}{WARN:#}")
}

fn resolved((key, value): &(String, String)) -> (String, String) {
    let value = match key.as_str() {
        "since" | "until" => absolute(value),
        _ => value.clone(),
    };
    (key.clone(), value)
}
