//! A bridge that keeps every batch in memory.

use std::{
    fs::{self, Permissions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    slice,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use prost::Message as _;
use syntrace_proto::{Batch, Connection, FACTS_PATH, Incident, Opening, Outcome, Rung, fact::Body};
use tempfile::TempDir;

/// How long a fact may take from the kernel to here.
const DEADLINE: Duration = Duration::from_secs(10);

/// Listens until the process ends; its socket goes with the folder.
pub(crate) struct Receiver {
    folder: TempDir,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Kept {
    batches: Mutex<Vec<Batch>>,
    /// Snapshots in them.
    n_connections: AtomicU64,
    came: Condvar,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        let receiver = Self::closed();
        receiver.open();
        receiver
    }

    /// A receiver that does not listen yet.
    pub(crate) fn closed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            kept: Arc::default(),
        }
    }

    pub(crate) fn open(&self) {
        let path = self.folder.path().join("bridge.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let kept = Arc::clone(&self.kept);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &kept));
            }
        });
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("bridge.sock").display())
    }

    /// Waits for both ends of the connection to `port` to end so; returns active, passive.
    pub(crate) fn both_ends(&self, port: u16, outcome: Outcome) -> (Connection, Connection) {
        (
            self.end(port, Opening::Active, outcome),
            self.end(port, Opening::Passive, outcome),
        )
    }

    /// Waits for one end of the connection to `port`, the listener's, to end so.
    pub(crate) fn end(&self, port: u16, opening: Opening, outcome: Outcome) -> Connection {
        self.wait_for(|batches| {
            let mut ends = connections(batches).filter(|end| {
                (port_of(end), end.opening()) == (port.into(), opening) && end.closed_at_ns > 0
            });
            let end = ends.next()?;
            assert_eq!(end.outcome(), outcome, "{end:?}");
            Some(end.clone())
        })
    }

    /// Waits for the probe to say what it can see.
    pub(crate) fn rung(&self) -> Rung {
        self.wait_for(|batches| {
            bodies(batches).find_map(|body| match body {
                Body::Rung(rung) => Some(rung.clone()),
                Body::Clock(_)
                | Body::Connection(_)
                | Body::Request(_)
                | Body::Sampling(_)
                | Body::Incident(_) => None,
            })
        })
    }

    /// Waits until what `look` makes of all batches `is_done`, or for the deadline; returns it.
    pub(crate) fn settled<T>(
        &self,
        look: impl Fn(&[Batch]) -> T,
        is_done: impl Fn(&T) -> bool,
    ) -> T {
        let kept = self.kept.batches.lock().unwrap();
        let is_missing = |batches: &mut Vec<Batch>| !is_done(&look(batches));
        let (kept, _) = self
            .kept
            .came
            .wait_timeout_while(kept, DEADLINE, is_missing)
            .unwrap();
        look(&kept)
    }

    /// Returns every snapshot so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        connections(&self.kept.batches.lock().unwrap())
            .cloned()
            .collect()
    }

    /// Waits for this many snapshots, or for the deadline; returns how many came.
    pub(crate) fn arrived(&self, expected: u64) -> u64 {
        let kept = self.kept.batches.lock().unwrap();
        let count = || self.kept.n_connections.load(Ordering::Relaxed);
        let waited = self
            .kept
            .came
            .wait_timeout_while(kept, DEADLINE, |_| count() < expected);
        drop(waited);
        count()
    }

    /// Returns how many snapshots the probe says were lost.
    pub(crate) fn lost(&self) -> u64 {
        let batches = self.kept.batches.lock().unwrap();
        let losses = batches.last().map(|batch| batch.losses.as_slice());
        losses
            .unwrap_or_default()
            .iter()
            .map(|loss| loss.count)
            .sum()
    }

    /// Asserts that the batches of one epoch came whole: from the first number to the goodbye,
    /// each with a clock, nothing lost.
    pub(crate) fn assert_whole_epoch(&self, host_id: &str) {
        let batches = self.kept.batches.lock().unwrap();
        let sender = batches[0].sender.clone().unwrap();
        assert_eq!(
            (sender.name.as_str(), sender.host_id.as_str()),
            ("probe", host_id)
        );
        let mut next_seq = 0;
        for (at, batch) in batches.iter().enumerate() {
            assert_eq!(batch.sender.as_ref(), Some(&sender));
            assert_eq!(batch.first_seq, next_seq);
            assert_eq!(batch.losses, []);
            assert_eq!(batch.goodbye, at + 1 == batches.len());
            assert!(matches!(batch.facts[0].body, Some(Body::Clock(_))));
            next_seq += batch.facts.len() as u64;
        }
    }

    fn wait_for<T>(&self, found: impl Fn(&[Batch]) -> Option<T>) -> T {
        let kept = self.kept.batches.lock().unwrap();
        let missing = |batches: &mut Vec<Batch>| found(batches).is_none();
        let (kept, waited) = self
            .kept
            .came
            .wait_timeout_while(kept, DEADLINE, missing)
            .unwrap();
        assert!(!waited.timed_out(), "did not come: {kept:#?}");
        found(&kept).unwrap()
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

/// Returns the incidents in `batches`.
pub(crate) fn incidents(batches: &[Batch]) -> impl Iterator<Item = &Incident> {
    bodies(batches).filter_map(|body| match body {
        Body::Incident(incident) => Some(incident),
        Body::Clock(_)
        | Body::Rung(_)
        | Body::Sampling(_)
        | Body::Request(_)
        | Body::Connection(_) => None,
    })
}

/// Returns the snapshots in `batches`.
pub(crate) fn connections(batches: &[Batch]) -> impl Iterator<Item = &Connection> {
    bodies(batches).filter_map(|body| match body {
        Body::Connection(connection) => Some(connection),
        Body::Clock(_)
        | Body::Rung(_)
        | Body::Sampling(_)
        | Body::Request(_)
        | Body::Incident(_) => None,
    })
}

fn bodies(batches: &[Batch]) -> impl Iterator<Item = &Body> {
    batches
        .iter()
        .flat_map(|batch| &batch.facts)
        .filter_map(|fact| fact.body.as_ref())
}

/// Answers each request of one connection with 204 after keeping its batch.
fn serve(stream: UnixStream, kept: &Kept) {
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut answers = stream;
    while let Ok(body) = read_request(&mut requests) {
        let batch = Batch::decode(body.as_slice()).unwrap();
        let n_connections = connections(slice::from_ref(&batch)).count() as u64;
        kept.n_connections
            .fetch_add(n_connections, Ordering::Relaxed);
        kept.batches.lock().unwrap().push(batch);
        kept.came.notify_all();
        if answers
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

fn read_request(requests: &mut BufReader<UnixStream>) -> io::Result<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    requests.read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    assert_eq!(line, format!("POST {FACTS_PATH} HTTP/1.1\r\n"));
    while line != "\r\n" {
        line.clear();
        requests.read_line(&mut line)?;
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim_end().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body)?;
    Ok(body)
}
