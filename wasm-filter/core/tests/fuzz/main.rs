//! The fuzz targets, replayed: every input of the corpora, and mutations of them that are the same each time.
//!
//! `scripts/fuzz` runs the same targets for longer, guided by coverage. `FUZZ_ROUNDS` sets the mutations here.

#[cfg(test)]
mod configuration;
#[cfg(test)]
mod host;
#[cfg(test)]
mod parser;

use std::{env, fs, path::Path};

/// Mutations of each target's inputs.
const ROUNDS: u32 = 10_000;

/// Inputs do not grow beyond this, bytes.
const MAX_BYTES: usize = 4_096;

#[test]
fn the_readers_of_headers_survive_any_bytes() {
    fuzz("parser", parser::run);
}

#[test]
fn the_configuration_survives_any_bytes() {
    fuzz("configuration", configuration::run);
}

#[test]
fn the_filter_survives_any_proxy() {
    fuzz("host", host::run);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test reads the inputs that are kept in files"
)]
#[cfg(test)]
fn fuzz(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(corpus.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(corpus.len() > 10, "{target} has a corpus");
    for input in &corpus {
        run(input);
    }
    let rounds = env::var("FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut input = chance.of(&corpus).clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut input, &corpus, &mut chance);
        }
        input.truncate(MAX_BYTES);
        run(&input);
    }
}

/// Changes a byte, takes some away, repeats some, or takes some from another input.
#[cfg(test)]
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let end = at + chance.below(input.len() - at + 1).min(chance.below(64));
    match chance.below(5) {
        0 if at < input.len() => input[at] ^= 1 << chance.below(8),
        1 if at < input.len() => input[at] = *chance.of(b"\x00\xff-,=; \"{}[]:0a"),
        2 => drop(input.drain(at..end)),
        3 => {
            let repeated = input[at..end].to_vec();
            input.splice(at..at, repeated);
        }
        _ => {
            let other = chance.of(corpus);
            let from = chance.below(other.len() + 1);
            let to = from + chance.below(other.len() - from + 1).min(chance.below(64));
            input.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Chance(u64);

#[cfg(test)]
impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % bound.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
