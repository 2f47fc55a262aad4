//! `syntrace why`: where the trouble is.

use std::io::{self, Write};

use super::{
    CliError, Exit, answers,
    bridge::Bridge,
    line,
    list::absolute,
    text::{self, BOLD, FAINT, WARN},
};
use crate::moment;

/// Says the causes, the most frequent first, each with its latest example.
pub(super) async fn run(
    bridge: &Bridge,
    options: &line::Why,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let since = absolute(&options.since);
    let until = options.until.as_deref().map(absolute);
    let mut query = vec![("since", since.as_str())];
    query.extend(until.as_deref().map(|until| ("until", until)));
    query.extend(
        options
            .cluster
            .as_deref()
            .map(|cluster| ("cluster", cluster)),
    );
    let answer = bridge.json("/v1/causes", &query).await?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    let window = match until {
        Some(until) => format!("from {since} until {until}"),
        None if moment::length(&options.since).is_some() => {
            format!("in the last {}", options.since)
        }
        None => format!("since {since}"),
    };
    say(out, &bridge.shape(&answer)?, &window)?;
    Ok(Exit::Done)
}

fn say(out: &mut impl Write, causes: &answers::Causes, window: &str) -> io::Result<()> {
    let window = text::visible(window);
    writeln!(out, "{BOLD}{}{BOLD:#} {window}", headline(causes))?;
    let listed = &causes.causes;
    let whole = listed.iter().map(|cause| cause.count).sum();
    let width = listed
        .iter()
        .map(|cause| cause.count.to_string().len())
        .max();
    let width = width.unwrap_or(1);
    for cause in listed {
        let style = text::party(&cause.party);
        let connects = text::counted(cause.connects(), "connect");
        let requests = text::counted(cause.requests, "request");
        let alone = match (cause.connects(), cause.requests) {
            (0, _) => String::new(),
            (_, 0) => format!("  {connects} that no request waited for"),
            _ => format!("  {requests}, {connects} that no request waited for"),
        };
        writeln!(
            out,
            "\n  {:>width$}  {FAINT}{:>5}{FAINT:#}  {style}{:<8}{style:#}  {BOLD}{}{BOLD:#}{FAINT}{alone}{FAINT:#}",
            cause.count,
            text::percent(cause.count, whole),
            text::visible(&cause.party),
            text::plain(&cause.code),
        )?;
        let indent = " ".repeat(width + 11);
        writeln!(out, "{indent}{}", text::visible(&cause.example.sentence))?;
        let id = text::visible(&cause.example.id);
        writeln!(out, "{indent}{FAINT}syntrace show {id}{FAINT:#}")?;
    }
    if let Some(unattributed) = &causes.unattributed {
        say_unattributed(out, unattributed)?;
    }
    if let Some(incomplete) = causes.incomplete {
        writeln!(out, "\n{WARN}Incomplete:{WARN:#} {incomplete}")?;
    }
    Ok(())
}

/// Says in one line how much trouble there was; the requests, and the connects that failed by themselves.
fn headline(causes: &answers::Causes) -> String {
    let connects = causes.causes.iter().map(answers::Count::connects).sum();
    let asked = text::counted(causes.requests, "request");
    let requests = match (causes.requests, causes.failed) {
        (0, _) => "No requests".to_owned(),
        (_, 0) => format!("None of {asked} failed or was slow"),
        (_, failed) => format!("{failed} of {asked} failed or were slow"),
    };
    match connects {
        0 => requests,
        _ => {
            let connects = text::counted(connects, "connect");
            format!("{requests}; {connects} failed that no request waited for")
        }
    }
}

/// Says what is in no request's time, and where it is listed.
fn say_unattributed(out: &mut impl Write, unattributed: &answers::Unattributed) -> io::Result<()> {
    let looked_at = text::counted(unattributed.looked_at, "connection");
    writeln!(
        out,
        "\n{WARN}Not in any request's time:{WARN:#} trouble on {} of {looked_at}; {} retransmitted, {} waited \
         100 ms or more in this host's queues",
        unattributed.connections, unattributed.retransmitted, unattributed.waited
    )?;
    if let Some(id) = &unattributed.example {
        let filter = if unattributed.retransmitted > 0 {
            "min_retransmits=1"
        } else {
            "min_wait_ms=100"
        };
        let id = text::visible(id);
        writeln!(
            out,
            "  {FAINT}syntrace show {id}\n  syntrace tail --once --connections {filter}{FAINT:#}"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(answer: serde_json::Value) -> String {
        let mut out = Vec::new();
        say(&mut out, &serde_json::from_value(answer).unwrap(), "today").unwrap();
        String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
    }

    fn refused(requests: u64, count: u64) -> serde_json::Value {
        json!([{"party": "service", "code": "connect_refused", "count": count, "requests": requests,
            "example": {"id": "1", "sentence": "Refused"}}])
    }

    #[test]
    fn the_first_line_counts_requests_and_connects_apart() {
        for (requests, failed, causes, expected) in [
            (0, 0, json!([]), "No requests today"),
            (
                7,
                0,
                json!([]),
                "None of 7 requests failed or was slow today",
            ),
            (
                7,
                2,
                refused(2, 2),
                "2 of 7 requests failed or were slow today",
            ),
            (
                7,
                2,
                refused(2, 5),
                "2 of 7 requests failed or were slow; 3 connects failed that no request waited for today",
            ),
            (
                0,
                0,
                refused(0, 1),
                "No requests; 1 connect failed that no request waited for today",
            ),
        ] {
            let said = said(json!({"requests": requests, "failed": failed, "causes": causes}));
            assert_eq!(said.lines().next(), Some(expected));
        }
    }

    #[test]
    fn what_is_left_out_of_the_counts_is_said() {
        let said = said(
            json!({"requests": 7, "failed": 0, "causes": [], "incomplete":
            {"records": 2, "from": null, "to": null, "why": "rebuilding"}}),
        );
        assert!(
            said.ends_with("2 settled records cannot be read until rebuilt from the log\n"),
            "{said}"
        );
    }

    #[test]
    fn trouble_that_is_in_no_requests_time_is_said_where_nothing_failed() {
        let said = said(
            json!({"requests": 7, "failed": 0, "causes": [], "unattributed":
            {"connections": 2, "retransmitted": 2, "waited": 1, "looked_at": 4, "example": "b0.7"}}),
        );
        assert!(
            said.contains(
                "trouble on 2 of 4 connections; 2 retransmitted, 1 waited 100 ms or more"
            ),
            "{said}"
        );
        assert!(said.contains("syntrace show b0.7"), "{said}");
    }
}
