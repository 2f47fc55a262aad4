//! Lists what matches, page by page, up to a limit; and says what it leaves out.

use std::{cmp::Reverse, io::Write};

use serde::de::Error as _;

use crate::cli::{
    CliError,
    answers::{Among, Incomplete},
    bridge::{AskError, Bridge},
    line::Many,
    list::{self, Kind, Listed, Row},
    text,
};

/// Most records on a page of the bridge's.
const PAGE_MAX: usize = 1_000;

/// Writes records as their pages come.
pub(super) struct Listing<'a, W> {
    bridge: &'a Bridge,
    kind: Kind,
    json: bool,
    out: &'a mut W,
    /// Records that may still be listed.
    room: usize,
    ended: Ended,
}

/// The summary of a listing.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Records that were listed.
    pub(super) rows: usize,
    /// What the bridge may have left out.
    pub(super) incomplete: Option<Incomplete>,
    /// What was left out here, in words.
    pub(super) cut: Option<String>,
}

impl<'a, W: Write> Listing<'a, W> {
    /// Begins a list of at most so many records as `many` says.
    pub(super) fn new(
        bridge: &'a Bridge,
        kind: Kind,
        many: &Many,
        json: bool,
        out: &'a mut W,
    ) -> Self {
        Self {
            bridge,
            kind,
            json,
            out,
            room: many.most(),
            ended: Ended {
                rows: 0,
                incomplete: None,
                cut: None,
            },
        }
    }

    /// Lists the newest.
    pub(super) async fn newest(&mut self, query: &[(&str, &str)]) -> Result<(), CliError> {
        let mut cursor = None;
        loop {
            let limit = self.room.clamp(1, PAGE_MAX);
            let page = self.page(query, limit, cursor.as_deref()).await?;
            let mut is_cut = page.next.is_some();
            for row in &page.rows {
                if self.room == 0 {
                    is_cut = true;
                    break;
                }
                self.write(row)?;
            }
            if self.room > 0 && page.next.is_some() {
                cursor = page.next;
                continue;
            }
            if is_cut {
                let rows = self.ended.rows;
                let words = format!("these are the newest {rows}, and more may match");
                self.ended.cut = Some(with_advice(&words));
            }
            return Ok(());
        }
    }

    /// Lists the newest requests, and says how many fit where these are not all.
    pub(super) async fn newest_counted(&mut self, query: &[(&str, &str)]) -> Result<(), CliError> {
        self.newest(query).await?;
        if self.ended.cut.is_some() {
            let all = [query, &[("percentile", "0")]].concat();
            let page = self.page(&all, 1, None).await?;
            let among = self.among(&page)?;
            let words = format!("{}; these are the newest {}", fit(&among), self.ended.rows);
            self.ended.cut = Some(with_advice(&words));
        }
        Ok(())
    }

    /// Lists the slowest of the requests that fit: those slower than so many percent of all of them.
    pub(super) async fn slowest(
        &mut self,
        query: &[(&str, &str)],
        percentile: &str,
    ) -> Result<(), CliError> {
        let of_all = [query, &[("percentile", percentile)]].concat();
        let mut page = self.page(&of_all, PAGE_MAX, None).await?;
        let among = self.among(&page)?;
        let slowest = usize::try_from(among.slowest).unwrap_or(usize::MAX);
        let most = slowest.min(self.room);
        let least = milliseconds(among.duration_ns.unwrap_or_default());
        let slow = [query, &[("min_duration_ms", least.as_str())]].concat();
        let mut rows = Vec::new();
        loop {
            rows.append(&mut page.rows);
            rows.sort_by_key(|row: &Row| Reverse(row.duration_ns()));
            rows.truncate(most);
            let Some(next) = page.next else {
                break;
            };
            page = self.page(&slow, PAGE_MAX, Some(&next)).await?;
        }
        for row in &rows {
            self.write(row)?;
        }
        self.ended.cut = match among.counted_since {
            _ if slowest > most => {
                let words = format!("{}; these are {most} of the slowest {slowest}", fit(&among));
                Some(with_advice(&words))
            }
            Some(_) => Some(fit(&among)),
            None => None,
        };
        Ok(())
    }

    /// Ends the list; returns its summary.
    pub(super) fn end(self) -> Ended {
        self.ended
    }

    async fn page(
        &mut self,
        query: &[(&str, &str)],
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Listed, AskError> {
        let limit = limit.to_string();
        let mut query = [query, &[("limit", limit.as_str())]].concat();
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = list::page(self.bridge, self.kind, &query).await?;
        self.ended.incomplete = self.ended.incomplete.or(page.incomplete);
        Ok(page)
    }

    fn among(&self, page: &Listed) -> Result<Among, AskError> {
        let missing = || {
            self.bridge
                .strange(serde_json::Error::missing_field("among"))
        };
        page.among.ok_or_else(missing)
    }

    fn write(&mut self, row: &Row) -> Result<(), CliError> {
        list::write(self.out, row, self.json)?;
        self.room = self.room.saturating_sub(1);
        self.ended.rows += 1;
        Ok(())
    }
}

/// Says how many requests match.
fn fit(among: &Among) -> String {
    let requests = text::counted(among.requests, "request");
    match among.counted_since {
        Some(since) => format!(
            "{requests} that began since {} match; older ones were not counted",
            text::clock(since)
        ),
        None if among.requests == 1 => format!("{requests} matches"),
        None => format!("{requests} match"),
    }
}

fn with_advice(words: &str) -> String {
    format!("{words}; --limit N lists more, --all lists all")
}

/// Writes nanoseconds as the bridge reads milliseconds.
fn milliseconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000)
}
