//! What was lost or withheld before it became a fact: the kernel's counts and our own.

use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, PerCpuArray};
use syntrace_ebpf_common::Counter;
use syntrace_proto::Loss;

/// Name of the loss of a ring-buffer record that could not be decoded.
const UNDECODABLE: &str = "undecodable";

/// All counts since the probe began.
#[derive(Default)]
pub(crate) struct Counters {
    kernel: Option<PerCpuArray<MapData, u64>>,
    undecodable: AtomicU64,
}

impl Counters {
    /// Counts beside what the programs count in `kernel`.
    pub(crate) fn new(kernel: PerCpuArray<MapData, u64>) -> Self {
        Self {
            kernel: Some(kernel),
            undecodable: AtomicU64::new(0),
        }
    }

    /// Counts a ring-buffer record that is none.
    pub(crate) fn undecodable(&self) {
        self.undecodable.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the losses so far, as a batch carries them; those of 0 are left out.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let kernel = Counter::ALL.iter().filter(|counter| counter.is_loss());
        let kernel = kernel.map(|&counter| (counter.name(), self.kernel_count(counter)));
        let own = (UNDECODABLE, self.undecodable.load(Ordering::Relaxed));
        kernel
            .chain([own])
            .filter(|&(_, count)| count > 0)
            .map(|(cause, count)| Loss {
                cause: cause.to_owned(),
                count,
            })
            .collect()
    }

    /// Logs every count that is not 0, one line each.
    pub(crate) fn log(&self) {
        for &counter in Counter::ALL {
            let count = self.kernel_count(counter);
            if count > 0 {
                tracing::info!(counter = counter.name(), count, "Counted in the kernel");
            }
        }
    }

    fn kernel_count(&self, counter: Counter) -> u64 {
        let read = |kernel: &PerCpuArray<MapData, u64>| kernel.get(&counter.slot(), 0).ok();
        self.kernel
            .as_ref()
            .and_then(read)
            .map_or(0, |per_cpu| per_cpu.iter().sum())
    }
}
