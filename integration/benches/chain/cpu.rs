//! Processor time of a request: with nothing, with each part, with everything, and with what one would use instead.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use syntrace_bench_report::{Estimate, Figure, median, ratios};

use crate::{
    described,
    gateway::Extra,
    ledger,
    loads::Load,
    part::Part,
    runtime,
    tools::Rival,
    world::{self, Which, World},
};

/// Rounds, and of the rivals that are programs of their own.
const ROUNDS: usize = 7;
const TOOL_ROUNDS: usize = 3;
/// Rounds of the rough picture.
const QUICK_ROUNDS: usize = 3;
/// Requests with which the probe's and the bridge's own time is measured, of a round.
const OWN_REQUESTS: usize = 4_000;
const OWN_CONNECTIONS: usize = 1_600;
const OWN_ROUNDS: usize = 5;
/// How long they are watched with nothing to do, and how often.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_LOOKS: usize = 5;

/// A listener, or a setting of one, by its name in the figures.
type Variant = (&'static str, Which, Extra);

const NOTHING: &str = "nothing";
const AGAIN: &str = "nothing_again";
const EVERYTHING: &str = "everything";

const OURS: [Variant; 5] = [
    (NOTHING, Which::Plain, Extra::Nothing),
    (AGAIN, Which::PlainAgain, Extra::Nothing),
    ("filter", Which::Plain, Extra::Filter),
    ("probe", Which::Watched, Extra::Nothing),
    (EVERYTHING, Which::Watched, Extra::Filter),
];
/// Measured under HTTP/1.1 only, connections kept or not.
const RIVALS: [Variant; 4] = [
    ("tracer_batched", Which::Plain, Extra::Tracer),
    (TRACER_DEFAULT, Which::Plain, Extra::Tracer),
    ("grpc_access_log", Which::Plain, Extra::AccessLog),
    ("lua", Which::Plain, Extra::Lua),
];
const TRACER_DEFAULT: &str = "tracer_default";

/// What a request cost, microseconds.
#[derive(Clone, Copy, Debug)]
struct Cost {
    worker: f64,
    host: f64,
}

/// Costs by variant, of one round.
type Round = BTreeMap<&'static str, Cost>;

pub(crate) fn measure(world: &mut World, part: &mut Part) -> anyhow::Result<()> {
    described::add(world, part)?;
    let rounds = part.rounds(ROUNDS)?;
    let idle = idle(world, part)?;
    let own = own(world, part, idle)?;
    // As warm as the watched gateway's is by then: V8 compiles what runs often anew.
    Load::Http1.put(
        world,
        Which::Plain,
        Extra::Filter,
        (OWN_REQUESTS + OWN_CONNECTIONS) * OWN_ROUNDS,
    )?;
    for load in [Load::Http1, Load::Churn, Load::Http2, Load::Grpc, Load::Tls] {
        let with_rivals = matches!(load, Load::Http1 | Load::Churn);
        let rivals = if with_rivals { &RIVALS[..] } else { &[] };
        let variants: Vec<_> = OURS.iter().chain(rivals).copied().collect();
        let measured = compare(world, load, &variants, rounds)?;
        report(part, load, &variants, &measured);
        let own = if load == Load::Churn {
            &own.connection
        } else {
            &own.request
        };
        // Own rounds are as good as any other beside a round: both spreads are in the interval.
        let pairs: Vec<_> = measured
            .iter()
            .zip(own.iter().cycle())
            .filter_map(|(round, own)| {
                Some((
                    round.get(EVERYTHING)?.worker + own,
                    round.get(NOTHING)?.worker,
                ))
            })
            .collect();
        let equal: Vec<_> = measured
            .iter()
            .filter_map(|round| Some((round.get(AGAIN)?.worker, round.get(NOTHING)?.worker)))
            .collect();
        let name = match load {
            Load::Http1 => "chain.cpu_everything_over_nothing".to_owned(),
            Load::Churn | Load::Http2 | Load::Grpc | Load::Tls => {
                format!("chain.cpu_everything_over_nothing.{}", load.name())
            }
        };
        part.add(Figure::new(name, "ratio", ratios(&pairs)).aa(ratios(&equal).value));
        if with_rivals {
            for rival in [Rival::Tcplife, Rival::Tcpconnlat, Rival::TcpdumpToFile] {
                beside(world, part, load, rival, rounds.min(TOOL_ROUNDS))?;
            }
        }
    }
    Ok(())
}

/// A rough picture in a few seconds: what all costs, without intervals that mean much.
pub(crate) fn rough(world: &World, part: &mut Part) -> anyhow::Result<()> {
    for load in [Load::Http1, Load::Churn] {
        let measured = compare(world, load, &OURS, QUICK_ROUNDS)?;
        report(part, load, &OURS, &measured);
    }
    Ok(())
}

/// Measures the variants in rounds, each in an order of its own, after one round that is thrown away.
fn compare(
    world: &World,
    load: Load,
    variants: &[Variant],
    rounds: usize,
) -> anyhow::Result<Vec<Round>> {
    let mut order = variants.to_vec();
    let mut measured = Vec::new();
    for number in 0..=rounds {
        let shift = number * 3 % order.len();
        order.rotate_left(shift);
        if number % 2 == 1 {
            order.reverse();
        }
        let mut round = Round::new();
        for &variant in &order {
            round.insert(variant.0, cost(world, load, variant)?);
        }
        if number > 0 {
            measured.push(round);
        }
    }
    Ok(measured)
}

fn cost(world: &World, load: Load, (name, which, extra): Variant) -> anyhow::Result<Cost> {
    let side = world.side(which)?;
    if extra == Extra::Tracer {
        let spans = if name == TRACER_DEFAULT { 5 } else { 500 };
        runtime::flush_spans(world, &side.gateway, spans)?;
    }
    // It rests: what was measured on it before waited for that.
    let (worker, host) = (side.worker.ran_ns()?, side.used_us()?);
    let requests = load.requests();
    load.put(world, which, extra, requests)?;
    Ok(Cost {
        worker: (side.worker.rest()? - worker) as f64 / 1_000.0 / requests as f64,
        host: (side.used_us()? - host) as f64 / requests as f64,
    })
}

fn report(part: &mut Part, load: Load, variants: &[Variant], rounds: &[Round]) {
    let noise = |of: fn(&Cost) -> f64| median(&added(rounds, AGAIN, of)).value;
    let prefix = part.prefix();
    for &(name, ..) in variants {
        let costs: Vec<_> = rounds
            .iter()
            .filter_map(|round| Some(round.get(name)?.worker))
            .collect();
        let figure = |what: &str| format!("{prefix}.{what}.{}.{name}", load.name());
        part.add(Figure::new(figure("cpu_us"), "us", median(&costs)));
        if name == NOTHING {
            continue;
        }
        let worker: fn(&Cost) -> f64 = |cost| cost.worker;
        let host: fn(&Cost) -> f64 = |cost| cost.host;
        let more = median(&added(rounds, name, worker));
        part.add(Figure::new(figure("added_us"), "us", more).aa(noise(worker)));
        let more = median(&added(rounds, name, host));
        part.add(Figure::new(figure("host_added_us"), "us", more).aa(noise(host)));
    }
}

/// Returns by how much a variant differs from nothing, round by round; the second nothing from the first.
fn added(rounds: &[Round], name: &str, of: fn(&Cost) -> f64) -> Vec<f64> {
    let added = rounds.iter().filter_map(|round| {
        let (nothing, again) = (of(round.get(NOTHING)?), of(round.get(AGAIN)?));
        let base = if name == AGAIN {
            nothing
        } else {
            f64::midpoint(nothing, again)
        };
        Some(of(round.get(name)?) - base)
    });
    added.collect()
}

/// Measures a gateway without anything while a rival watches the host, and what the rival uses itself.
fn beside(
    world: &World,
    part: &mut Part,
    load: Load,
    rival: Rival,
    rounds: usize,
) -> anyhow::Result<()> {
    let nothing = (NOTHING, Which::Plain, Extra::Nothing);
    let (mut costs, mut more, mut hosts, mut own) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut equal, mut equal_hosts) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = cost(world, load, nothing)?;
        let cgroup = world.tools.child(rival.name())?;
        let process = rival.start(&world.sandbox, &cgroup)?;
        let used = world::used_us(&cgroup)?;
        let with = cost(world, load, nothing)?;
        own.push((world::used_us(&cgroup)? - used) as f64 / load.requests() as f64);
        drop((process, cgroup));
        let after = cost(world, load, nothing)?;
        costs.push(with.worker);
        more.push(with.worker - f64::midpoint(before.worker, after.worker));
        hosts.push(with.host - f64::midpoint(before.host, after.host));
        equal.push(after.worker - before.worker);
        equal_hosts.push(after.host - before.host);
    }
    let figure = |what: &str, samples: &[f64]| {
        Figure::new(
            format!("chain.{what}.{}.{}", load.name(), rival.name()),
            "us",
            median(samples),
        )
    };
    part.add(figure("cpu_us", &costs));
    part.add(figure("added_us", &more).aa(median(&equal).value));
    part.add(figure("host_added_us", &hosts).aa(median(&equal_hosts).value));
    part.add(figure("own_us", &own));
    part.tool(rival.described(&world.sandbox)?);
    Ok(())
}

/// What the probe and the bridge use themselves, microseconds, round by round.
#[derive(Clone, Debug)]
struct Own {
    request: Vec<f64>,
    connection: Vec<f64>,
}

/// Measures what the probe and the bridge use with nothing to do; returns it as microseconds in a second.
fn idle(world: &mut World, part: &mut Part) -> anyhow::Result<f64> {
    ledger::settled(world)?;
    let programs = [
        ("probe", world.probe.process().id()),
        ("bridge", world.bridge.process().id()),
    ];
    let used = |programs: [(&'static str, u32); 2]| -> anyhow::Result<Vec<u64>> {
        programs.iter().map(|&(_, id)| ran_ns(id)).collect()
    };
    let (mut all, mut each) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..IDLE_LOOKS {
        let (before, used_before, begun) = (world.watching_us()?, used(programs)?, Instant::now());
        thread::sleep(IDLE);
        let seconds = begun.elapsed().as_secs_f64();
        all.push((world.watching_us()? - before) as f64 / seconds);
        for ((samples, after), before) in each.iter_mut().zip(used(programs)?).zip(used_before) {
            samples.push((after - before) as f64 / 1e7 / seconds);
        }
    }
    let percents: Vec<_> = all.iter().map(|us| us / 10_000.0).collect();
    part.add(Figure::new("chain.idle_cpu_percent", "%", median(&percents)).at_most(0.2));
    let mib = |kib: u64| Estimate::exact(kib as f64 / 1024.0, 1);
    let both: u64 = programs
        .iter()
        .map(|&(_, id)| resident_kib(id))
        .sum::<anyhow::Result<_>>()?;
    part.add(
        Figure::new("chain.idle_resident", "MiB", mib(both))
            .at_most(30.0)
            .goal(15.0),
    );
    for ((name, id), percents) in programs.into_iter().zip(each) {
        let figure = |what: &str| format!("chain.{what}.{name}");
        part.add(Figure::new(
            figure("idle_cpu_percent"),
            "%",
            median(&percents),
        ));
        part.add(Figure::new(
            figure("idle_resident"),
            "MiB",
            mib(resident_kib(id)?),
        ));
    }
    Ok(median(&all).value)
}

/// Returns how long the threads of a process ran so far, nanoseconds.
fn ran_ns(id: u32) -> anyhow::Result<u64> {
    let mut ran = 0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().context("no time in schedstat")?;
        ran += first.parse::<u64>()?;
    }
    Ok(ran)
}

/// Returns the memory of a process that is in use, KiB; what it maps twice, as the probe does the ring, counts once.
fn resident_kib(id: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.with_context(|| format!("process {id} has no Pss"))
}

/// Measures the probe and the bridge from the first request until the last record is settled, beyond what they use
/// when `idle`.
fn own(world: &World, part: &mut Part, idle: f64) -> anyhow::Result<Own> {
    let mut own = |load: Load, requests: usize| -> anyhow::Result<Vec<f64>> {
        let mut each = Vec::new();
        for _ in 0..OWN_ROUNDS {
            let (before, begun) = (world.watching_us()?, Instant::now());
            load.put(world, Which::Watched, Extra::Filter, requests)?;
            ledger::settled(world)?;
            let used = (world.watching_us()? - before) as f64;
            each.push((used - idle * begun.elapsed().as_secs_f64()) / requests as f64);
        }
        let name = format!("chain.own_us.{}.probe_and_bridge", load.name());
        part.add(Figure::new(name, "us", median(&each)));
        Ok(each)
    };
    Ok(Own {
        request: own(Load::Http1, OWN_REQUESTS).context("requests")?,
        connection: own(Load::Churn, OWN_CONNECTIONS).context("connections")?,
    })
}
