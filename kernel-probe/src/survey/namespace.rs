//! One network namespace under survey: its netlink sockets, and what is known of its TCP sockets.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
};

use syntrace_proto::{Connection, fact::Body};

use super::{Connections, Scope, SurveyError};
use crate::{
    clock,
    diag::{Destroyed, Dump, States, TcpSocket},
    followed::Followed,
    listeners::Listeners,
    members::Members,
    mibs::Mibs,
    poll::{Identity, Poll, SynRetries},
};

/// What the kernel does unless told otherwise (`net.ipv4.tcp_syn_retries`).
const USUAL_SYN_RETRIES: u32 = 6;

/// Datagrams that are read before others get their turn.
const TURN: usize = 4096;

/// Sockets of one network namespace.
#[derive(Debug)]
pub(super) struct Watched {
    dump: Dump,
    netstat: File,
    listeners: Listeners,
    /// Whether incidents of listeners are told.
    is_telling: bool,
    polled: Option<Polled>,
}

/// Its connections.
#[derive(Debug)]
struct Polled {
    poll: Poll,
    destroyed: Destroyed,
    netlink: File,
    connections: Connections,
    /// Connections that may be older than the hooks.
    candidates: BTreeSet<u64>,
    /// What was found before the first look.
    found: Vec<Connection>,
    /// Nobody else is in the namespace: what nobody claims is ours.
    is_exclusive: bool,
    news_lost: u64,
}

// === impl Watched ===

impl Watched {
    /// Opens the sockets in the thread's network namespace.
    pub(super) fn open(
        host_key: [u8; 16],
        identity: Identity,
        scope: Scope,
    ) -> Result<Self, SurveyError> {
        let connections = scope.connections;
        let dump = Dump::open()?;
        let identity = Identity {
            netns_cookie: dump.netns_cookie(),
            ..identity
        };
        // Told of ends before asked who lives: no connection falls between.
        let polled = match connections {
            Connections::No => None,
            Connections::Older | Connections::All => Some(Polled {
                poll: Poll::new(host_key, identity, syn_retries()),
                destroyed: Destroyed::open()?,
                netlink: open("netlink")?,
                connections,
                candidates: BTreeSet::new(),
                found: Vec::new(),
                is_exclusive: false,
                news_lost: 0,
            }),
        };
        Ok(Self {
            dump,
            netstat: open("netstat")?,
            listeners: Listeners::new(identity),
            is_telling: scope.listeners,
            polled,
        })
    }

    /// Compares the listeners and the namespace's counters with those of the last look; returns the
    /// listeners. The first look only learns.
    pub(super) fn look_at_listeners(
        &mut self,
        members: &Members,
        take: &impl Fn(Body),
    ) -> Result<Vec<TcpSocket>, SurveyError> {
        let mut listeners = self.dump.sockets(States::LISTENING)?;
        listeners.retain(|listener| members.have(listener));
        let mibs = Mibs::parse(&read("netstat", &self.netstat)?);
        let at = clock::sample().boot_ns;
        let incidents = self.listeners.handle_look(at, &listeners, mibs);
        for incident in incidents.into_iter().filter(|_| self.is_telling) {
            take(Body::Incident(incident));
        }
        Ok(listeners)
    }

    /// Returns the cookies of the listeners.
    pub(super) fn listeners(&mut self, members: &Members) -> Result<Vec<u64>, SurveyError> {
        let listeners = self.look_at_listeners(members, &|_| {})?;
        Ok(listeners.iter().map(|listener| listener.cookie).collect())
    }

    /// Notes which connections are there, before it is asked which the hooks follow.
    pub(super) fn note_candidates(&mut self, members: &Members) -> Result<(), SurveyError> {
        let Some(polled) = &mut self.polled else {
            return Ok(());
        };
        let table = self.dump.sockets(States::CONNECTED)?.into_iter();
        polled.candidates = table
            .filter(|socket| members.have(socket))
            .map(|socket| socket.cookie)
            .collect();
        Ok(())
    }

    /// Finds connections that no hook has seen: candidates that are still there, but for those that
    /// were `followed` meanwhile.
    pub(super) fn find_older(
        &mut self,
        members: &Members,
        followed: &Followed<'_>,
    ) -> Result<(), SurveyError> {
        let listeners = self.look_at_listeners(members, &|_| {})?;
        let Some(polled) = &mut self.polled else {
            return Ok(());
        };
        polled.poll.handle_listeners(listeners.iter());
        let mut table = self
            .dump
            .sockets_without(followed.beside, States::CONNECTED)?;
        let candidates = std::mem::take(&mut polled.candidates);
        table.retain(|socket| {
            candidates.contains(&socket.cookie) && !followed.cookies.contains(&socket.cookie)
        });
        let at = clock::sample().boot_ns;
        polled.found = polled.poll.handle_table(at, table, members.only_process());
        self.rest();
        Ok(())
    }

    /// Asks no more of connections when the last older one has ended: as long as anybody listens,
    /// the kernel tells of each socket that it destroys.
    fn rest(&mut self) {
        let is_over = |polled: &Polled| {
            polled.connections == Connections::Older
                && polled.poll.len() == 0
                && polled.found.is_empty()
        };
        if self.polled.as_ref().is_some_and(is_over) {
            self.polled = None;
        }
    }

    /// Reads the table and the namespace's counters; what no member claims is theirs all the same
    /// where the namespace `is_exclusive`.
    pub(super) fn look(
        &mut self,
        members: &Members,
        is_exclusive: bool,
        take: &impl Fn(Body),
    ) -> Result<(), SurveyError> {
        let listeners = self.look_at_listeners(members, take)?;
        let Some(polled) = &mut self.polled else {
            return Ok(());
        };
        polled.is_exclusive = is_exclusive;
        polled.poll.handle_listeners(listeners.iter());
        let mut table = self.dump.sockets(States::CONNECTED)?;
        table.retain(|socket| members.have(socket));
        if polled.connections == Connections::Older {
            table.retain(|socket| polled.poll.follows(socket.cookie));
        }
        for connection in polled.found.drain(..) {
            take(Body::Connection(connection));
        }
        let at = clock::sample().boot_ns;
        for connection in polled.poll.handle_table(at, table, members.only_process()) {
            take(Body::Connection(connection));
        }
        polled.news_lost = polled.destroyed.drops(&read("netlink", &polled.netlink)?);
        self.rest();
        Ok(())
    }

    /// Reads what was told of destroyed sockets.
    pub(super) fn drain(&mut self, at: u64, take: &impl Fn(Body)) -> Result<(), SurveyError> {
        let Some(polled) = &mut self.polled else {
            return Ok(());
        };
        let may_be_ours = polled.is_exclusive && polled.connections == Connections::All;
        let poll = &mut polled.poll;
        let is_older_only = polled.connections == Connections::Older;
        let told = |socket: TcpSocket| {
            if is_older_only && !poll.follows(socket.cookie) {
                return;
            }
            if let Some(end) = poll.handle_destroyed(at, socket, may_be_ours) {
                take(Body::Connection(end));
            }
        };
        Ok(polled.destroyed.drain(TURN, told)?)
    }

    /// Returns whether ends of connections are waited for.
    pub(super) const fn is_polling(&self) -> bool {
        self.polled.is_some()
    }

    /// Returns whether connections are followed that have not ended.
    pub(super) fn is_busy(&self) -> bool {
        self.polled
            .as_ref()
            .is_some_and(|polled| polled.poll.len() > 0)
    }

    /// Returns how much was lost: of sockets that no table showed, and beyond the bound.
    ///
    /// Of older ones each table shows all: their ends are told even if the news are lost.
    pub(super) fn losses(&self) -> u64 {
        self.polled.as_ref().map_or(0, |polled| {
            let unseen = match polled.connections {
                Connections::All => polled.news_lost,
                Connections::No | Connections::Older => 0,
            };
            unseen + polled.poll.beyond_bound()
        })
    }
}

/// Opens a file of the thread's network namespace; reading it later needs nobody in there.
fn open(name: &'static str) -> Result<File, SurveyError> {
    File::open(format!("/proc/thread-self/net/{name}"))
        .map_err(|source| SurveyError::File { name, source })
}

/// Reads the whole file, as it is now.
fn read(name: &'static str, file: &File) -> Result<String, SurveyError> {
    let mut text = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match file.read_at(&mut chunk, text.len() as u64) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(length) => text.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(SurveyError::File { name, source }),
        }
    }
}

/// Returns how often this namespace's kernel sends a SYN again.
fn syn_retries() -> SynRetries {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_syn_retries").unwrap_or_default();
    SynRetries(text.trim().parse().unwrap_or(USUAL_SYN_RETRIES))
}
