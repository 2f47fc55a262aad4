//! A bridge to which nothing comes: its processor time and its memory.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use syntrace_bench_report::{Estimate, Figure, Report};

const WATCHED: Duration = Duration::from_secs(10);

/// The unit of the times in `/proc`, as everywhere on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

struct Bridge(Child);

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

pub(crate) fn measure(report: &mut Report) {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("bridge.sock");
    let child = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"))
        .env("SYNTRACE_FACTS", format!("unix:{}", socket.display()))
        .env("SYNTRACE_LISTEN", "127.0.0.1:0")
        .env("SYNTRACE_DATA_DIR", place.path().join("data"))
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let bridge = Bridge(child);
    while !socket.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    // What the start takes is not idle.
    thread::sleep(Duration::from_secs(1));
    let began = ticks(bridge.0.id());
    thread::sleep(WATCHED);
    let took = ticks(bridge.0.id()) - began;
    let percent = 100.0 * took / TICKS_PER_SECOND / WATCHED.as_secs_f64();
    report
        .add(Figure::new("bridge.idle_cpu_percent", "%", Estimate::exact(percent, 1)).at_most(0.2));
    let resident = resident_of(&bridge.0.id().to_string());
    let mib = u32::try_from(resident >> 10).unwrap();
    report.add(
        Figure::new(
            "bridge.resident_mb",
            "MiB",
            Estimate::exact(f64::from(mib) / 1024.0, 1),
        )
        .at_most(30.0)
        .goal(15.0),
    );
}

/// Returns what of this process is in memory.
pub(crate) fn resident_bytes() -> u64 {
    resident_of("self")
}

fn resident_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// Returns the processor time of a process so far, in ticks.
fn ticks(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    // Fields 14 and 15 of proc(5): user and system time.
    let times = fields.get(11..13).expect("proc(5)").iter();
    times.map(|time| time.parse::<f64>().unwrap()).sum()
}
