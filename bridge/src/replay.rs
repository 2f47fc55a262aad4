//! Folds a copied log again from its beginning: an incident of production, as often as needed.
//!
//! Read-only. A log that a bridge is writing to can be read too; its last entries may be missing.

use std::{io, ops::ControlFlow, path::Path};

use syntrace_core::{Coverage, Limits, Output};
use syntrace_model::BootId;

use crate::{
    fold::{self, Folder},
    log::{Segments, segments::Extent},
};

/// The result of folding a log.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Batches that were appended; some of them may be missing or unreadable.
    pub entries: u64,
    /// What could not be read: bytes and entries.
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
    let oldest = fold::States::oldest(&segments, limits.hash_seed)?;
    let (from, mut folder) = match oldest {
        Some(state) => state,
        None => {
            let first = segments.firsts()?.first().copied().unwrap_or_default();
            (first, Folder::new(limits, BootId([0; 16]), 0))
        }
    };
    let mut unreadable = 0;
    let extent = segments.read(from, |stored| {
        unreadable += u64::from(!fold::handle(&mut folder, &stored, &mut each));
        ControlFlow::Continue(())
    })?;
    let coverage = folder.reconciler().coverage();
    folder.drain(&mut each);
    Ok(Replayed {
        entries: extent.next.0 - from.0,
        extent,
        unreadable,
        coverage,
    })
}
