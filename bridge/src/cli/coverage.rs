//! `syntrace coverage`: what is seen and what is not.

use std::io::{self, Write};

use super::{
    CliError, Exit, answers,
    bridge::Bridge,
    show::field,
    text::{self, BAD, BOLD, FAINT, WARN},
};

/// Says what share was joined, by which method, and every loss.
pub(super) async fn run(
    bridge: &Bridge,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let answer = bridge.json("/v1/coverage", &[]).await?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    say(out, &bridge.shape(&answer)?)?;
    Ok(Exit::Done)
}

fn say(out: &mut impl Write, coverage: &answers::Coverage) -> io::Result<()> {
    let answers::Requests {
        joined, unjoined, ..
    } = &coverage.requests;
    let of_joined: u64 = joined.iter().map(|join| join.count).sum();
    let all = of_joined + unjoined.iter().map(|join| join.count).sum::<u64>();
    let share = text::percent(of_joined, all);
    writeln!(
        out,
        "{BOLD}{share} of {} were joined to their connection{BOLD:#}",
        text::counted(all, "settled request")
    )?;
    match &coverage.rung {
        Some(rung) => field(out, "rung", &rung.name)?,
        None => writeln!(out, "  {WARN}no probe has reported{WARN:#}")?,
    }
    for reason in coverage.rung.iter().flat_map(|rung| &rung.missing) {
        writeln!(
            out,
            "  {WARN}missing{WARN:#}       {}",
            text::visible(reason)
        )?;
    }
    for (name, count) in coverage.rung.iter().flat_map(|rung| &rung.counted) {
        writeln!(
            out,
            "  {FAINT}counted{FAINT:#}       {count} {}",
            text::plain(name)
        )?;
    }
    let (connections, requests) = (&coverage.connections, &coverage.requests);
    let of = |live: u64, settled: u64, evicted: u64| {
        format!(
            "{live} live, {settled} settled, {evicted} settled early because there were too many"
        )
    };
    field(
        out,
        "connections",
        &of(connections.live, connections.settled, connections.evicted),
    )?;
    field(
        out,
        "requests",
        &of(requests.live, requests.settled, requests.evicted),
    )?;
    let style = if coverage.lost > 0 { BAD } else { BOLD };
    writeln!(
        out,
        "  {FAINT}facts{FAINT:#}         {style}{} lost{style:#}, {} late; {} batches could not be read",
        coverage.lost, coverage.late, coverage.undecodable
    )?;
    writeln!(out)?;
    for join in joined {
        let how = format!(
            "{}, {}",
            text::plain(&join.method),
            text::visible(&join.confidence)
        );
        writeln!(
            out,
            "  {:>10}  {:>5}  {how}",
            join.count,
            text::percent(join.count, all)
        )?;
    }
    for join in unjoined {
        let why = text::plain(&join.missing);
        writeln!(
            out,
            "  {:>10}  {:>5}  not joined: {why}",
            join.count,
            text::percent(join.count, all)
        )?;
    }
    writeln!(out)?;
    for sender in &coverage.senders {
        let end = if sender.goodbye {
            ", shut down cleanly"
        } else {
            ""
        };
        let name = text::visible(&sender.name);
        writeln!(
            out,
            "  {:>10} received  {:>6} missing  {name}{end}",
            sender.received, sender.missing
        )?;
    }
    Ok(())
}
