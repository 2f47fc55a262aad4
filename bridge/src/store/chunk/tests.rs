//! Queries by name while a chunk is written to: nothing that is stored is denied.

use std::{fs, path::PathBuf};

use prost::Message as _;
use syntrace_core::{Limits, Output};
use syntrace_model::{BootId, BootNanos};
use syntrace_proto as wire;
use tempfile::TempDir;

use super::*;
use crate::{fold::Folder, ingest};

/// Records that a chunk is made for.
const RECORDS: u64 = 1_000;

#[test]
fn every_name_that_is_stored_may_be_there_and_few_others() {
    let place = Place::new();
    let mut writer = place.open();
    let chunk = place.beside(&writer);
    for n in 0..10 {
        let more = settled(30 * n, 30);
        assert!(keys(&more).iter().any(|key| !chunk.may_have(*key)));
        writer.store(&more).unwrap();
        assert!(has_all(&chunk, &settled(0, 30 * (n + 1))));
    }
    let others = keys(&settled(300, 200));
    let had = others.iter().filter(|key| chunk.may_have(**key)).count();
    assert!(had < others.len() / 10, "{had} of {}", others.len());
}

#[test]
fn names_are_there_before_their_records_are_stored() {
    let place = Place::new();
    let mut writer = place.open();
    let chunk = place.beside(&writer);
    writer.store(&settled(0, 30)).unwrap();
    place.execute("ALTER TABLE leaves RENAME TO away");
    writer.store(&settled(30, 30)).unwrap_err();
    // Refused where the names are stored, which is last.
    assert!(keys(&settled(0, 60)).iter().all(|key| chunk.may_have(*key)));
    place.execute("ALTER TABLE away RENAME TO leaves");
    assert!(has_all(&chunk, &settled(0, 30)));
    writer.store(&settled(30, 30)).unwrap();
    assert!(has_all(&chunk, &settled(0, 60)));
}

#[test]
fn a_chunk_that_is_opened_again_has_all_that_was_stored_and_not_what_was_refused() {
    let place = Place::new();
    let mut writer = place.open();
    writer.store(&settled(0, 30)).unwrap();
    place.execute("ALTER TABLE leaves RENAME TO away");
    writer.store(&settled(30, 30)).unwrap_err();
    place.execute("ALTER TABLE away RENAME TO leaves");
    drop(writer);
    let chunk = place.beside(&place.open());
    assert!(has_all(&chunk, &settled(0, 30)));
    assert!(
        !keys(&settled(30, 30))
            .iter()
            .all(|key| chunk.may_have(*key))
    );
}

#[test]
fn a_chunk_that_was_left_by_a_kill_has_all_that_was_stored() {
    let place = Place::new();
    let mut writer = place.open();
    writer.store(&settled(0, 30)).unwrap();
    writer.store(&settled(30, 30)).unwrap();
    let killed = Place::new();
    for suffix in ["", "-wal"] {
        let [from, to] =
            [&place, &killed].map(|place| format!("{}{suffix}", place.path().display()));
        fs::copy(from, to).unwrap();
    }
    let chunk = Chunk::open(&killed.path()).unwrap().unwrap();
    assert!(has_all(&chunk, &settled(0, 60)));
    let mut writer = killed.open();
    let chunk = killed.beside(&writer);
    writer.store(&settled(60, 30)).unwrap();
    assert!(has_all(&chunk, &settled(0, 90)));
}

#[test]
fn a_chunk_that_was_closed_keeps_its_filter_until_more_is_stored() {
    let place = Place::new();
    let mut writer = place.open();
    writer.store(&settled(0, 30)).unwrap();
    writer.seal().unwrap();
    let closed = Chunk::open(&place.path()).unwrap().unwrap();
    assert!(closed.filter.is_some() && has_all(&closed, &settled(0, 30)));
    let mut writer = place.open();
    let unasked = Chunk::open(&place.path()).unwrap().unwrap();
    assert!(unasked.filter.is_none());
    let chunk = place.beside(&writer);
    writer.store(&settled(30, 30)).unwrap();
    assert!(has_all(&chunk, &settled(0, 60)));
    writer.seal().unwrap();
    let closed = Chunk::open(&place.path()).unwrap().unwrap();
    assert!(closed.filter.is_some() && has_all(&closed, &settled(0, 60)));
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("1.db")
    }

    fn open(&self) -> Writer {
        Writer::open(&self.path(), RECORDS).unwrap()
    }

    fn beside(&self, writer: &Writer) -> Chunk {
        Chunk::open_beside(writer, &self.path()).unwrap().unwrap()
    }

    /// Does something to the file that no bridge does.
    fn execute(&self, statement: &str) {
        let other = Connection::open(self.path()).unwrap();
        other.execute_batch(statement).unwrap();
    }
}

/// Returns whether all names of records may be there, and the requests are found.
fn has_all(chunk: &Chunk, settled: &[Settled]) -> bool {
    let requests = settled.iter().filter_map(|settled| match &settled.record {
        Kept::Request(record) => Some(record),
        Kept::Connection(_) => None,
    });
    keys(settled).iter().all(|key| chunk.may_have(*key))
        && requests.into_iter().all(|record| is_found(chunk, record))
}

fn is_found(chunk: &Chunk, record: &RequestRecord) -> bool {
    let key = Key::of_id::<RequestRecord>(&record.report.span_id);
    let mut found = false;
    let (since, until) = (UnixNanos(0), UnixNanos(u64::MAX));
    let read = chunk.newest(key, since, until, |other: Arc<RequestRecord>| {
        found |= *other == *record;
        ControlFlow::Continue(())
    });
    read.unwrap();
    found
}

/// Returns the keys of all names and lists, each once.
fn keys(settled: &[Settled]) -> Vec<Key> {
    let mut entries = Vec::new();
    for Settled { record, .. } in settled {
        match record {
            Kept::Request(record) => Entry::put_all(&**record, 0, &mut entries),
            Kept::Connection(record) => Entry::put_all(&**record, 0, &mut entries),
        }
    }
    let mut keys: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Returns the records of so many requests, each of them on a connection of its own.
fn settled(first: u64, requests: u64) -> Vec<Settled> {
    let mut folder = Folder::new(Limits::default(), BootId([0xb0; 16]), 2 * first);
    let mut settled = Vec::new();
    let mut each = |number, output: Output| {
        let record = Kept::from(output);
        settled.push(Settled { number, record });
    };
    let facts = (first..first + requests).map(|n| wire::Fact {
        body: Some(wire::fact::Body::Request(request(n + 1))),
    });
    let batch = wire::Batch {
        schema: wire::SCHEMA,
        sender: Some(wire::Sender {
            name: "filter/chunk/0".to_owned(),
            epoch: 7,
            host_id: String::new(),
        }),
        facts: facts.collect(),
        ..wire::Batch::default()
    };
    let batch = ingest::decode(&batch.encode_to_vec()).unwrap();
    folder.handle(BootId([0xb0; 16]), BootNanos(1), batch, &mut each);
    folder.drain(&mut each);
    assert_eq!(settled.len() as u64, 2 * requests);
    settled
}

fn request(n: u64) -> wire::Request {
    let end = |port| wire::Endpoint {
        address: vec![192, 0, 2, 1],
        port,
    };
    wire::Request {
        downstream_connection: n,
        trace_id: [n.to_be_bytes(), [1; 8]].concat(),
        span_id: n.to_be_bytes().to_vec(),
        started_at_unix_ns: n,
        duration_ns: 1,
        local: Some(end(80)),
        peer: Some(end(1_024 + u32::try_from(n).unwrap())),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        status: 200,
        request_id: format!("request-{n}"),
        ..wire::Request::default()
    }
}
