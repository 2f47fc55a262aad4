//! What it costs to keep records over restarts, and to find one among a million while others come.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::time::ClockId;
use syntrace_bench_report::{Estimate, Figure, Report, median, ratios};
use syntrace_bridge::{
    clock, ingest,
    log::AppendError,
    pipeline::{Pipeline, Settings},
};
use syntrace_model::SpanId;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    idle::resident_bytes,
    load,
    spent::{Spent, seconds},
};

/// Batches of one round of the comparison.
const BATCHES: u64 = 500;
const ROUNDS: usize = 7;

/// How often connections come in that comparison, a batch of them each time: no part falls behind.
const EVERY: Duration = Duration::from_millis(5);

/// Settled records that memory holds in that comparison: so few that most are given up again within a
/// round, as they are in a bridge that has run for a while.
const IN_MEMORY: usize = 20_000;

/// Records of each kind that are kept, while one is looked for.
const KEPT: u64 = 500_000;

/// Connections that are open at once.
const OPEN: u64 = 200_000;

const QUESTIONS: usize = 4_000;

/// What an open connection takes.
pub(crate) fn open(report: &mut Report) {
    runtime().block_on(measure_open(report));
}

async fn measure_open(report: &mut Report) {
    let pipeline = Pipeline::start(&Settings::default()).unwrap();
    append(&pipeline, &load::opening(clock::sample())).await;
    let before = resident_bytes();
    for number in 0..OPEN / load::BATCH {
        append(&pipeline, &load::open(number, clock::sample())).await;
        // Batches that wait to be folded are no open connections.
        let told = usize::try_from((number + 1) * load::BATCH).unwrap();
        while pipeline.view().coverage().connections_live < told {
            tokio::task::yield_now().await;
        }
    }
    let each = resident_bytes().saturating_sub(before) / OPEN;
    report.add(
        Figure::new("bridge.bytes_per_open_connection", "bytes", count(each))
            .at_most(256.0)
            .goal(160.0)
            .floor(100.0),
    );
}

/// Processor time of the same load with files and without.
pub(crate) fn durable(report: &mut Report) {
    runtime().block_on(measure_durable(report));
}

async fn measure_durable(report: &mut Report) {
    let (mut pairs, mut same) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = tempfile::tempdir().unwrap();
        let memory = round(None).await;
        let durable = round(Some(place.path())).await;
        let again = round(None).await;
        pairs.push((memory, durable));
        same.push((memory.all, again.all));
    }
    let all: Vec<_> = pairs
        .iter()
        .map(|(memory, kept)| (memory.all, kept.all))
        .collect();
    report.add(
        Figure::new("bridge.durable_over_memory", "ratio", ratios(&all))
            .at_least(0.6)
            .goal(0.8)
            .floor(1.0)
            .aa(ratios(&same).value),
    );
    let mut add = |name: &str, part: fn(&Spent) -> f64| {
        let more = |(memory, kept): &(Spent, Spent)| (part(kept) - part(memory)) / memory.all;
        let more: Vec<_> = pairs.iter().map(more).collect();
        report.add(Figure::new(name, "ratio", median(&more)));
    };
    add("bridge.keeping.log", |spent| spent.log);
    // Without files the fold's thread gives the oldest records' memory back; with files the store's does.
    add("bridge.keeping.fold_and_states", |spent| {
        spent.fold + spent.ended
    });
    add("bridge.keeping.view", |spent| spent.store);
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

/// Takes one load until all of it is settled and stored; returns what that took.
async fn round(place: Option<&Path>) -> Spent {
    let pipeline = Pipeline::start(&Settings {
        settled_records: IN_MEMORY,
        ..settings(place)
    });
    let pipeline = pipeline.unwrap();
    let before = Spent::so_far();
    append(&pipeline, &load::opening(clock::sample())).await;
    let mut made_up = 0.0;
    let mut ticks = tokio::time::interval(EVERY);
    for number in 0..BATCHES {
        ticks.tick().await;
        made_up += tell(&pipeline, number).await;
    }
    eventually_kept(&pipeline, 2 * BATCHES * load::BATCH).await;
    let mut spent = Spent::so_far().since(before);
    spent.all -= made_up;
    pipeline.finish().await.unwrap();
    spent
}

/// How fast a bridge with a million records starts again, and finds one of them under load.
pub(crate) fn find(report: &mut Report) {
    runtime().block_on(measure_find(report));
}

async fn measure_find(report: &mut Report) {
    let place = tempfile::tempdir().unwrap();
    let before = resident_bytes();
    let pipeline = Pipeline::start(&settings(Some(place.path()))).unwrap();
    append(&pipeline, &load::opening(clock::sample())).await;
    let began = Instant::now();
    let batches = KEPT / load::BATCH;
    let mut made_up = 0.0;
    for number in 0..batches {
        made_up += tell(&pipeline, number).await;
    }
    let took = began.elapsed() - Duration::from_secs_f64(made_up);
    let per_batch = took / u32::try_from(batches).unwrap();
    eventually_kept(&pipeline, 2 * KEPT).await;
    let each = resident_bytes().saturating_sub(before) / KEPT;
    report.add(Figure::new(
        "bridge.bytes_per_kept_connection",
        "bytes",
        count(each),
    ));
    // What a bridge that is killed at this moment leaves.
    let killed = copy(place.path());
    pipeline.finish().await.unwrap();
    let began = Instant::now();
    let again = Pipeline::start(&settings(Some(killed.path()))).unwrap();
    again.view().rebuilt().await.unwrap();
    let restart_ms = began.elapsed().as_secs_f64() * 1e3;
    again.finish().await.unwrap();
    drop(killed);
    report.add(
        Figure::new("bridge.restart_ms", "ms", Estimate::exact(restart_ms, 1)).at_most(1_000.0),
    );

    let pipeline = Pipeline::start(&settings(Some(place.path()))).unwrap();
    let view = pipeline.view();
    // Before that, questions over HTTP wait or are refused.
    while !view.is_rebuilt() || view.hole().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let alone = ask(&pipeline).await;
    let pipeline = Arc::new(pipeline);
    let done = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(half_load(
        Arc::clone(&pipeline),
        Arc::clone(&done),
        batches,
        per_batch,
    ));
    let loaded = ask(&pipeline).await;
    done.store(true, Relaxed);
    load.await.unwrap();
    report.add(
        Figure::new("bridge.query_p99_ms", "ms", percentile_ms(&loaded, 99))
            .at_most(1.0)
            .goal(0.3)
            // With nothing else to do.
            .floor(percentile_ms(&alone, 99).value),
    );
    report.add(Figure::new(
        "bridge.query_p50_ms",
        "ms",
        percentile_ms(&loaded, 50),
    ));
    report.add(Figure::new(
        "bridge.query_alone_p99_ms",
        "ms",
        percentile_ms(&alone, 99),
    ));
}

/// Asks for one record after the other, across all that is kept; returns what each took, the shortest first.
async fn ask(pipeline: &Pipeline) -> Vec<Duration> {
    let view = pipeline.view().clone();
    let asked = tokio::task::spawn_blocking(move || {
        let mut took = Vec::with_capacity(QUESTIONS);
        for n in 0..QUESTIONS as u64 {
            let name = n.wrapping_mul(0x9e37_79b9) % KEPT;
            let id = SpanId::new(load::span_id(name)).unwrap();
            let began = Instant::now();
            assert!(view.request(id).unwrap().is_some(), "{name}");
            took.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        took.sort_unstable();
        took
    });
    asked.await.unwrap()
}

/// Returns what that many in a hundred took at most.
fn percentile_ms(took: &[Duration], percent: usize) -> Estimate {
    let at = took.get(took.len() * percent / 100).unwrap();
    Estimate::exact(at.as_secs_f64() * 1e3, took.len())
}

/// Sends batches at half the rate at which they were taken.
async fn half_load(
    pipeline: Arc<Pipeline>,
    done: Arc<AtomicBool>,
    first: u64,
    per_batch: Duration,
) {
    let mut ticks = tokio::time::interval(2 * per_batch);
    let mut number = first;
    while !done.load(Relaxed) {
        ticks.tick().await;
        tell(&pipeline, number).await;
        number += 1;
    }
}

/// Tells what has just happened; returns the processor seconds that it took to make it up.
async fn tell(pipeline: &Pipeline, number: u64) -> f64 {
    let began = seconds(ClockId::ThreadCPUTime);
    let batches = load::batches(number, clock::sample());
    let made_up = seconds(ClockId::ThreadCPUTime) - began;
    for encoded in batches {
        append(pipeline, &encoded).await;
    }
    made_up
}

/// Appends a batch, again and again while there is no room.
async fn append(pipeline: &Pipeline, encoded: &[u8]) {
    loop {
        let batch = ingest::decode(encoded).unwrap();
        match pipeline.log().append(encoded, batch).await {
            Ok(_) => return,
            Err(AppendError::Busy) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn eventually_kept(pipeline: &Pipeline, records: u64) {
    let view = pipeline.view();
    while view.settled_number() < records || view.stored_number() < records {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn copy(place: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for part in ["log", "view"] {
        fs::create_dir(to.path().join(part)).unwrap();
        for file in fs::read_dir(place.join(part)).unwrap() {
            let file = file.unwrap();
            let to = to.path().join(part).join(file.file_name());
            // States come and go.
            if let Err(error) = fs::copy(file.path(), to) {
                assert_eq!(error.kind(), ErrorKind::NotFound);
            }
        }
    }
    to
}

fn settings(place: Option<&Path>) -> Settings {
    Settings {
        data_dir: place.map(Path::to_owned),
        ..Settings::default()
    }
}

fn count(value: u64) -> Estimate {
    Estimate::exact(u32::try_from(value).unwrap().into(), 1)
}
