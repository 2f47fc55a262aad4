//! The load generator: this program, run as `chain client …` in the client's namespace.
//!
//! A thread for each connection, which sends one request after the other. With a rate it is an open loop: every request
//! is due at a time that was fixed before, and its latency counts from then on, however late the connection was free.
//! Keeps every sample, so percentiles are exact; writes a log of what it did, if asked. Speaks HTTP/1.1 and nothing else.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The first argument that makes the benchmark a client.
pub(crate) const NAME: &str = "client";
/// More than any answer takes, retransmissions included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Percentiles that are told.
pub(crate) const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];
/// A sleep ends this early at most: how exactly the kernel keeps the time that a request is due, nanoseconds.
const SLACK_NS: &str = "1";

/// What a client is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The gateway's listener.
    pub(crate) address: SocketAddr,
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Requests of each of them.
    pub(crate) requests: usize,
    /// Requests in a second, of all together; as fast as it goes without one.
    pub(crate) rate: Option<f64>,
    /// Each request has a connection of its own.
    pub(crate) churn: bool,
    /// Where to write a line for each request.
    pub(crate) log: Option<PathBuf>,
}

/// What a client saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Answered by 200.
    pub(crate) answered: usize,
    /// Not answered, or otherwise.
    pub(crate) failed: usize,
    /// From the first request that was due to the last answer, seconds.
    pub(crate) seconds: f64,
    /// At each of [`PERCENTILES`], nanoseconds.
    pub(crate) latencies_ns: Vec<u64>,
}

/// One request, as the log has it.
#[derive(Clone, Debug)]
struct Sample {
    path: String,
    /// The client's port; 0 where there was no connection.
    port: u16,
    begun_at_unix_ns: u128,
    latency_ns: u64,
    answered: bool,
}

/// Carries out the orders, which are JSON, and prints the outcome as JSON.
pub(crate) fn run(orders: &str) -> anyhow::Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("reading the client's orders")?;
    fs::write("/proc/self/timerslack_ns", SLACK_NS).context("setting the timers' slack")?;
    let orders = Arc::new(orders);
    // Time for all threads to be there before the first request is due.
    let start = Instant::now() + Duration::from_millis(20 + orders.connections as u64 / 10);
    let threads: Vec<_> = (0..orders.connections)
        .map(|number| {
            let orders = Arc::clone(&orders);
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(move || connection(&orders, number, start))
        })
        .collect::<io::Result<_>>()?;
    let mut samples = Vec::new();
    for thread in threads {
        samples.extend(thread.join().unwrap_or_default());
    }
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &orders.log {
        write_log(File::create(path)?, &samples)?;
    }
    let outcome = outcome(&samples, seconds);
    writeln!(io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

/// Sends one connection's requests.
fn connection(orders: &Orders, number: usize, start: Instant) -> Vec<Sample> {
    // No two clients send the same path.
    let run = std::process::id();
    let mut stream = None;
    let mut samples = Vec::with_capacity(orders.requests);
    for request in 0..orders.requests {
        let due = orders.rate.map(|rate| {
            let before = request * orders.connections + number;
            start + Duration::from_secs_f64(before as f64 / rate)
        });
        thread::sleep(
            due.unwrap_or(start)
                .saturating_duration_since(Instant::now()),
        );
        let begun = due.unwrap_or_else(Instant::now);
        let begun_at_unix_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let path = format!("/c/{run}/{number}/{request}");
        let done = exchange(&mut stream, orders.address, &path);
        let latency_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (port, answered) = *done.as_ref().unwrap_or(&(0, false));
        if orders.churn || done.is_err() {
            stream = None;
        }
        samples.push(Sample {
            path,
            port,
            begun_at_unix_ns,
            latency_ns,
            answered,
        });
    }
    samples
}

/// Sends one request, over a new connection if there is none; returns the own port, and whether the answer was 200.
fn exchange(
    stream: &mut Option<TcpStream>,
    address: SocketAddr,
    path: &str,
) -> io::Result<(u16, bool)> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let made = TcpStream::connect_timeout(&address, PATIENCE)?;
            made.set_nodelay(true)?;
            made.set_read_timeout(Some(PATIENCE))?;
            stream.insert(made)
        }
    };
    let port = stream.local_addr()?.port();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n").as_bytes())?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(free)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let seen = buffer.get(..filled).unwrap_or_default();
        if let Some(answered) = whole_answer(seen) {
            return Ok((port, answered));
        }
    }
}

/// Returns whether the answer is 200, once all of it is there.
fn whole_answer(seen: &[u8]) -> Option<bool> {
    let text = str::from_utf8(seen).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?
        .parse()
        .ok()?;
    (body.len() >= length).then(|| head.starts_with("HTTP/1.1 200 "))
}

/// Writes a line for each request: path, own port, begin and latency in nanoseconds, 1 if it was answered by 200.
fn write_log(file: File, samples: &[Sample]) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    for sample in samples {
        let Sample {
            path,
            port,
            begun_at_unix_ns,
            latency_ns,
            answered,
        } = sample;
        let answered = u8::from(*answered);
        writeln!(
            out,
            "{path} {port} {begun_at_unix_ns} {latency_ns} {answered}"
        )?;
    }
    out.flush()
}

fn outcome(samples: &[Sample], seconds: f64) -> Outcome {
    let answered = samples.iter().filter(|sample| sample.answered).count();
    let mut sorted: Vec<u64> = samples.iter().map(|sample| sample.latency_ns).collect();
    sorted.sort_unstable();
    let at = |percentile: f64| {
        let rank = (sorted.len() as f64 * percentile / 100.0).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    Outcome {
        answered,
        failed: samples.len() - answered,
        seconds,
        latencies_ns: PERCENTILES
            .iter()
            .map(|&percentile| at(percentile))
            .collect(),
    }
}
