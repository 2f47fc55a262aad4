//! Batches in a file: what was seen, as it would have been sent, and sent later.
//!
//! The file is a sequence of `syntrace.v1.Batch`, each behind its length as a varint (the usual
//! delimited form of Protocol Buffers). A recorded file is a test that needs no kernel.

mod tail;

use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use syntrace_proto::Batch;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{
    bridge::BridgeAddress,
    clock,
    counters::Counters,
    host::Host,
    observer::Observer,
    outbox::{Bound, Outbox},
    run::{RunError, new_sender},
    sender::Sender,
    settings::Settings,
};
use tail::is_cut_off;

/// How often what was seen is written.
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Nothing waits: each batch is written when it is sealed.
const UNBOUND: Bound = Bound {
    facts: usize::MAX,
    bytes: usize::MAX,
};

/// Why nothing is recorded or replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Nothing can be observed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file cannot be written any more.
    #[error("writing {} failed: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("reading {} failed: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("expected a file of batches, found something else at byte {at}: {source}")]
    Malformed {
        /// Where the batch begins.
        at: usize,
        /// What is wrong with it.
        source: prost::DecodeError,
    },
}

/// Writes what is seen to `file`, opened at `path`, until SIGTERM or SIGINT; returns how many batches
/// it were.
///
/// # Errors
///
/// [`RecordError`] if nothing can be observed, or the file cannot be written any more.
pub async fn record(settings: Settings, file: File, path: &Path) -> Result<usize, RecordError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let host = Host::new().map_err(RunError::Host)?;
    let sender = new_sender(String::new())?;
    let (mut observer, counters) =
        Observer::begin(settings, host, false).map_err(RunError::Hooks)?;
    observer.open().map_err(RunError::Hooks)?;
    let recorder = Recorder {
        outbox: RefCell::new(Outbox::new(sender, UNBOUND)),
        file: RefCell::new(file),
    };
    let failed = |source| RecordError::Write {
        path: path.to_owned(),
        source,
    };
    let take = |body| {
        // Sealed by the timer; a batch may be longer than usual.
        recorder.outbox.borrow_mut().push(body);
    };
    let mut n_batches = 0;
    let written = {
        let mut follow = pin!(observer.follow(&counters, &take));
        tokio::select! {
            () = &mut follow => Ok(()),
            result = recorder.keep(&counters, &mut n_batches) => result,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    };
    observer.end(&counters, &take);
    written.map_err(failed)?;
    n_batches += recorder.write(&counters, true).map_err(failed)?;
    Ok(n_batches)
}

/// Sends the batches of `file` to `bridge`, as they are; returns how many it were.
///
/// A bridge that has them already keeps them once. A last batch that was cut off is left out, with a
/// warning.
///
/// # Errors
///
/// [`RecordError::Malformed`] if the file holds something else; then nothing is sent.
pub async fn replay(file: &Path, bridge: &BridgeAddress) -> Result<usize, RecordError> {
    let bytes = fs::read(file).map_err(|source| RecordError::Read {
        path: file.to_owned(),
        source,
    })?;
    let (batches, n_cut_off) = read(&bytes.into())?;
    if n_cut_off > 0 {
        tracing::warn!(
            n_bytes = n_cut_off,
            "Left out the last batch: the file was cut off within it"
        );
    }
    let n_batches = batches.len();
    let outbox = Outbox::of_recorded(batches);
    let sender = Sender::new(outbox, Counters::default(), bridge);
    sender.deliver().await;
    Ok(n_batches)
}

/// Facts on their way into a file.
struct Recorder {
    outbox: RefCell<Outbox>,
    file: RefCell<File>,
}

// === impl Recorder ===

impl Recorder {
    /// Writes for ever, and counts batches in `n_batches`.
    async fn keep(&self, counters: &Counters, n_batches: &mut usize) -> io::Result<()> {
        let mut timer = interval(WRITE_EVERY);
        loop {
            timer.tick().await;
            *n_batches += self.write(counters, false)?;
        }
    }

    /// Writes what was seen since; returns how many batches it were.
    fn write(&self, counters: &Counters, goodbye: bool) -> io::Result<usize> {
        let mut outbox = self.outbox.borrow_mut();
        outbox.seal(clock::sample(), counters.losses(), goodbye);
        let mut n_batches = 0;
        while let Some(body) = outbox.front() {
            let mut delimited = Vec::with_capacity(body.len() + 10);
            prost::encoding::encode_varint(body.len() as u64, &mut delimited);
            delimited.extend_from_slice(&body);
            self.file.borrow_mut().write_all(&delimited)?;
            outbox.delivered();
            n_batches += 1;
        }
        Ok(n_batches)
    }
}

/// Splits a file into its batches, each with the number of its facts; and counts the bytes behind
/// them of one that was cut off.
fn read(file: &Bytes) -> Result<(Vec<(Bytes, usize)>, usize), RecordError> {
    let mut rest = file.clone();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let begun = rest.clone();
        let batch = match Batch::decode_length_delimited(&mut rest) {
            Ok(batch) => batch,
            Err(_) if !batches.is_empty() && is_cut_off(&begun) => {
                return Ok((batches, begun.len()));
            }
            Err(source) => {
                let at = file.len() - begun.len();
                return Err(RecordError::Malformed { at, source });
            }
        };
        batches.push((batch.encode_to_vec().into(), batch.facts.len()));
    }
    Ok((batches, 0))
}

#[cfg(test)]
mod tests {
    use syntrace_proto::{Clock, Fact, fact::Body};

    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let batches = [batch(0), batch(1)];
        let mut file = Vec::new();
        for batch in &batches {
            batch.encode_length_delimited(&mut file).unwrap();
        }
        let (found, n_cut_off) = read(&file.clone().into()).unwrap();
        assert_eq!(n_cut_off, 0);
        let found = found
            .into_iter()
            .map(|(body, n_facts)| (Batch::decode(body).unwrap(), n_facts));
        assert_eq!(
            found.collect::<Vec<_>>(),
            batches.map(|batch| (batch, 1)).to_vec()
        );
    }

    #[test]
    fn only_the_last_batch_may_be_cut_off() {
        let first = batch(0).encode_length_delimited_to_vec();
        let second = batch(1).encode_length_delimited_to_vec();
        let of = |parts: &[&[u8]]| read(&parts.concat().into());
        for length in 1..second.len() {
            let (found, n_cut_off) = of(&[&first, &second[..length]]).unwrap();
            assert_eq!((found.len(), n_cut_off), (1, length));
        }
        let nothing_whole = of(&[&first[..first.len() - 1]]);
        assert!(matches!(
            nothing_whole,
            Err(RecordError::Malformed { at: 0, .. })
        ));
        // A length that says too much, and another batch behind it.
        let mut longer = second.clone();
        longer[0] += 100;
        let damaged = of(&[&first, &longer, &second]);
        assert!(matches!(
            damaged,
            Err(RecordError::Malformed { at, .. }) if at == first.len()
        ));
    }

    fn batch(first_seq: u64) -> Batch {
        let clock = Clock {
            boot_ns: 1,
            unix_ns: 2,
        };
        Batch {
            schema: 1,
            first_seq,
            facts: vec![Fact {
                body: Some(Body::Clock(clock)),
            }],
            ..Batch::default()
        }
    }
}
