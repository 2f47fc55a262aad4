//! A bridge that keeps every batch in memory, once: one that is sent again has the same numbers.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    sync::{Arc, Mutex},
    thread,
};

use prost::Message as _;
use syntrace_proto::{Batch, Connection, Opening, Outcome, Rung, Sampling, fact::Body};
use tempfile::TempDir;

use crate::waiting::wait_for;

/// Listens until the test process ends; its socket goes with the folder.
pub(crate) struct Receiver {
    folder: TempDir,
    batches: Arc<Mutex<Vec<Batch>>>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.sock");
        let listener = UnixListener::bind(&path).unwrap();
        for path in [folder.path(), &path] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        let batches = Arc::<Mutex<Vec<Batch>>>::default();
        let kept = Arc::clone(&batches);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { folder, batches }
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("bridge.sock").display())
    }

    /// Returns what every batch so far says.
    pub(crate) fn bodies(&self) -> Vec<Body> {
        let batches = self.batches.lock().unwrap();
        let facts = batches.iter().flat_map(|batch| &batch.facts);
        facts.filter_map(|fact| fact.body.clone()).collect()
    }

    /// Returns every snapshot so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let snapshots = self.bodies().into_iter().filter_map(|body| match body {
            Body::Connection(connection) => Some(connection),
            Body::Clock(_)
            | Body::Rung(_)
            | Body::Sampling(_)
            | Body::Request(_)
            | Body::Incident(_) => None,
        });
        snapshots.collect()
    }

    /// Returns from when on one of how many was reported, in the order told.
    pub(crate) fn samplings(&self) -> Vec<Sampling> {
        let samplings = self.bodies().into_iter().filter_map(|body| match body {
            Body::Sampling(sampling) => Some(sampling),
            Body::Clock(_)
            | Body::Rung(_)
            | Body::Connection(_)
            | Body::Request(_)
            | Body::Incident(_) => None,
        });
        samplings.collect()
    }

    /// Waits for the probe to say what it can see; returns what it said first.
    pub(crate) fn rung(&self) -> Rung {
        wait_for("the rung", || {
            self.bodies().into_iter().find_map(|body| match body {
                Body::Rung(rung) => Some(rung),
                Body::Clock(_)
                | Body::Connection(_)
                | Body::Request(_)
                | Body::Sampling(_)
                | Body::Incident(_) => None,
            })
        })
    }

    /// Returns how many runs have sent anything.
    pub(crate) fn runs(&self) -> usize {
        let batches = self.batches.lock().unwrap();
        let epochs = batches
            .iter()
            .map(|batch| batch.sender.as_ref().map(|sender| sender.epoch));
        epochs.collect::<BTreeSet<_>>().len()
    }

    /// Returns what the probe said last of what it can see.
    pub(crate) fn latest_rung(&self) -> Option<Rung> {
        let mut bodies = self.bodies().into_iter().rev();
        bodies.find_map(|body| match body {
            Body::Rung(rung) => Some(rung),
            Body::Clock(_)
            | Body::Connection(_)
            | Body::Request(_)
            | Body::Sampling(_)
            | Body::Incident(_) => None,
        })
    }

    /// Waits for both ends of the connection to `port` to end so; returns active, passive.
    pub(crate) fn both_ends(&self, port: u16, outcome: Outcome) -> (Connection, Connection) {
        let [active, passive] = [Opening::Active, Opening::Passive].map(|opening| {
            let end = wait_for("an end", || {
                self.connections().into_iter().find(|end| {
                    (port_of(end), end.opening()) == (port.into(), opening) && end.closed_at_ns > 0
                })
            });
            assert_eq!(end.outcome(), outcome, "{end:?}");
            end
        });
        (active, passive)
    }

    /// Returns how much all senders say that they lost.
    pub(crate) fn lost(&self) -> u64 {
        let batches = self.batches.lock().unwrap();
        let goodbyes = batches.iter().filter(|batch| batch.goodbye);
        let losses = goodbyes.flat_map(|batch| &batch.losses);
        losses.map(|loss| loss.count).sum()
    }
}

/// Returns the listener's port of `end`'s connection.
pub(crate) fn port_of(end: &Connection) -> u32 {
    let listener = match end.opening() {
        Opening::Active => &end.peer,
        Opening::Passive | Opening::Unspecified => &end.local,
    };
    listener.as_ref().unwrap().port
}

/// Keeps `batch`, unless its sender had no answer when it sent the same before.
fn keep(kept: &mut Vec<Batch>, batch: Batch) {
    let name = |batch: &Batch| {
        let epoch = batch.sender.as_ref().map(|sender| sender.epoch);
        (epoch, batch.first_seq)
    };
    if !kept.iter().any(|known| name(known) == name(&batch)) {
        kept.push(batch);
    }
}

/// Answers each request of one connection with 204 after keeping its batch.
fn serve(stream: UnixStream, kept: &Mutex<Vec<Batch>>) {
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut answers = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim_end().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).unwrap();
        let batch = Batch::decode(body.as_slice()).unwrap();
        keep(&mut kept.lock().unwrap(), batch);
        // Who has gone hears nothing.
        drop(answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
    }
}
