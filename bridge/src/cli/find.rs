//! `syntrace find`: what is known of an address, a pair, a network, a dye, a status and a time, or an id.

mod listing;
mod wanted;

use std::io::Write;

use jiff::Timestamp;

pub(super) use self::wanted::NoTime;
use self::{
    listing::Listing,
    wanted::{Requests, Wanted, wanted},
};
use super::{
    CliError, Exit,
    bridge::Bridge,
    line::Many,
    list::{self, Kind},
    show,
    text::{self, FAINT},
};

/// Lists what fits, the newest first; the slowest requests, the slowest first.
pub(super) async fn run(
    bridge: &Bridge,
    words: &[String],
    many: &Many,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let (listing, kind) = match wanted(words, Timestamp::now())? {
        Wanted::Id(id) => return show::run(bridge, &id, json, out).await,
        Wanted::Requests(wanted) => {
            let mut listing = Listing::new(bridge, Kind::Requests, many, json, out);
            requests(&mut listing, &wanted).await?;
            (listing, "request")
        }
        Wanted::Network(network) => {
            let mut listing = Listing::new(bridge, Kind::Connections, many, json, out);
            listing.newest(&[("network", &network)]).await?;
            (listing, "connection")
        }
        Wanted::End(end) => {
            let mut listing = Listing::new(bridge, Kind::Connections, many, json, out);
            listing.newest(&[("peer", &end)]).await?;
            listing.newest(&[("local", &end)]).await?;
            (listing, "connection")
        }
        Wanted::Pair(one, other) => {
            let mut listing = Listing::new(bridge, Kind::Connections, many, json, out);
            for (local, peer) in [(&one, &other), (&other, &one)] {
                listing.newest(&[("local", local), ("peer", peer)]).await?;
            }
            (listing, "connection")
        }
    };
    let listed = listing.end();
    if let Some(incomplete) = listed.incomplete.filter(|_| listed.rows == 0) {
        return Err(CliError::Incomplete(incomplete));
    }
    list::warn(listed.incomplete)?;
    list::warn(listed.cut)?;
    if listed.rows > 0 {
        return Ok(Exit::Done);
    }
    if !json {
        let asked = words.join(" ");
        let asked = text::visible(&asked);
        writeln!(
            out,
            "{FAINT}No stored {kind} matches {asked}; times are UTC.{FAINT:#}"
        )?;
    }
    Ok(Exit::NotFound)
}

async fn requests<W: Write>(
    listing: &mut Listing<'_, W>,
    wanted: &Requests,
) -> Result<(), CliError> {
    let span = wanted
        .span
        .map(|(from, to)| (from.to_string(), to.to_string()));
    let mut query = Vec::new();
    query.extend(wanted.dye.as_deref().map(|dye| ("dye", dye)));
    query.extend(wanted.status.as_deref().map(|status| ("status", status)));
    if let Some((since, until)) = &span {
        query.extend([("since", since.as_str()), ("until", until.as_str())]);
    }
    match wanted.percentile.as_deref() {
        Some(percentile) => listing.slowest(&query, percentile).await,
        None if span.is_some() => listing.newest_counted(&query).await,
        // All that is kept is too much to count for one line.
        None => listing.newest(&query).await,
    }
}
