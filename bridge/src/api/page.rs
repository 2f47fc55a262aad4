//! Fills a page: as many records as were requested, within a bound on the work and the size.
//!
//! The cursor is the last record's own place, so that records which settle meanwhile shift nothing.

use std::sync::Arc;

use super::query;
use crate::{
    store::{ReadError, Record},
    view::{Ask, Page, known},
};

/// Pages that one query reads, if it must choose among their records one by one.
const PAGES_MAX: usize = 20;

/// Bytes that the records of one page may weigh: a page ends early beyond it.
const BYTES_MAX: usize = 4 << 20;

/// Bytes that a link to another record, or an incident, weighs.
pub(super) const LINK_BYTES: usize = 200;

/// Takes `turn`s until the page is full: of what a turn gives, what `keep` keeps. `weigh` returns about how
/// many bytes a record takes on it, of what has no bound of its own.
pub(super) fn fill<R: Record>(
    mut ask: Ask<R::Id>,
    turn: impl Fn(&Ask<R::Id>) -> Result<Page<R>, ReadError>,
    keep: impl Fn(&R) -> Result<bool, ReadError>,
    weigh: impl Fn(&R) -> usize,
) -> Result<Page<R>, ReadError> {
    let mut records: Vec<Arc<R>> = Vec::new();
    let mut bytes = 0;
    let mut hole = None;
    for _ in 0..PAGES_MAX {
        let page = turn(&ask)?;
        hole = hole.or(page.hole);
        let count = page.records.len();
        for (index, record) in page.records.into_iter().enumerate() {
            if known(keep(&record).map(Some), &mut hole)? != Some(true) {
                continue;
            }
            bytes += weigh(&record);
            let place = record.place();
            records.push(record);
            let is_last = index + 1 == count && page.next.is_none();
            if (records.len() == ask.limit || bytes > BYTES_MAX) && !is_last {
                return Ok(Page {
                    records,
                    next: Some(place),
                    hole,
                });
            }
        }
        ask.below = page.next;
        if page.next.is_none() || records.len() >= ask.limit {
            break;
        }
    }
    Ok(Page {
        records,
        next: ask.below,
        hole,
    })
}

/// Returns the records of a page as they are shown, and the cursor of the next page.
pub(super) fn shown<R: Record, J: for<'a> From<&'a R>>(page: &Page<R>) -> (Vec<J>, Option<String>) {
    let records = page.records.iter().map(|record| J::from(record)).collect();
    (records, page.next.map(query::cursor))
}
