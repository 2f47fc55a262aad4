//! Rounds in which every variant has its turn.

/// Measures each of `variants` once a round, beginning with another one each round.
pub(crate) fn interleaved<const N: usize>(
    rounds: usize,
    variants: [&dyn Fn() -> f64; N],
) -> Vec<[f64; N]> {
    let round = |number: usize| {
        let mut measured = [0.0; N];
        for turn in 0..N {
            let variant = (number + turn) % N;
            measured[variant] = variants[variant]();
        }
        measured
    };
    (0..rounds).map(round).collect()
}
