//! `syntrace find`: what is known of an address, a pair, a network, a dye, a status and a time, or an id.

mod wanted;

use std::{cmp::Reverse, io::Write};

use jiff::Timestamp;

use self::wanted::{Requests, Wanted, wanted};
use super::{
    CliError, Exit,
    bridge::{AskError, Bridge},
    list::{self, Kind, Listed},
    show,
    text::{self, FAINT},
};

/// Records that are listed.
const LIMIT: &str = "100";

/// Records that the slowest are chosen from: what the bridge gives at once.
const MANY: &str = "1000";

/// Lists what fits, the newest first; the slowest requests, the slowest first.
pub(super) async fn run(
    bridge: &Bridge,
    words: &[String],
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let (listed, kind) = match wanted(words, Timestamp::now()) {
        Wanted::Id(id) => return show::run(bridge, &id, json, out).await,
        Wanted::Requests(wanted) => (requests(bridge, &wanted).await?, "request"),
        Wanted::Network(network) => {
            let listed = connections(bridge, &[("network", &network)]).await?;
            (listed, "connection")
        }
        Wanted::End(end) => {
            let listed = either(bridge, &[("peer", &end)], &[("local", &end)]).await?;
            (listed, "connection")
        }
        Wanted::Pair(one, other) => {
            let there = [("local", one.as_str()), ("peer", other.as_str())];
            let back = [("local", other.as_str()), ("peer", one.as_str())];
            (either(bridge, &there, &back).await?, "connection")
        }
    };
    let Listed { rows, incomplete } = listed;
    for row in &rows {
        list::write(out, row, json)?;
    }
    if let Some(incomplete) = incomplete.filter(|_| rows.is_empty()) {
        return Err(CliError::Incomplete(incomplete));
    }
    list::warn(incomplete)?;
    if rows.is_empty() && !json {
        let asked = words.join(" ");
        let asked = text::visible(&asked);
        writeln!(
            out,
            "{FAINT}No {kind} that is kept fits {asked}; times are UTC.{FAINT:#}"
        )?;
    }
    Ok(if rows.is_empty() {
        Exit::NotFound
    } else {
        Exit::Done
    })
}

async fn requests(bridge: &Bridge, wanted: &Requests) -> Result<Listed, AskError> {
    let span = wanted
        .span
        .map(|(from, to)| (from.to_string(), to.to_string()));
    let limit = match wanted.percentile {
        Some(_) => MANY,
        None => LIMIT,
    };
    let mut query = vec![("limit", limit)];
    query.extend(wanted.dye.as_deref().map(|dye| ("dye", dye)));
    query.extend(wanted.status.as_deref().map(|status| ("status", status)));
    if let Some((since, until)) = &span {
        query.extend([("since", since.as_str()), ("until", until.as_str())]);
    }
    let mut listed = list::page(bridge, Kind::Requests, &query).await?;
    if let Some(percentile) = wanted.percentile {
        let rows = &mut listed.rows;
        rows.sort_by_key(|row| Reverse(row.duration_ns()));
        // One at least, where there is any.
        let slowest = (rows.len() as f64 * (100.0 - percentile) / 100.0).ceil();
        rows.truncate(slowest as usize);
    }
    Ok(listed)
}

async fn either(
    bridge: &Bridge,
    one: &[(&str, &str)],
    other: &[(&str, &str)],
) -> Result<Listed, AskError> {
    let one = connections(bridge, one).await?;
    Ok(one.and(connections(bridge, other).await?))
}

async fn connections(bridge: &Bridge, query: &[(&str, &str)]) -> Result<Listed, AskError> {
    let mut query = query.to_vec();
    query.push(("limit", LIMIT));
    list::page(bridge, Kind::Connections, &query).await
}
