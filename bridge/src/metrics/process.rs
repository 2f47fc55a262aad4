//! What the process itself uses, under the names that all of Prometheus' clients use.

use std::{fmt, fs, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::time::{ClockId, clock_gettime};

/// Reads `/proc` and the CPU clock at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = ConstCounter::new(cpu_seconds());
        let help = "CPU time that the process used.";
        let kind = cpu.metric_type();
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory of the process.",
                resident_bytes(),
            ),
            (
                "process_open_fds",
                "File descriptors that the process has open.",
                open_files(),
            ),
        ];
        for (name, help, value) in gauges {
            // What cannot be read is not shown.
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> f64 {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let whole = u64::try_from(cpu.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(cpu.tv_nsec).unwrap_or_default();
    Duration::new(whole, nanos).as_secs_f64()
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1_024)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
