//! A fold that is put away and taken up again goes on as if nothing had happened.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod sim;

use sim::{
    World,
    hops::{self, Hops},
    random::Random,
    worker::MS,
};
use syntrace_core::{Limits, Output, Reconciler, fact::Batch};
use syntrace_model::BootNanos;

const RUNS: u64 = 1_000;

#[test]
fn a_fold_goes_on_from_its_checkpoint_as_if_it_had_not_been_interrupted() {
    for seed in 0..RUNS {
        let hops = Hops {
            seed,
            lost: 20_000,
            delay: 5_000 * MS,
            slow: 500_000,
            again: 200_000,
            late: 0,
        };
        let arrivals = hops::travel(World::small(seed), hops).arrivals;
        let cut = Random::new(seed).below(arrivals.len() as u64) as usize;

        let mut whole = Reconciler::new(Limits::default());
        let mut expected = feed(&mut whole, &arrivals[..cut]);
        let checkpoint = whole.checkpoint();
        expected.extend(feed(&mut whole, &arrivals[cut..]));
        expected.extend(end(&mut whole));

        let mut first = Reconciler::new(Limits::default());
        let mut told = feed(&mut first, &arrivals[..cut]);
        // Where hash tables begin makes no difference.
        let limits = Limits {
            hash_seed: seed,
            ..Limits::default()
        };
        let mut second = Reconciler::restore(limits, first.checkpoint());
        assert_eq!(second.checkpoint(), checkpoint, "seed {seed}");
        told.extend(feed(&mut second, &arrivals[cut..]));
        told.extend(end(&mut second));
        assert_eq!(told, expected, "seed {seed}");
        assert_eq!(second.coverage(), whole.coverage(), "seed {seed}");
    }
}

fn feed(reconciler: &mut Reconciler, arrivals: &[(u64, Batch)]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (at, batch) in arrivals {
        reconciler.handle_timeout(BootNanos(*at));
        reconciler.handle_batch(batch.clone());
        outputs.extend(std::iter::from_fn(|| reconciler.poll_output()));
    }
    outputs
}

fn end(reconciler: &mut Reconciler) -> Vec<Output> {
    reconciler.drain();
    std::iter::from_fn(|| reconciler.poll_output()).collect()
}
