//! Finds the records of a chunk by their names and by time: hashes of names, in sorted runs.
//!
//! Ids are drawn at random. A tree of them that is changed in place has most of its pages written for
//! every thousand records. Here what is stored together is one run, and four runs of a size become one:
//! an entry is written a few times, always beside its neighbours. A query looks into each run. What lists
//! records by time is a name, too: that of all of a kind, of all that failed, of all of a cluster.
//!
//! Two names may have the same hash: the caller compares the records.

use std::{collections::BTreeMap, hash::Hasher as _, ops::ControlFlow};

use rusqlite::{Connection, Transaction, params};
use siphasher::sip::SipHasher13;

use super::{
    Name,
    codec::Code,
    filter::Filter,
    row::{Row, nanos},
};

/// A leaf is a part of a run, as long as a page: its entries in order, 24 bytes each, and their CRC-32.
/// It is found by its first entry. The filter is there if nothing is added any more.
pub(super) const SCHEMA: &str = "
CREATE TABLE runs (run INTEGER PRIMARY KEY, entries INTEGER NOT NULL) STRICT;
CREATE TABLE leaves (
  run INTEGER NOT NULL, hash INTEGER NOT NULL, began_at INTEGER NOT NULL, number INTEGER NOT NULL,
  entries BLOB NOT NULL
) STRICT;
CREATE INDEX leaves_by_first ON leaves (run, hash, began_at, number);
CREATE TABLE filter (bits BLOB NOT NULL) STRICT;
";

/// Runs of a size that become one.
const MERGED: usize = 4;

/// Entries of a leaf: as many as a page has room for.
const LEAF: usize = 678;

/// Bytes of an entry.
const ENTRY: usize = 24;

/// The hash that a name is found by; it covers the kind of record, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(i64);

/// One name of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The name.
    pub(super) key: Key,
    /// When the record began, nanoseconds of Unix time.
    pub(super) began_at: i64,
    /// The record's number.
    pub(super) number: i64,
}

// === impl Key ===

impl Key {
    /// Returns the key of a record's id.
    pub(crate) fn of_id<R: Row>(id: &R::Id) -> Self {
        Self::of::<R>(0, id)
    }

    /// Returns the key of another name.
    pub(crate) fn of_name<R: Row>(name: &Name) -> Self {
        match name {
            Name::Trace(id) => Self::of::<R>(1, id),
            Name::RequestId(id) => Self::of::<R>(2, id),
            Name::End(end) => Self::of::<R>(3, end),
        }
    }

    /// Returns the key of all records of a kind.
    pub(crate) const fn of_all<R: Row>() -> Self {
        Self(2 * R::KIND as i64)
    }

    /// Returns the key of all records of a kind that failed.
    pub(crate) const fn of_failed<R: Row>() -> Self {
        Self(2 * R::KIND as i64 + 1)
    }

    /// Returns the key of all records of a kind that are counted in a cluster.
    pub(crate) fn of_cluster<R: Row>(name: &str) -> Self {
        Self::hashed::<R>(4, name.as_bytes())
    }

    /// Returns the keys of a record's id and of all its names.
    pub(super) fn all_of<R: Row>(record: &R) -> impl Iterator<Item = Self> {
        let names = record.names().into_iter();
        let names = names.map(|name| Self::of_name::<R>(&name));
        std::iter::once(Self::of_id::<R>(&record.id())).chain(names)
    }

    /// Returns the hash that it is.
    pub(super) const fn hash(self) -> u64 {
        self.0.cast_unsigned()
    }

    fn of<R: Row>(kind: u8, name: &impl Code) -> Self {
        let mut bytes = Vec::with_capacity(64);
        name.put(&mut bytes);
        Self::hashed::<R>(kind, &bytes)
    }

    fn hashed<R: Row>(kind: u8, name: &[u8]) -> Self {
        // The same in every run of the bridge: it is stored.
        let mut hasher = SipHasher13::new();
        hasher.write(&[R::KIND, kind]);
        hasher.write(name);
        Self(hasher.finish().cast_signed())
    }
}

// === impl Entry ===

impl Entry {
    /// Returns what is above all entries of a key.
    pub(super) const fn above(key: Key) -> Self {
        Self {
            key,
            began_at: i64::MAX,
            number: i64::MAX,
        }
    }

    /// Adds the entries of a record, one for each of its names and of its lists.
    pub(super) fn put_all<R: Row>(record: &R, number: i64, to: &mut Vec<Self>) {
        let began_at = nanos(record.began_at());
        let failed = record.has_failed().then(Key::of_failed::<R>);
        let cluster = record.cluster().map(Key::of_cluster::<R>);
        let lists = [Some(Key::of_all::<R>()), failed, cluster];
        let keys = Key::all_of(record).chain(lists.into_iter().flatten());
        to.extend(keys.map(|key| Self {
            key,
            began_at,
            number,
        }));
    }

    fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let values = [self.key.0, self.began_at, self.number];
        for (place, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
            *place = value.to_le_bytes();
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY]) -> Self {
        let mut values = bytes.as_chunks().0.iter().copied().map(i64::from_le_bytes);
        let mut next = || values.next().unwrap_or(0);
        Self {
            key: Key(next()),
            began_at: next(),
            number: next(),
        }
    }
}

/// Adds entries as a run, and merges what there are too many of.
pub(super) fn add(mut entries: Vec<Entry>, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    entries.sort_unstable();
    entries.dedup();
    write(&entries, transaction)?;
    loop {
        let mut by_size = BTreeMap::<_, Vec<_>>::new();
        for (run, length) in runs(transaction)? {
            // Each size is four times the one before.
            by_size
                .entry(length.max(1).ilog2() / 2)
                .or_default()
                .push(run);
        }
        let many = by_size.into_values().find(|runs| runs.len() >= MERGED);
        match many {
            Some(runs) => merge(&runs, |_| true, transaction)?,
            None => return Ok(()),
        }
    }
}

/// Makes one run of all, of the records up to a number.
pub(super) fn keep_until(number: i64, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let runs: Vec<_> = runs(transaction)?.into_iter().map(|(run, _)| run).collect();
    merge(&runs, |entry| entry.number <= number, transaction)
}

/// Makes one run of all, and keeps the filter: nothing is added any more.
pub(super) fn seal(filter: &Filter, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    match &*runs(transaction)? {
        [] | [_] => {}
        _ => keep_until(i64::MAX, transaction)?,
    }
    transaction.execute("DELETE FROM filter", [])?;
    transaction.execute("INSERT INTO filter VALUES (?)", [filter.to_bytes()])?;
    Ok(())
}

/// Adds all keys to a filter, and removes the one that was kept: more is added.
pub(super) fn unseal(filter: &Filter, connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM filter", [])?;
    let mut leaves = connection.prepare("SELECT entries FROM leaves")?;
    let mut rows = leaves.query([])?;
    while let Some(row) = rows.next()? {
        let entries = leaf(row)?.iter().map(Entry::from_bytes);
        entries.for_each(|entry| filter.add(entry.key));
    }
    Ok(())
}

/// Returns the filter that was kept, if nothing is added any more.
pub(super) fn filter(connection: &Connection) -> rusqlite::Result<Option<Filter>> {
    let mut filter = connection.prepare("SELECT bits FROM filter")?;
    let mut rows = filter.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let damaged = || rusqlite::Error::IntegralValueOutOfRange(0, 0);
    let filter = Filter::from_bytes(row.get_ref(0)?.as_blob()?);
    filter.map(Some).ok_or_else(damaged)
}

/// Returns the entries of a key below `below`, which has it, down to `since`: the newest, in order, and at
/// most so many.
pub(super) fn newest(
    below: Entry,
    since: i64,
    limit: usize,
    connection: &Connection,
) -> rusqlite::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for (run, _) in runs(connection)? {
        let until = found.len() + limit;
        descend(run, below, since, connection, |entry| {
            if found.len() >= until {
                return ControlFlow::Break(());
            }
            found.push(entry);
            ControlFlow::Continue(())
        })?;
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(limit);
    Ok(found)
}

/// Counts the entries of a key down to `since`, of the records up to a number.
pub(super) fn count(
    key: Key,
    since: i64,
    until: i64,
    connection: &Connection,
) -> rusqlite::Result<u64> {
    let mut count = 0;
    for (run, _) in runs(connection)? {
        descend(run, Entry::above(key), since, connection, |entry| {
            count += u64::from(entry.number <= until);
            ControlFlow::Continue(())
        })?;
    }
    Ok(count)
}

/// Gives the entries of a run that have the key of `below` to `each`: those below it, down to `since`, in order.
fn descend(
    run: i64,
    below: Entry,
    since: i64,
    connection: &Connection,
    mut each: impl FnMut(Entry) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let mut leaves = connection.prepare_cached(
        "SELECT entries FROM leaves WHERE run = ?1 AND (hash, began_at, number) < (?2, ?3, ?4) \
         ORDER BY hash DESC, began_at DESC, number DESC",
    )?;
    let mut rows = leaves.query(params![run, below.key.0, below.began_at, below.number])?;
    while let Some(row) = rows.next()? {
        let leaf = leaf(row)?;
        let end = leaf.partition_point(|entry| Entry::from_bytes(entry) < below);
        let fitting = leaf.get(..end).unwrap_or(leaf);
        for entry in fitting.iter().rev().map(Entry::from_bytes) {
            if entry.key < below.key || entry.began_at < since || each(entry).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns the runs, each with the number of its entries.
fn runs(connection: &Connection) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut runs = connection.prepare_cached("SELECT run, entries FROM runs")?;
    let runs = runs.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    runs.collect()
}

/// Makes one run of several, of the entries that `keep` keeps.
fn merge(
    runs: &[i64],
    keep: impl Fn(&Entry) -> bool,
    transaction: &Transaction<'_>,
) -> rusqlite::Result<()> {
    let mut entries = Vec::new();
    for run in runs {
        let mut leaves = transaction.prepare_cached("SELECT entries FROM leaves WHERE run = ?")?;
        let mut rows = leaves.query([run])?;
        while let Some(row) = rows.next()? {
            entries.extend(leaf(row)?.iter().map(Entry::from_bytes).filter(&keep));
        }
        for table in ["leaves", "runs"] {
            let delete = format!("DELETE FROM {table} WHERE run = ?");
            transaction.prepare_cached(&delete)?.execute([run])?;
        }
    }
    // Sorted runs one behind the other: a stable sort finds and merges them.
    entries.sort();
    write(&entries, transaction)
}

/// Writes sorted entries as a run.
fn write(entries: &[Entry], transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let length = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let insert = "INSERT INTO runs (entries) VALUES (?)";
    transaction.prepare_cached(insert)?.execute([length])?;
    let run = transaction.last_insert_rowid();
    let mut insert = transaction.prepare_cached("INSERT INTO leaves VALUES (?, ?, ?, ?, ?)")?;
    let mut bytes = Vec::with_capacity(LEAF * ENTRY + 4);
    for leaf in entries.chunks(LEAF) {
        let Some(first) = leaf.first() else { continue };
        bytes.clear();
        leaf.iter().for_each(|entry| bytes.extend(entry.to_bytes()));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        insert.execute(params![
            run,
            first.key.0,
            first.began_at,
            first.number,
            bytes
        ])?;
    }
    Ok(())
}

/// Returns the entries of a leaf as bytes; a checksum that does not fit is damage.
fn leaf<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<&'a [[u8; ENTRY]]> {
    let damaged = rusqlite::Error::IntegralValueOutOfRange(0, 0);
    let bytes = row.get_ref(0)?.as_blob()?;
    match bytes.split_last_chunk() {
        Some((entries, checksum)) if crc32fast::hash(entries) == u32::from_le_bytes(*checksum) => {
            Ok(entries.as_chunks().0)
        }
        Some(_) | None => Err(damaged),
    }
}
