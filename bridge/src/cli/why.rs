//! `syntrace why`: where the trouble is.

use std::io::{self, Write};

use jiff::SignedDuration;

use super::{
    CliError, Exit, answers,
    bridge::Bridge,
    line,
    list::moment,
    text::{self, BOLD, FAINT},
};

/// Says the causes, the most frequent first, each with its latest example.
pub(super) async fn run(
    bridge: &Bridge,
    options: &line::Why,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let since = moment(&options.since);
    let until = options.until.as_deref().map(moment);
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
        None if options.since.parse::<SignedDuration>().is_ok() && !options.since.contains(':') => {
            format!("in the last {}", options.since)
        }
        None => format!("since {since}"),
    };
    say(out, &bridge.shape(&answer)?, &window)?;
    Ok(Exit::Done)
}

fn say(out: &mut impl Write, causes: &answers::Causes, window: &str) -> io::Result<()> {
    let answers::Causes {
        requests,
        failed,
        causes,
    } = causes;
    let asked = text::counted(*requests, "request");
    let window = text::visible(window);
    if causes.is_empty() {
        return if *requests == 0 {
            writeln!(out, "{BOLD}No request came{BOLD:#} {window}")
        } else {
            writeln!(
                out,
                "{BOLD}Nothing failed or was slow{BOLD:#}: {asked} {window}"
            )
        };
    }
    writeln!(
        out,
        "{BOLD}{failed} of {asked} failed or were slow{BOLD:#} {window}"
    )?;
    let whole = causes.iter().map(|cause| cause.count).sum();
    let width = causes
        .iter()
        .map(|cause| cause.count.to_string().len())
        .max();
    let width = width.unwrap_or(1);
    for cause in causes {
        let style = text::party(&cause.party);
        let alone = cause.count.saturating_sub(cause.requests);
        let connects = text::counted(alone, "connect");
        let requests = text::counted(cause.requests, "request");
        let alone = match (alone, cause.requests) {
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
    Ok(())
}
