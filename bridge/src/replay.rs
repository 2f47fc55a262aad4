//! A copied log, folded again from its beginning: an incident of production, as often as one likes.
//!
//! Reads only. A log that a bridge is writing to can be read too; its last entries may be missing.

use std::{io, path::Path};

use syntrace_core::{Coverage, Limits, Output};
use syntrace_model::BootId;

use crate::{
    fold,
    log::{Segments, segments::Extent},
};

/// What a log came to.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Batches that were read.
    pub entries: u64,
    /// What the reading came to: bytes and entries that could not be had.
    pub extent: Extent,
    /// Batches that this version of the bridge cannot read.
    pub unreadable: u64,
    /// What was seen, joined and lost.
    pub coverage: Coverage,
}

/// Folds the log in a directory, from the oldest state that lies beside it or from nothing, and gives
/// each record that settles to `each`. What is live at the end settles then.
///
/// # Errors
///
/// If the directory or a file cannot be read.
pub fn records(
    directory: &Path,
    limits: Limits,
    mut each: impl FnMut(Output),
) -> io::Result<Replayed> {
    let segments = Segments::new(directory.to_owned());
    let mut each = |_, output| each(output);
    let begin = fold::States::oldest(&segments, limits.hash_seed)?;
    let recovered = fold::fold(&segments, begin, limits, BootId([0; 16]), 0, &mut each)?;
    let mut folder = recovered.folder;
    let coverage = folder.reconciler().coverage();
    folder.drain(&mut each);
    Ok(Replayed {
        entries: recovered.next.0 - recovered.restart.0.0,
        extent: recovered.extent,
        unreadable: recovered.unreadable,
        coverage,
    })
}
