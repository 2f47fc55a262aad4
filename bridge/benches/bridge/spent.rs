//! Processor time of this process, and of which of the bridge's threads.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Processor seconds of this process, and of its threads by name.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) all: f64,
    pub(crate) log: f64,
    pub(crate) fold: f64,
    pub(crate) store: f64,
    /// Of threads that ended: each writes one state.
    pub(crate) ended: f64,
}

impl Spent {
    pub(crate) fn so_far() -> Self {
        let threads: Vec<_> = threads().collect();
        let all = seconds(ClockId::ProcessCPUTime);
        let of = |name: &str| {
            let found = threads.iter().filter(|(found, _)| found == name);
            found.map(|(_, seconds)| seconds).sum()
        };
        Self {
            all,
            log: of("log"),
            fold: of("fold"),
            store: of("store"),
            ended: all - threads.iter().map(|(_, seconds)| seconds).sum::<f64>(),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            log: self.log - before.log,
            fold: self.fold - before.fold,
            store: self.store - before.store,
            ended: self.ended - before.ended,
        }
    }
}

/// Returns the name of each thread, and its processor seconds.
fn threads() -> impl Iterator<Item = (String, f64)> {
    fs::read_dir("/proc/self/task").unwrap().map(|thread| {
        let thread = thread.unwrap().path();
        let name = fs::read_to_string(thread.join("comm")).unwrap();
        let spent = fs::read_to_string(thread.join("schedstat")).unwrap();
        let (nanos, _) = spent.split_once(' ').unwrap();
        let spent = Duration::from_nanos(nanos.parse().unwrap());
        (name.trim_end().to_owned(), spent.as_secs_f64())
    })
}

/// Reads a clock of processor time, seconds.
pub(crate) fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
    .as_secs_f64()
}
