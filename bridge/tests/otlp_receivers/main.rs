//! The export in front of others' receivers, of which some die, some are slow, and some come back too late.
//!
//! What is exported is read by OpenTelemetry's own definitions (PyPI's `opentelemetry-proto`), and passes
//! through a collector that others wrote. `OUTAGE_S` is for how many seconds a receiver is away or slow.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../page/bridge.rs"]
mod bridge;
mod others;
#[path = "../support/mod.rs"]
mod support;

use std::{
    env,
    thread::sleep,
    time::{Duration, Instant},
};

use bridge::Running;
use others::{Receiver, Rotel, Transport, check, records};
use support::traffic;
use tempfile::TempDir;

/// Connections, with a request each, in each batch of facts.
const COUNT: u64 = 100;

/// Records of one batch.
const RECORDS: usize = 2 * COUNT as usize;

/// At once.
const NO_DELAY: Duration = Duration::ZERO;

#[test]
fn rotel_takes_what_is_exported_and_what_it_hands_on_is_read_by_the_official_definitions() {
    if !others::are_there() {
        return;
    }
    for transport in Transport::ALL {
        let mut receiver = Receiver::new(Transport::Http);
        receiver.start(NO_DELAY);
        let mut rotel = Rotel::new(&receiver);
        rotel.start();
        let mut play = Play::start(
            &rotel.url(transport),
            transport,
            &[("OTEL_SERVICE_NAME", "gateway")],
        );
        play.part();
        let spans = receiver.wait_for_records(RECORDS);
        // It has handed on all that it took: killed, it loses nothing of what it had answered for.
        rotel.kill();
        play.part();
        let outage = outage();
        sleep(outage);
        rotel.start();
        play.part();
        let all = receiver.wait_for_records(3 * RECORDS);
        assert_eq!(records(&all), 3 * RECORDS, "{transport:?}");
        check(&all);
        assert!(
            spans
                .iter()
                .all(|span| span.service.as_deref() == Some("gateway"))
        );
        assert_eq!(play.metric("syntrace_spans_refused_total"), 0);
        assert_eq!(play.metric("syntrace_spans_queue_full_total"), 0);
    }
}

#[test]
fn a_receiver_that_was_killed_gets_what_it_missed_though_the_bridge_was_killed_as_well() {
    if !others::are_there() {
        return;
    }
    for transport in Transport::ALL {
        let mut receiver = Receiver::new(transport);
        receiver.start(NO_DELAY);
        let mut play = Play::start(&receiver.url(), transport, &[]);
        play.part();
        receiver.wait_for_records(RECORDS);
        receiver.kill();
        let away = Instant::now();
        let mut parts = 1;
        while away.elapsed() < outage() {
            play.part();
            parts += 1;
            if parts == 3 {
                play.kill_and_start();
            }
            sleep(outage() / 8);
        }
        receiver.start(NO_DELAY);
        play.part();
        parts += 1;
        let spans = receiver.wait_for_records(parts * RECORDS);
        assert_eq!(records(&spans), parts * RECORDS, "{transport:?}");
        check(&spans);
        assert_eq!(play.metric("syntrace_spans_queue_full_total"), 0);
    }
}

#[test]
fn a_receiver_that_answers_too_late_gets_spans_again_under_the_same_ids() {
    if !others::are_there() {
        return;
    }
    for transport in Transport::ALL {
        let mut receiver = Receiver::new(transport);
        // It takes, and is asked again before it says so.
        receiver.start(Duration::from_secs(2));
        let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
        let mut play = Play::start(&receiver.url(), transport, &[timeout]);
        play.part();
        let slow = Instant::now();
        let first = loop {
            let spans = receiver.wait_for_records(1);
            if slow.elapsed() > outage() && spans.len() > distinct(&spans) {
                break spans;
            }
            sleep(Duration::from_millis(50));
        };
        check(&first);
        receiver.kill();
        receiver.start(NO_DELAY);
        play.part();
        let spans = receiver.wait_for_records(2 * RECORDS);
        assert_eq!(records(&spans), 2 * RECORDS, "{transport:?}");
        check(&spans);
    }
}

#[test]
fn beyond_the_bound_what_was_not_exported_is_counted_record_by_record() {
    if !others::are_there() {
        return;
    }
    let mut receiver = Receiver::new(Transport::Grpc);
    let kept = ("SYNTRACE_SETTLED_RECORDS", "300");
    let mut play = Play::in_memory(&receiver.url(), Transport::Grpc, &[kept]);
    for _ in 0..5 {
        play.part();
    }
    receiver.start(NO_DELAY);
    play.part();
    let newest = play.played;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let has = records(&receiver.spans());
        let lost = play.metric("syntrace_spans_queue_full_total");
        if has + lost >= newest * RECORDS {
            assert_eq!(has + lost, newest * RECORDS);
            assert!(lost > 0 && has > 0, "{has} came, {lost} were counted");
            break;
        }
        assert!(Instant::now() < deadline, "{has} came, {lost} were counted");
        sleep(Duration::from_millis(50));
    }
    check(&receiver.spans());
}

/// A bridge that exports, and what it has been told so far.
struct Play {
    bridge: Option<Running>,
    environment: Vec<(String, String)>,
    data: Option<TempDir>,
    /// Batches that were told.
    played: usize,
}

impl Play {
    fn start(url: &str, transport: Transport, environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_str().unwrap().to_owned();
        let environment = [environment, &[("SYNTRACE_DATA_DIR", &path)]].concat();
        let mut play = Self::in_memory(url, transport, &environment);
        play.data = Some(data);
        play
    }

    fn in_memory(url: &str, transport: Transport, environment: &[(&str, &str)]) -> Self {
        let of_export = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", transport.protocol()),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let all = [&of_export, environment].concat();
        let all = all
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut play = Self {
            bridge: None,
            environment: all.collect(),
            data: None,
            played: 0,
        };
        play.run(None);
        play.bridge().post(&traffic::opening());
        play
    }

    fn run(&mut self, place: Option<TempDir>) {
        let pairs = self.environment.iter();
        let environment: Vec<_> = pairs.map(|(name, value)| (&**name, &**value)).collect();
        let place = place.unwrap_or_else(|| tempfile::tempdir().unwrap());
        self.bridge = Some(Running::start_in(place, &environment));
    }

    fn bridge(&self) -> &Running {
        self.bridge.as_ref().unwrap()
    }

    /// Tells of the next connections, and waits until they have settled.
    fn part(&mut self) {
        let first = traffic::OPENING + self.played as u64 * 2 * COUNT;
        self.bridge().post(&traffic::batch(first, COUNT));
        self.played += 1;
        let settled = self.played as u64 * COUNT;
        self.bridge().wait_until_settled("requests", settled);
        self.bridge().wait_until_settled("connections", settled);
    }

    /// Kills the bridge at work, and starts the next one on what it left.
    fn kill_and_start(&mut self) {
        let place = self.bridge.take().map(Running::kill);
        self.run(place);
    }

    fn metric(&self, name: &str) -> usize {
        let page = self.bridge().read("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }
}

fn distinct(spans: &[others::Span]) -> usize {
    let ids = spans.iter().map(|span| &span.span);
    ids.collect::<std::collections::BTreeSet<_>>().len()
}

fn outage() -> Duration {
    let seconds = env::var("OUTAGE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}
