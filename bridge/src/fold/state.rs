//! Keeps the fold's state next to the log, so that a restart need not fold everything again.
//!
//! A state is derived too: without one, or with one that cannot be read, folding begins further back. It holds the
//! limits under which the log was folded, because other limits would give other numbers.

use std::{
    fs,
    io::{self, Read as _},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use syntrace_core::{Limits, Reconciler, checkpoint::Checkpoint};
use syntrace_model::BootId;

use super::Folder;
use crate::{
    log::{Position, Segments, disk::Disk},
    store::{
        FORMAT,
        codec::{self, Code},
    },
};

/// First bytes of a state; the format and the checksum of the rest follow, 4 bytes each.
const MAGIC: [u8; 8] = *b"SYNTSTAT";

/// Bytes before the head.
const BEFORE_HEAD: usize = MAGIC.len() + 4 + 4;

/// Bytes of the head until its `settled` has ended, at most.
const NUMBER_END: usize = 16 + 10;

/// How much longer than a state the log is that is folded before the next one is kept where a segment
/// begins.
const BYTES_PER_BYTE: u64 = 2;

/// How long it took to fold what came since a state when the next one is kept anywhere: a restart folds it
/// again.
const REFOLD_MAX: Duration = Duration::from_millis(250);

/// How many times as long as keeping a state it takes to fold what comes before the next.
const TIME_PER_TIME: u32 = 2;

/// The states of one log.
#[derive(Debug)]
pub struct States {
    segments: Segments,
    disk: Disk,
    /// Where the fold resumes.
    next: Position,
    /// Bytes folded since the last state.
    bytes: u64,
    /// How long that took.
    spent: Duration,
    /// Bytes of the last state.
    last_bytes: u64,
    /// How long the fold stood still for it.
    last_took: Duration,
    /// States that may be begun with: where, and the number that had settled.
    kept: Vec<(Position, u64)>,
    /// The next state is kept whatever it costs.
    due: bool,
    /// A state is to be kept as soon as the one before is written.
    asked: bool,
    writing: Option<Writing>,
}

/// A state that a thread of its own brings to the disk.
#[derive(Debug)]
struct Writing {
    before: Position,
    settled: u64,
    /// Bytes of the log since the state before it.
    behind: u64,
    /// Gives the state's bytes.
    thread: JoinHandle<io::Result<u64>>,
}

/// What a state is besides the checkpoint.
struct Head {
    boot: BootId,
    settled: u64,
    limits: Limits,
}

// === impl States ===

impl States {
    /// Returns the states of a log that was folded from `from`, where `settled` had settled, over so many
    /// bytes and in that time, and goes on at `next`. With `due`, the next state is kept whatever it costs.
    #[must_use]
    pub fn new(
        segments: Segments,
        disk: Disk,
        (from, settled): (Position, u64),
        (bytes, spent): (u64, Duration),
        next: Position,
        due: bool,
    ) -> Self {
        let known = fs::metadata(segments.state(from));
        Self {
            last_bytes: known.map_or(0, |known| known.len()),
            segments,
            disk,
            next,
            bytes,
            spent,
            last_took: Duration::ZERO,
            kept: vec![(from, settled)],
            due,
            asked: false,
            writing: None,
        }
    }

    /// Returns where a restart begins to read.
    #[must_use]
    pub fn restart(&self) -> Position {
        self.kept
            .last()
            .map_or(Position(0), |&(position, _)| position)
    }

    pub(super) const fn folded(&mut self, next: Position, bytes: usize, took: Duration) {
        self.next = next;
        self.bytes += bytes as u64;
        self.spent = self.spent.saturating_add(took);
    }

    /// Returns whether the state before an entry is to be kept.
    pub(super) fn is_due(&mut self, opens_segment: bool) -> bool {
        let is_worth = self.bytes >= self.last_bytes.saturating_mul(BYTES_PER_BYTE);
        self.asked |= opens_segment && self.bytes > 0 && (is_worth || self.due);
        // A restart would take long to fold what came since.
        let is_far =
            self.spent >= REFOLD_MAX && self.spent >= self.last_took.saturating_mul(TIME_PER_TIME);
        self.writing.is_none() && (self.asked || is_far)
    }

    /// Returns where a restart begins to read by now, if a state has been written since this was asked.
    pub(super) fn written(&mut self) -> Option<Position> {
        let writing = self.writing.as_ref();
        writing
            .is_some_and(|writing| writing.thread.is_finished())
            .then(|| self.finish())?
    }

    /// Returns the position before which everything is behind a state and was handed on.
    pub(super) fn done(&mut self, handed_on: u64) -> Position {
        let behind = self
            .kept
            .iter()
            .rposition(|&(_, settled)| settled <= handed_on);
        for (before, _) in self.kept.drain(..behind.unwrap_or(0)) {
            let path = self.segments.state(before);
            // Those where a segment begins go with it.
            if !self.segments.segment(before).exists()
                && let Err(error) = self.disk.remove(&path)
            {
                tracing::debug!(%error, "Left an old state");
            }
        }
        self.kept
            .first()
            .map_or(Position(0), |&(position, settled)| {
                if settled <= handed_on {
                    position
                } else {
                    Position(0)
                }
            })
    }

    /// Begins to write the state before an entry; the fold does not wait for the disk.
    pub(super) fn keep(&mut self, before: Position, folder: &Folder) {
        let began = Instant::now();
        let bytes = encode(folder);
        self.last_took = began.elapsed();
        self.spent = Duration::ZERO;
        self.asked = false;
        let (disk, path) = (self.disk.clone(), self.segments.state(before));
        let write = move || {
            let length = bytes.len() as u64;
            disk.write_whole(&path, &bytes).map(|()| length)
        };
        match thread::Builder::new().name("state".to_owned()).spawn(write) {
            Ok(thread) => {
                self.writing = Some(Writing {
                    before,
                    settled: folder.settled(),
                    behind: std::mem::take(&mut self.bytes),
                    thread,
                });
            }
            Err(error) => tracing::warn!(%error, "State of the fold was not kept"),
        }
    }

    /// Keeps the state at the end of all, and returns when it is written.
    pub(super) fn keep_last(&mut self, folder: &Folder) {
        self.finish();
        if self.bytes > 0 {
            self.keep(self.next, folder);
            self.finish();
        }
    }

    /// Waits until the state that is being written is; returns where a restart begins then.
    fn finish(&mut self) -> Option<Position> {
        let writing = self.writing.take()?;
        match writing.thread.join() {
            Ok(Ok(bytes)) => {
                self.last_bytes = bytes;
                self.due = false;
                self.kept.push((writing.before, writing.settled));
                Some(writing.before)
            }
            failed => {
                // A restart begins to read further back.
                self.bytes += writing.behind;
                let error = failed.ok().and_then(Result::err);
                let error = error.as_ref().map(|error| error as &dyn std::error::Error);
                tracing::warn!(error, "State of the fold was not kept");
                None
            }
        }
    }

    /// Returns the newest state at which at most so many records had settled.
    pub(crate) fn newest(
        segments: &Segments,
        settled: u64,
        hash_seed: u64,
    ) -> io::Result<Option<(Position, Folder)>> {
        let states = segments.states()?.into_iter().rev();
        Ok(states
            .filter(|&before| settled_at(segments, before).is_some_and(|had| had <= settled))
            .find_map(|before| read(segments, before, hash_seed)))
    }

    /// Returns the state before an entry, if there is one.
    pub(crate) fn at(segments: &Segments, before: Position, hash_seed: u64) -> Option<Folder> {
        let known = segments.state(before).exists();
        known
            .then(|| read(segments, before, hash_seed))?
            .map(|(_, folder)| folder)
    }

    /// Returns the oldest state.
    pub(crate) fn oldest(
        segments: &Segments,
        hash_seed: u64,
    ) -> io::Result<Option<(Position, Folder)>> {
        let first = segments.firsts()?.first().copied();
        // The beginning of all needs no state.
        if first == Some(Position(0)) {
            return Ok(None);
        }
        let mut states = segments.states()?.into_iter();
        Ok(states.find_map(|before| read(segments, before, hash_seed)))
    }
}

/// Returns how many records a state says had settled. Only [`read`] sees whether it is whole.
fn settled_at(segments: &Segments, before: Position) -> Option<u64> {
    let mut bytes = [0; BEFORE_HEAD + NUMBER_END];
    let mut file = fs::File::open(segments.state(before)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    let (_boot, settled): (BootId, u64) = Code::take(&mut bytes.get(BEFORE_HEAD..)?)?;
    Some(settled)
}

/// Reads a state; one that cannot be read is as good as none.
fn read(segments: &Segments, before: Position, hash_seed: u64) -> Option<(Position, Folder)> {
    let bytes = fs::read(segments.state(before)).ok()?;
    let folder = decode(&bytes, hash_seed);
    if folder.is_none() {
        tracing::warn!(position = before.0, "Left a state that cannot be read");
    }
    Some((before, folder?))
}

fn encode(folder: &Folder) -> Vec<u8> {
    let head = Head {
        boot: folder.boot,
        settled: folder.settled,
        limits: folder.limits,
    };
    let mut body = codec::encode(&head);
    folder.reconciler.checkpoint().put(&mut body);
    let mut bytes = Vec::with_capacity(BEFORE_HEAD + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.append(&mut body);
    bytes
}

fn decode(mut bytes: &[u8], hash_seed: u64) -> Option<Folder> {
    let magic = bytes.split_off(..MAGIC.len())?;
    let format = u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?);
    let checksum = u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?);
    if magic != MAGIC || format != FORMAT || crc32fast::hash(bytes) != checksum {
        return None;
    }
    let Head {
        boot,
        settled,
        limits,
    } = Code::take(&mut bytes)?;
    let limits = Limits {
        hash_seed,
        ..limits
    };
    let checkpoint: Checkpoint = codec::decode(bytes)?;
    Some(Folder {
        reconciler: Reconciler::restore(limits, checkpoint),
        limits,
        boot,
        settled,
    })
}

impl Code for Head {
    fn put(&self, to: &mut Vec<u8>) {
        let Limits {
            grace_ns,
            linger_ns,
            requests_per_connection,
            live_connections,
            live_requests,
            remembered,
            // Each run draws its own.
            hash_seed: _,
        } = self.limits;
        self.boot.put(to);
        self.settled.put(to);
        (grace_ns, linger_ns).put(to);
        (requests_per_connection, remembered).put(to);
        (live_connections, live_requests).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (boot, settled) = Code::take(from)?;
        let (grace_ns, linger_ns) = Code::take(from)?;
        let (requests_per_connection, remembered) = Code::take(from)?;
        let (live_connections, live_requests) = Code::take(from)?;
        Some(Self {
            boot,
            settled,
            limits: Limits {
                grace_ns,
                linger_ns,
                requests_per_connection,
                live_connections,
                live_requests,
                remembered,
                hash_seed: 0,
            },
        })
    }
}
