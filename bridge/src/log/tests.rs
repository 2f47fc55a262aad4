//! What is acknowledged is in the files, whatever happens to them.

mod damage;
mod refusal;

use std::{fs, ops::ControlFlow, path::Path, sync::Mutex};

use syntrace_core::fact::SenderId;
use tempfile::TempDir;

use super::{
    disk::{Faults, Step},
    *,
};

const BOOT: BootId = BootId([7; 16]);

/// How long a log may take to end.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn batches_are_read_in_the_order_of_their_positions_until_the_log_is_closed() {
    let (log, mut reader) = in_memory(1_000);
    assert_eq!(log.append(b"a", batch(0)).await, Ok(Position(0)));
    assert_eq!(log.append(b"b", batch(1)).await, Ok(Position(1)));
    log.close();
    assert_eq!(log.append(b"c", batch(2)).await, Err(AppendError::Closed));
    assert_eq!(reader.next().await.unwrap().batch, batch(0));
    assert_eq!(reader.next().await.unwrap().batch, batch(1));
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_batch_without_room_is_refused_until_another_was_folded() {
    let (log, mut reader) = in_memory(30);
    assert_eq!(log.append(b"ab", batch(0)).await, Ok(Position(0)));
    assert_eq!(log.append(b"cd", batch(1)).await, Err(AppendError::Busy));
    drop(reader.next().await);
    assert_eq!(log.append(b"cd", batch(1)).await, Ok(Position(1)));
}

#[tokio::test]
async fn a_log_that_nobody_reads_takes_nothing_and_says_so() {
    let (log, reader) = in_memory(1_000);
    assert!(log.is_open());
    drop(reader);
    log.abandoned().await;
    assert!(!log.is_open());
    assert_eq!(log.append(b"a", batch(0)).await, Err(AppendError::Closed));
}

#[tokio::test]
async fn a_batch_is_in_a_file_when_its_sender_is_told() {
    let place = Place::new();
    let (log, _reader) = place.start(Disk::default());
    for text in ["one", "two", "three"] {
        log.append(text.as_bytes(), batch(0)).await.unwrap();
        assert_eq!(place.texts().last().unwrap(), text);
    }
}

#[tokio::test]
async fn a_log_that_is_opened_again_goes_on_behind_what_was_written() {
    let place = Place::new();
    for run in 0..3_u64 {
        let (log, reader) = place.start(Disk::default());
        let position = log.append(format!("run {run}").as_bytes(), batch(0)).await;
        assert_eq!(position, Ok(Position(run)));
        close(&log, reader).await;
    }
    assert_eq!(place.texts(), ["run 0", "run 1", "run 2"]);
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_was_torn_and_the_whole_entries_stay() {
    let place = Place::new();
    let (log, reader) = place.start(Disk::default());
    for text in ["one", "two"] {
        log.append(text.as_bytes(), batch(0)).await.unwrap();
    }
    close(&log, reader).await;
    let path = place.segments().segment(Position(0));
    let whole = fs::read(&path).unwrap();
    let entry = entry_bytes(3);
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let expected = match length {
            _ if length == whole.len() => 2,
            _ if length >= whole.len() - entry => 1,
            _ => 0,
        };
        place.segments().mend(&Disk::default()).unwrap();
        assert_eq!(place.texts(), ["one", "two"][..expected], "{length} bytes");
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let kept = if expected == 0 {
            0
        } else {
            whole.len() - (2 - expected) * entry
        };
        assert_eq!(bytes, kept as u64, "{length} bytes");
    }
}

#[tokio::test]
async fn whatever_step_fails_what_was_acknowledged_is_there_once_and_in_order() {
    for first in 0..6 {
        for step in [Step::Create, Step::Sync, Step::Remove] {
            one_story(Script::new(step, io_error(), 0, first..first + 2)).await;
        }
        // Nothing of the write is done, a part of an entry, or more than a whole one.
        for done in [0, 9, 25] {
            for step in [Step::Write, Step::Truncate] {
                one_story(Script::new(step, no_space(), done, first..first + 2)).await;
            }
        }
    }
}

/// Appends while steps fail as the script says, and reads what is there afterwards.
async fn one_story(script: Script) {
    let name = format!("{script:?}");
    let place = Place::new();
    let script = Arc::new(script);
    let mut acknowledged = Vec::new();
    // Each run writes into segments of few entries, so that every step is taken many times.
    for run in 0..2 {
        let (log, reader) = place.start(Disk::with_faults(Arc::clone(&script) as _));
        for n in 0..8 {
            let text = format!("{run}-{n}");
            match log.append(text.as_bytes(), batch(0)).await {
                Ok(_) => acknowledged.push(text),
                Err(AppendError::Failed) => assert!(log.health().trouble.is_some(), "{name}"),
                Err(error) => panic!("{name}: {error}"),
            }
        }
        close(&log, reader).await;
    }
    let kept = place.texts();
    let found: Vec<_> = kept
        .iter()
        .filter(|text| acknowledged.contains(text))
        .collect();
    assert_eq!(
        found,
        acknowledged.iter().collect::<Vec<_>>(),
        "{name}: {kept:?}"
    );
    assert!(acknowledged.len() >= 12, "{name}: the log did not recover");
}

#[tokio::test]
async fn a_disk_that_recovers_is_written_to_again_without_a_restart() {
    let place = Place::new();
    let script = Script::new(Step::Write, no_space(), 3, 1..4);
    let (log, _reader) = place.start(Disk::with_faults(Arc::new(script)));
    let mut answers = Vec::new();
    for _ in 0..5 {
        let answer = log.append(b"batch", batch(0)).await;
        answers.push((answer.is_ok(), log.health().trouble));
    }
    let full = (false, Some("disk_full"));
    assert!(answers.contains(&full), "{answers:?}");
    assert_eq!(answers.last(), Some(&(true, None)));
}

#[tokio::test]
async fn a_power_loss_costs_no_more_than_the_interval_because_the_disk_is_asked_by_then() {
    #[derive(Debug, Default)]
    struct Watch(Mutex<Vec<Step>>);
    impl Faults for Watch {
        fn at(&self, step: Step, _: usize) -> Option<(usize, io::Error)> {
            self.0.lock().unwrap().push(step);
            None
        }
    }
    let place = Place::new();
    let watch = Arc::<Watch>::default();
    let settings = Settings {
        sync_interval: Duration::ZERO,
        ..place.settings(Disk::with_faults(Arc::clone(&watch) as _))
    };
    let (log, _reader) = Log::start(&settings, BOOT, Position(0)).unwrap();
    log.append(b"batch", batch(0)).await.unwrap();
    let steps = watch.0.lock().unwrap().clone();
    // The file, and its name in the directory.
    assert_eq!(
        steps[steps.len() - 3..],
        [Step::Write, Step::Sync, Step::Sync]
    );
}

#[tokio::test]
async fn old_segments_go_when_they_are_done_with_and_never_those_a_restart_reads() {
    let place = Place::new();
    let (log, reader) = place.start(Disk::default());
    for n in 0..40 {
        log.append(format!("{n:02}").as_bytes(), batch(0))
            .await
            .unwrap();
    }
    close(&log, reader).await;
    let (segments, disk) = (place.segments(), Disk::default());
    let firsts = segments.firsts().unwrap();
    assert!(firsts.len() > 6, "{firsts:?}");
    let cut = |spare_bytes, bytes, restart, done| {
        let bounds = Bounds {
            spare_bytes,
            bytes,
            ..Bounds::default()
        };
        segments.cut(&disk, bounds, restart, done, true).unwrap()
    };
    let all = u64::MAX;
    assert_eq!(
        cut(0, all, firsts[3], Position(0)),
        0,
        "nothing is done with"
    );
    assert_eq!(cut(all, all, firsts[3], firsts[3]), 0, "there is room");
    assert_eq!(cut(0, all, firsts[3], firsts[2]), 2);
    assert_eq!(
        cut(all, 0, firsts[3], firsts[2]),
        1,
        "a restart reads the rest"
    );
    assert_eq!(segments.firsts().unwrap(), firsts[3..]);
    assert_eq!(
        place.texts().first().unwrap(),
        &format!("{:02}", firsts[3].0)
    );
}

/// Lets some steps of one kind fail.
#[derive(Debug)]
struct Script {
    step: Step,
    error: i32,
    done: usize,
    failing: std::ops::Range<usize>,
    seen: Mutex<usize>,
}

impl Script {
    fn new(step: Step, error: i32, done: usize, failing: std::ops::Range<usize>) -> Self {
        Self {
            step,
            error,
            done,
            failing,
            seen: Mutex::new(0),
        }
    }
}

impl Faults for Script {
    fn at(&self, step: Step, _: usize) -> Option<(usize, io::Error)> {
        // A file can only be cut after a write has failed.
        let write_fails = self.step == Step::Truncate && step == Step::Write;
        if step != self.step && !write_fails {
            return None;
        }
        let mut seen = self.seen.lock().unwrap();
        *seen += 1;
        let fails = self.failing.contains(&(*seen - 1));
        fails.then(|| (self.done, io::Error::from_raw_os_error(self.error)))
    }
}

/// A directory for one log after the other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn segments(&self) -> Segments {
        Segments::new(self.path().to_owned())
    }

    fn settings(&self, disk: Disk) -> Settings {
        Settings {
            directory: Some(self.path().to_owned()),
            bounds: Bounds {
                segment_bytes: 120,
                ..Bounds::default()
            },
            disk,
            ..Settings::default()
        }
    }

    /// Mends the log and starts it where it ends.
    fn start(&self, disk: Disk) -> (Log, Reader) {
        self.segments().mend(&Disk::default()).unwrap();
        let extent = self
            .segments()
            .read(Position(0), |_| ControlFlow::Continue(()));
        let next = extent.unwrap().next;
        Log::start(&self.settings(disk), BOOT, next).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let read = self.segments().read(Position(0), |stored| {
            assert_eq!(stored.boot, BOOT);
            texts.push(String::from_utf8(stored.batch.to_vec()).unwrap());
            ControlFlow::Continue(())
        });
        read.unwrap();
        texts
    }
}

fn in_memory(room_bytes: usize) -> (Log, Reader) {
    let settings = Settings {
        room_bytes,
        ..Settings::default()
    };
    Log::start(&settings, BOOT, Position(0)).unwrap()
}

/// Closes a log and waits until its thread has ended.
async fn close(log: &Log, mut reader: Reader) {
    log.close();
    let ended = async { while reader.next().await.is_some() {} };
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
}

fn no_space() -> i32 {
    rustix::io::Errno::NOSPC.raw_os_error()
}

fn io_error() -> i32 {
    rustix::io::Errno::IO.raw_os_error()
}

fn batch(first_seq: u64) -> Batch {
    let sender = SenderId {
        name: "probe".into(),
        epoch: 7,
    };
    Batch {
        sender,
        first_seq,
        facts: Vec::new(),
        losses: Vec::new(),
        goodbye: false,
    }
}
