//! Latency that everything adds, by an open loop at half and at four fifths of the peak.

use syntrace_bench_report::{Estimate, Figure, median, ratios};

use crate::{
    client::{Orders, Outcome, PERCENTILES},
    gateway::Extra,
    loads::Load,
    part::Part,
    world::{Which, World},
};

/// Rounds of three turns, each as long as this.
const ROUNDS: usize = 7;
const SECONDS: f64 = 4.0;
/// Connections of the open loop.
const CONNECTIONS: usize = 32;
/// Requests that find the peak.
const PEAK_REQUESTS: usize = 30_000;
/// Rounds that find it.
const PEAK_ROUNDS: usize = 5;

const TURNS: [(&str, Which, Extra); 3] = [
    ("nothing", Which::Plain, Extra::Nothing),
    ("everything", Which::Watched, Extra::Filter),
    ("nothing_again", Which::PlainAgain, Extra::Nothing),
];

pub(crate) fn measure(world: &World, part: &mut Part) -> anyhow::Result<()> {
    let rounds = part.rounds(ROUNDS)?;
    let peak = peak(world, part, rounds.min(PEAK_ROUNDS))?;
    for percent in [50, 80] {
        let rate = peak * f64::from(percent) / 100.0;
        let mut measured = Vec::new();
        for round in 0..rounds {
            let mut order = [0, 1, 2];
            order.rotate_left(round % 3);
            let mut outcomes = [const { None }; 3];
            for turn in order {
                if let (Some(slot), Some(&(_, which, extra))) =
                    (outcomes.get_mut(turn), TURNS.get(turn))
                {
                    *slot = Some(open_loop(world, which, extra, rate)?);
                }
            }
            if let [Some(nothing), Some(everything), Some(again)] = outcomes {
                measured.push([nothing, everything, again]);
            }
        }
        report(part, percent, &measured);
    }
    direct(world, part, peak)
}

/// Finds the most requests in a second, of both; returns that with everything on.
fn peak(world: &World, part: &mut Part, rounds: usize) -> anyhow::Result<f64> {
    let (mut pairs, mut equal, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let put = |(_, which, extra): (&str, Which, Extra)| {
            Load::Http1.put(world, which, extra, PEAK_REQUESTS)
        };
        let [nothing, everything, again] = TURNS;
        let (nothing, everything, again) = (put(nothing)?, put(everything)?, put(again)?);
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

fn open_loop(world: &World, which: Which, extra: Extra, rate: f64) -> anyhow::Result<Outcome> {
    let orders = orders(world.side(which)?.address(extra, false), rate);
    let outcome = world.client(which, &orders)?;
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

fn report(part: &mut Part, percent: u32, measured: &[[Outcome; 3]]) {
    for (at, percentile) in PERCENTILES.into_iter().enumerate() {
        let of = |turn: usize| -> Vec<f64> {
            let outcomes = measured
                .iter()
                .filter_map(|round| round.get(turn)?.latencies_ns.get(at));
            outcomes.map(|&ns| ns as f64 / 1_000.0).collect()
        };
        for (turn, (name, ..)) in TURNS.into_iter().enumerate() {
            let name = format!("chain.latency_us.{percent}.{name}.p{percentile}");
            part.add(Figure::new(name, "us", median(&of(turn))));
        }
        let (nothing, everything, again) = (of(0), of(1), of(2));
        let base: Vec<_> = nothing
            .iter()
            .zip(&again)
            .map(|(one, other)| f64::midpoint(*one, *other))
            .collect();
        let added = percent_over(&everything, &base);
        let name = match percent {
            50 => format!("chain.p{percentile}_added_percent"),
            _ => format!("chain.p{percentile}_added_percent.at_{percent}"),
        };
        part.add(
            Figure::new(name, "%", median(&added))
                .aa(median(&percent_over(&again, &nothing)).value),
        );
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
