//! Fills a page: as many records as were asked for, as long as that costs no more than it may.
//!
//! The cursor is the last record's own place, so that records which come meanwhile move nothing.

use std::sync::Arc;

use crate::{
    store::Record,
    view::{Ask, Page},
};

/// Records that the pages of one question are chosen from, if they must be looked at one by one.
const TURNS_MAX: usize = 20;

/// Links that the records of one page show: a page ends early beyond it.
const LINKS_MAX: usize = 20_000;

/// Takes `turn`s until the page is full: of what a turn gives, what `keep` keeps.
pub(super) fn fill<R: Record>(
    mut ask: Ask<R::Id>,
    turn: impl Fn(&Ask<R::Id>) -> Page<R>,
    keep: impl Fn(&R) -> bool,
    links: impl Fn(&R) -> usize,
) -> Page<R> {
    let mut records: Vec<Arc<R>> = Vec::new();
    let mut shown = 0;
    for _ in 0..TURNS_MAX {
        let page = turn(&ask);
        let count = page.records.len();
        for (index, record) in page.records.into_iter().enumerate() {
            if !keep(&record) {
                continue;
            }
            shown += links(&record);
            let place = record.place();
            records.push(record);
            let is_last = index + 1 == count && page.next.is_none();
            if (records.len() == ask.limit || shown > LINKS_MAX) && !is_last {
                return Page {
                    records,
                    next: Some(place),
                };
            }
        }
        ask.below = page.next;
        if page.next.is_none() || records.len() >= ask.limit {
            break;
        }
    }
    Page {
        records,
        next: ask.below,
    }
}
