//! What the probe can see, by the latest word about it, whatever order the words come in.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Reconciler,
    fact::{Batch, Fact, Rung, SenderId},
};
use world::{
    turns::{clock_at, sender},
    *,
};

/// A probe's `n`th fact and the next: a rung, and when it was told, milliseconds.
fn rung(from: SenderId, n: u64, at: f64, name: &str) -> Batch {
    let rung = Rung {
        name: name.into(),
        missing: vec![],
        counted: vec![],
        sockets_map_id: None,
    };
    batch(from, n, vec![Fact::Rung(rung), clock_at(at)])
}

/// A sender's `n`th fact, when it ends.
fn goodbye(from: SenderId, n: u64, at: f64) -> Batch {
    Batch {
        goodbye: true,
        ..batch(from, n, vec![clock_at(at)])
    }
}

/// The orders in which batches may arrive.
fn orders(batches: &[Batch]) -> Vec<Vec<Batch>> {
    if batches.is_empty() {
        return vec![vec![]];
    }
    let begin = |n| {
        let mut others = batches.to_vec();
        let first = others.remove(n);
        let rest = orders(&others).into_iter();
        rest.map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..batches.len()).flat_map(begin).collect()
}

/// The rung by these batches, which is the same in every order.
fn known(batches: &[Batch]) -> Option<String> {
    let told = |batches: Vec<Batch>| {
        let mut reconciler = Reconciler::new(Limits::default());
        for batch in batches {
            reconciler.handle_batch(batch);
        }
        let rung = reconciler.coverage().rung;
        rung.map(|rung| rung.name.to_string())
    };
    let mut known: Vec<_> = orders(batches).into_iter().map(told).collect();
    known.dedup();
    assert_eq!(known.len(), 1, "{known:?}");
    known.remove(0)
}

#[test]
fn an_older_rung_that_is_told_later_does_not_count() {
    let first = rung(probe(), 0, 1.0, "l7-only");
    let again = rung(probe(), 2, 2.0, "full");
    assert_eq!(known(&[first.clone(), again]).unwrap(), "full");
    let another = rung(sender("probe", 0), 0, 2.0, "full");
    assert_eq!(known(&[first, another]).unwrap(), "full");
}

#[test]
fn a_rung_ends_with_the_probe_that_told_it_though_the_goodbye_overtakes_it() {
    let first = rung(probe(), 0, 1.0, "full");
    assert_eq!(known(&[first.clone(), goodbye(probe(), 2, 3.0)]), None);
    let last = Batch {
        goodbye: true,
        ..rung(probe(), 2, 2.0, "full")
    };
    assert_eq!(known(&[first, last]), None);
}

#[test]
fn a_goodbye_ends_no_other_s_rung() {
    let stays = rung(probe(), 0, 5.0, "full");
    let others = goodbye(sender("filter", 2), 0, 9.0);
    assert_eq!(known(&[stays.clone(), others]).unwrap(), "full");
    // The run before it ends after it began.
    let before = sender("probe", 0);
    let told = [rung(before.clone(), 0, 1.0, "l7-only"), stays];
    let left = goodbye(before, 2, 9.0);
    assert_eq!(
        known(&[told.to_vec(), vec![left]].concat()).unwrap(),
        "full"
    );
}
