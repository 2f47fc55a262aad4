//! `syntrace tail`: records as they come, the newest last.

use std::{
    collections::{HashSet, VecDeque},
    io::Write,
    time::Duration,
};

use super::{
    CliError, Exit,
    bridge::{AskError, Bridge},
    line,
    list::{self, Kind, Row, moment},
};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// Records of one look; more of them are fetched until a known one.
const PAGE: &str = "200";

/// Records that are known to be written already; more than are looked through at once.
const KNOWN_MAX: usize = 50_000;

/// Pages that one look goes back at most; what came meanwhile beyond is left out, and said.
const PAGES_MAX: usize = 50;

/// Ids that were written, the oldest first.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<String>,
    order: VecDeque<String>,
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
    let mut known = Known::default();
    let lines = options.lines.max(1).to_string();
    let mut first = query.clone();
    first.push(("limit", &lines));
    let (rows, _) = list::page(bridge, kind, &first).await?;
    for row in rows.into_iter().rev() {
        if options.lines > 0 {
            list::write(out, &row, json)?;
        }
        known.add(row.id);
    }
    out.flush()?;
    if options.once {
        return Ok(Exit::Done);
    }
    loop {
        tokio::time::sleep(EVERY).await;
        for row in news(bridge, kind, &query, &known).await?.into_iter().rev() {
            list::write(out, &row, json)?;
            known.add(row.id);
        }
        out.flush()?;
    }
}

/// Returns what is not known yet, the newest first.
async fn news(
    bridge: &Bridge,
    kind: Kind,
    query: &[(&str, &str)],
    known: &Known,
) -> Result<Vec<Row>, AskError> {
    let mut news = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut query = query.to_vec();
        query.push(("limit", PAGE));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let (rows, next) = list::page(bridge, kind, &query).await?;
        let before = rows.len();
        let fresh = rows.into_iter().filter(|row| !known.ids.contains(&row.id));
        let fresh: Vec<Row> = fresh.collect();
        let reached = fresh.len() < before || known.ids.is_empty();
        news.extend(fresh);
        cursor = next;
        if reached || cursor.is_none() {
            break;
        }
    }
    Ok(news)
}

fn resolved((key, value): &(String, String)) -> (String, String) {
    let value = match key.as_str() {
        "since" | "until" => moment(value),
        _ => value.clone(),
    };
    (key.clone(), value)
}

impl Known {
    fn add(&mut self, id: String) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_long_ago_is_forgotten() {
        let mut known = Known::default();
        for n in 0..=KNOWN_MAX {
            known.add(n.to_string());
        }
        assert_eq!(known.ids.len(), KNOWN_MAX);
        assert!(!known.ids.contains("0") && known.ids.contains("1"));
    }
}
