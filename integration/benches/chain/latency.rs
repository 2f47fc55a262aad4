//! Latency that everything adds, by an open loop at half and at four fifths of the peak; and how much of it is that the
//! probe and the bridge take turns with the client and the service on the only other processor.

use std::collections::BTreeMap;

use syntrace_bench_report::{Estimate, Figure, median, ratios};

use crate::{
    client::{Orders, Outcome, PERCENTILES},
    gateway::Extra,
    loads::Load,
    part::Part,
    world::{Which, World},
};

/// Rounds, each of whose turns is as long as this.
const ROUNDS: usize = 7;
const SECONDS: f64 = 3.0;
/// Connections of the open loop.
const CONNECTIONS: usize = 32;
/// Requests that find the peak.
const PEAK_REQUESTS: usize = 30_000;
/// Rounds that find it.
const PEAK_ROUNDS: usize = 5;

/// One of those that are compared.
#[derive(Clone, Copy, Debug)]
struct Turn {
    name: &'static str,
    which: Which,
    extra: Extra,
    /// Probe and bridge run only while nobody else wants the processor.
    yields: bool,
}

const NOTHING: Turn = Turn {
    name: "nothing",
    which: Which::Plain,
    extra: Extra::Nothing,
    yields: false,
};
const EVERYTHING: Turn = Turn {
    name: "everything",
    which: Which::Watched,
    extra: Extra::Filter,
    yields: false,
};
const AGAIN: Turn = Turn {
    name: "nothing_again",
    which: Which::PlainAgain,
    ..NOTHING
};
const YIELDING: Turn = Turn {
    name: "everything_yielding",
    yields: true,
    ..EVERYTHING
};

/// Part of the peak, percent, and what is compared at it.
const LOADS: [(u32, &[Turn]); 2] = [
    (50, &[NOTHING, EVERYTHING, AGAIN, YIELDING]),
    (80, &[NOTHING, EVERYTHING, AGAIN]),
];

/// What the clients saw in one round, by turn.
type Round = BTreeMap<&'static str, Outcome>;

pub(crate) fn measure(world: &mut World, part: &mut Part) -> anyhow::Result<()> {
    let rounds = part.rounds(ROUNDS)?;
    let peak = peak(world, part, rounds.min(PEAK_ROUNDS))?;
    for (percent, turns) in LOADS {
        let rate = peak * f64::from(percent) / 100.0;
        let mut order = turns.to_vec();
        let mut measured = Vec::new();
        for _ in 0..rounds {
            let mut round = Round::new();
            for turn in &order {
                world.set_yielding(turn.yields)?;
                round.insert(turn.name, open_loop(world, turn, rate)?);
            }
            world.set_yielding(false)?;
            measured.push(round);
            order.rotate_left(1);
        }
        report(part, percent, turns, &measured);
    }
    direct(world, part, peak)
}

/// Finds the most requests in a second, of both; returns that with everything on.
fn peak(world: &World, part: &mut Part, rounds: usize) -> anyhow::Result<f64> {
    let (mut pairs, mut equal, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let put = |turn: Turn| Load::Http1.put(world, turn.which, turn.extra, PEAK_REQUESTS);
        let (nothing, everything, again) = (put(NOTHING)?, put(EVERYTHING)?, put(AGAIN)?);
        pairs.push((everything, f64::midpoint(nothing, again)));
        equal.push((again, nothing));
        peaks.push(everything);
    }
    let aa = ratios(&equal).value;
    part.add(
        Figure::new(
            "chain.peak_everything_over_nothing",
            "ratio",
            ratios(&pairs),
        )
        .aa(aa),
    );
    let peak = median(&peaks);
    part.add(Figure::new("chain.peak_per_second", "1/s", peak));
    Ok(peak.value)
}

fn open_loop(world: &World, turn: &Turn, rate: f64) -> anyhow::Result<Outcome> {
    let orders = orders(world.side(turn.which)?.address(turn.extra, false), rate);
    let outcome = world.client(turn.which, &orders)?;
    anyhow::ensure!(outcome.failed == 0, "{outcome:?}");
    Ok(outcome)
}

fn orders(address: std::net::SocketAddr, rate: f64) -> Orders {
    Orders {
        address,
        connections: CONNECTIONS,
        requests: (rate * SECONDS) as usize / CONNECTIONS,
        rate: Some(rate),
        churn: false,
        log: None,
    }
}

fn report(part: &mut Part, percent: u32, turns: &[Turn], measured: &[Round]) {
    for (at, percentile) in PERCENTILES.into_iter().enumerate() {
        let of = |turn: Turn| -> Vec<f64> {
            let outcomes = measured
                .iter()
                .filter_map(|round| round.get(turn.name)?.latencies_ns.get(at));
            outcomes.map(|&ns| ns as f64 / 1_000.0).collect()
        };
        let (nothing, again) = (of(NOTHING), of(AGAIN));
        let base: Vec<_> = nothing
            .iter()
            .zip(&again)
            .map(|(one, other)| f64::midpoint(*one, *other))
            .collect();
        let noise = median(&percent_over(&again, &nothing)).value;
        for &turn in turns {
            let name = format!("chain.latency_us.{percent}.{}.p{percentile}", turn.name);
            part.add(Figure::new(name, "us", median(&of(turn))));
            if turn.which != Which::Watched {
                continue;
            }
            let which = match (percent, turn.yields) {
                (50, false) => String::new(),
                (50, true) => ".yielding".to_owned(),
                _ => format!(".at_{percent}"),
            };
            let added = median(&percent_over(&of(turn), &base));
            let name = format!("chain.p{percentile}_added_percent{which}");
            part.add(Figure::new(name, "%", added).aa(noise));
        }
    }
}

fn percent_over(more: &[f64], less: &[f64]) -> Vec<f64> {
    more.iter()
        .zip(less)
        .map(|(more, less)| 100.0 * (more / less - 1.0))
        .collect()
}

/// Shows that the generator is not what is measured: against the service alone it is faster, and early.
fn direct(world: &World, part: &mut Part, peak: f64) -> anyhow::Result<()> {
    let address = world.service_address(Which::Plain)?;
    let free = Orders {
        rate: None,
        ..orders(address, peak)
    };
    let most = world.client_beside_service(Which::Plain, &free)?;
    let fastest = most.answered as f64 / most.seconds;
    let ratio = Estimate::exact(fastest / peak, most.answered);
    part.add(Figure::new("chain.generator_over_peak", "ratio", ratio));
    let open = world.client_beside_service(Which::Plain, &orders(address, peak * 0.8))?;
    for (percentile, ns) in PERCENTILES.iter().zip(&open.latencies_ns) {
        let name = format!("chain.generator_alone_us.p{percentile}");
        part.add(Figure::new(
            name,
            "us",
            Estimate::exact(*ns as f64 / 1_000.0, open.answered),
        ));
    }
    part.note(format!(
        "the open loop's generator alone, against the service without a gateway, on the processor that both share: {fastest:.0} requests a second"
    ));
    Ok(())
}
