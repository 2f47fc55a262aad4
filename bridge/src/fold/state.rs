//! Keeps the fold's state beside the log, so that a restart need not fold everything again.
//!
//! A state is derived too: without it, or with one that cannot be read, reading begins further back. It
//! holds the limits under which the log was folded, because under others it would come to other numbers.

use std::{
    fs, io,
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

/// How much longer than a state the log is that is folded before the next one is kept where a segment
/// begins.
const BYTES_PER_BYTE: u64 = 2;

/// How long it took to fold what came since a state when the next one is kept anywhere: a restart folds it
/// again.
const REFOLD_MAX: Duration = Duration::from_millis(400);

/// How many times as long as keeping a state it takes to fold what comes before the next.
const TIME_PER_TIME: u32 = 2;

/// The states of one log.
#[derive(Debug)]
pub struct States {
    segments: Segments,
    disk: Disk,
    /// Where the fold goes on.
    next: Position,
    /// Bytes folded since the last state.
    bytes: u64,
    /// How long that took.
    spent: Duration,
    /// Bytes of the last state.
    last_bytes: u64,
    /// How long it took to keep it.
    last_took: Duration,
    /// States that may be begun with: where, and the number that had settled.
    kept: Vec<(Position, u64)>,
    /// The next state is kept whatever it costs.
    due: bool,
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
        }
    }

    /// Returns where a restart begins to read.
    #[must_use]
    pub fn restart(&self) -> Position {
        self.kept
            .last()
            .map_or(Position(0), |&(position, _)| position)
    }

    /// Returns where the fold goes on.
    #[must_use]
    pub const fn next(&self) -> Position {
        self.next
    }

    pub(super) const fn folded(&mut self, next: Position, bytes: usize, took: Duration) {
        self.next = next;
        self.bytes += bytes as u64;
        self.spent = self.spent.saturating_add(took);
    }

    /// Returns whether a restart would take long to fold what came since the last state.
    pub(super) fn is_far(&self) -> bool {
        self.spent >= REFOLD_MAX && self.spent >= self.last_took.saturating_mul(TIME_PER_TIME)
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

    /// Keeps the state before an entry; returns whether it was worth it, which it is for the `last` one.
    pub(super) fn keep(
        &mut self,
        before: Position,
        folder: &Folder,
        last: bool,
    ) -> io::Result<bool> {
        let worth = self.bytes >= self.last_bytes.saturating_mul(BYTES_PER_BYTE) && self.bytes > 0;
        if !(worth || self.is_far() || self.due || (last && self.bytes > 0)) {
            return Ok(false);
        }
        let began = Instant::now();
        let bytes = encode(folder);
        let path = self.segments.state(before);
        let written = self.disk.write_whole(&path, &bytes);
        // Also where that failed: it is not tried again at once.
        self.spent = Duration::ZERO;
        self.last_took = began.elapsed();
        written?;
        self.last_bytes = bytes.len() as u64;
        self.bytes = 0;
        self.due = false;
        self.kept.push((before, folder.settled()));
        Ok(true)
    }

    /// Returns the newest state at which at most so many records had settled.
    pub(crate) fn newest(
        segments: &Segments,
        settled: u64,
        hash_seed: u64,
    ) -> io::Result<Option<(Position, Folder)>> {
        let states = segments.states()?.into_iter().rev();
        Ok(states
            .filter_map(|before| read(segments, before, hash_seed))
            .find(|(_, folder)| folder.settled() <= settled))
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
    let mut bytes = Vec::with_capacity(body.len() + 16);
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
