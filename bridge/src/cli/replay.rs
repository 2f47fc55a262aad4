//! `syntrace replay`: the records that a copied log gives, without a bridge.

use std::{io::Write, path::Path};

use syntrace_core::{Limits, Output};

use super::{
    CliError, Exit,
    list::{self, Kind},
    text::{self, BAD, BOLD, FAINT},
};
use crate::{api, replay};

/// Writes every record that settles, then what was read.
pub(super) fn run(directory: &Path, json: bool, out: &mut impl Write) -> Result<Exit, CliError> {
    // A data directory has its log below it.
    let below = directory.join("log");
    let directory = if below.is_dir() { &below } else { directory };
    let mut failed = None;
    let replayed = replay::records(directory, Limits::default(), |output| {
        if failed.is_none() {
            failed = write(out, &output, json).err();
        }
    });
    let replayed = replayed.map_err(|source| CliError::Replay {
        path: directory.to_owned(),
        source,
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if replayed.entries == 0 {
        let place = directory.display().to_string();
        let place = text::visible(&place);
        writeln!(anstream::stderr(), "{BAD}There is no log in {place}{BAD:#}")?;
        return Ok(Exit::NotFound);
    }
    let (unreadable, missing) = (replayed.unreadable, replayed.extent.missing);
    if unreadable + missing > 0 {
        let of = text::counted_as(replayed.entries, "batch", "batches");
        let lacks = format!("{of}: {missing} missing, {unreadable} unreadable");
        writeln!(anstream::stderr(), "{BAD}{lacks}{BAD:#}")?;
    }
    if !json {
        let coverage = &replayed.coverage;
        let batches = text::counted_as(replayed.entries, "batch", "batches");
        let torn = replayed.extent.torn_bytes;
        writeln!(
            out,
            "\n{BOLD}{batches}{BOLD:#}  {FAINT}{} of them missing, {} unreadable, {} bytes torn off, {} lost{FAINT:#}",
            missing,
            unreadable,
            torn,
            text::counted(coverage.lost(), "fact"),
        )?;
    }
    Ok(Exit::Done)
}

fn write(out: &mut impl Write, output: &Output, json: bool) -> Result<(), CliError> {
    let kind = match output {
        Output::Request(_) => Kind::Requests,
        Output::Connection(_) => Kind::Connections,
    };
    let row = list::row(kind, api::shown(output)?)?;
    list::write(out, &row, json)
}
