//! Looks at the kernel's table of TCP sockets every second, in each network namespace of those who
//! are followed: listeners on every rung, connections where no hook sees them, or saw them begin.
//!
//! The edge around [`Poll`] and [`Listeners`]: opens, reads, waits. An idle look costs two short
//! answers of the kernel for each namespace.

mod entrance;
mod namespace;

use std::{
    collections::{BTreeMap, BTreeSet},
    io, process,
    time::Duration,
};

use syntrace_proto::{Origin, fact::Body};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock,
    diag::DiagError,
    followed::Followed,
    host::Host,
    load_error::LoadError,
    members::{Members, Whose, namespace_of},
    older_listeners::Place,
    poll::Identity,
    privileges::Held,
};
use entrance::Entrance;
pub(crate) use entrance::enter;
use namespace::Watched;

/// How often the table is read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many looks pass between two searches for who is followed.
const SEARCH_EVERY: u32 = 5;

/// How often news of destroyed sockets are read: they wait in a buffer of 8 MiB.
const DRAIN_EVERY: Duration = Duration::from_millis(100);

/// What is surveyed beside the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// None: hooks see them.
    No,
    /// Those that are older than the probe: hooks see only newer ones.
    Older,
    /// All.
    All,
}

/// What is surveyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Which connections.
    pub(crate) connections: Connections,
    /// Whether listeners are.
    pub(crate) listeners: bool,
}

/// Why a network namespace is not surveyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurveyError {
    /// Those who are followed are gone.
    #[error("the processes to follow are gone: {0}")]
    Gone(#[source] io::Error),
    /// The namespace cannot be entered.
    #[error(
        "entering the network namespace of process {process} failed, which takes CAP_SYS_PTRACE and \
         CAP_SYS_ADMIN: {source}"
    )]
    Enter {
        /// A process in it.
        process: u32,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The namespace's counters cannot be read.
    #[error("reading /proc/net/{name} failed: {source}")]
    File {
        /// The file's name.
        name: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The table cannot be read.
    #[error(transparent)]
    Diag(#[from] DiagError),
}

/// The survey of all network namespaces of those who are followed.
#[derive(Debug)]
pub(crate) struct Survey {
    whose: Whose,
    host: Host,
    scope: Scope,
    /// `None` where nothing is surveyed, or no thread is to be had.
    entrance: Option<Entrance>,
    members: Members,
    /// Where somebody else is, too.
    shared: BTreeSet<u64>,
    /// Nobody was found yet.
    is_nobody: bool,
    /// A namespace could not be surveyed when it was last tried.
    is_blind: bool,
    /// A process in each namespace that was found.
    places: BTreeMap<u64, u32>,
    watched: BTreeMap<u64, Watched>,
    looks: u32,
}

// === impl Survey ===

impl Survey {
    /// Begins to survey those who are `whose`; ids are minted as `host` says.
    ///
    /// While there is nobody, it is the thread's own network namespace that is surveyed. A thread
    /// keeps what it takes to enter others.
    pub(crate) fn new(whose: Whose, host: Host, scope: Scope) -> Self {
        let identity = scope.identity(&host);
        let open = move || Watched::open(host.key, identity, scope);
        let entrance = scope
            .needed_inside()
            .map(|needed| Entrance::start(needed, open))
            .transpose()
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "Could not start the thread that enters namespaces");
                None
            });
        Self {
            whose,
            host,
            scope,
            entrance,
            members: Members::default(),
            shared: BTreeSet::new(),
            is_nobody: true,
            is_blind: false,
            places: BTreeMap::new(),
            watched: BTreeMap::new(),
            looks: 0,
        }
    }

    /// Looks who is followed, and where; opens what is needed there.
    ///
    /// # Errors
    ///
    /// [`SurveyError`] of the first namespace that cannot be surveyed; the others are.
    pub(crate) fn search(&mut self) -> Result<(), SurveyError> {
        if self.scope.needed_inside().is_none() {
            return Ok(());
        }
        self.is_blind = true;
        self.members = self.whose.look().map_err(SurveyError::Gone)?;
        let mut places = self.members.namespaces();
        if self.scope.connections == Connections::All {
            self.shared = self.members.shared(&places);
        }
        self.is_nobody = places.is_empty();
        if self.is_nobody
            && let Ok(own) = namespace_of(process::id())
        {
            places.insert(own, process::id());
            self.shared.insert(own);
        }
        let mut result = Ok(());
        for (&inode, &process) in &places {
            if self.watched.contains_key(&inode) {
                continue;
            }
            match self.open(inode, process) {
                Ok(mut watched) => {
                    let nothing_yet = |_| {};
                    let learnt = watched.look_at_listeners(&self.members, &nothing_yet);
                    if let Err(error) = learnt {
                        result = Err(error);
                    }
                    self.watched.insert(inode, watched);
                }
                // Whoever was there is gone, whatever the kernel answered: nobody is missed.
                Err(SurveyError::Enter { .. }) if namespace_of(process).ok() != Some(inode) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.is_blind = result.is_err();
        self.watched
            .retain(|inode, watched| places.contains_key(inode) || watched.is_busy());
        self.places = places;
        result
    }

    /// Finds connections that no hook has seen, after the hooks are attached.
    ///
    /// `followed` is asked between two looks at the table: what is there before and after, and is
    /// not followed in between, is older.
    ///
    /// # Errors
    ///
    /// One line of what was refused.
    pub(crate) fn find_older<'a>(
        &mut self,
        followed: impl FnOnce() -> Result<Followed<'a>, LoadError>,
    ) -> Result<(), String> {
        for watched in self.watched.values_mut() {
            watched
                .note_candidates(&self.members)
                .map_err(|error| error.to_string())?;
        }
        let followed = followed().map_err(|error| error.to_string())?;
        for watched in self.watched.values_mut() {
            watched
                .find_older(&self.members, &followed)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Returns where those who are followed listen at present.
    ///
    /// # Errors
    ///
    /// One line of what was refused.
    pub(crate) fn listeners(&mut self) -> Result<Vec<Place>, String> {
        let mut places = Vec::new();
        for (inode, watched) in &mut self.watched {
            let listeners = watched
                .listeners(&self.members)
                .map_err(|error| error.to_string())?;
            if let Some(&process) = self.places.get(inode)
                && !listeners.is_empty()
            {
                places.push(Place { process, listeners });
            }
        }
        Ok(places)
    }

    /// Returns which connections are surveyed.
    pub(crate) const fn connections(&self) -> Connections {
        self.scope.connections
    }

    /// Looks every second, for ever: hands facts to `take`, and to `tell` whether all was seen, and
    /// how much was lost so far.
    pub(crate) async fn keep(
        &mut self,
        take: &impl Fn(Body),
        tell: impl Fn(Result<(), SurveyError>, u64),
    ) {
        let mut look = interval(LOOK_EVERY);
        let mut drain = interval(DRAIN_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_polling = self.watched.values().any(Watched::is_polling);
            tokio::select! {
                _ = look.tick() => {
                    let result = self.look(take);
                    tell(result, self.losses());
                }
                _ = drain.tick(), if is_polling => self.drain(take),
            }
        }
    }

    /// Hands over what was told of destroyed sockets so far.
    pub(crate) fn drain(&mut self, take: &impl Fn(Body)) {
        let at = clock::sample().boot_ns;
        for watched in self.watched.values_mut() {
            if let Err(error) = watched.drain(at, take) {
                tracing::debug!(%error, "Could not read of destroyed sockets");
            }
        }
    }

    /// Returns how much was lost so far: news of destroyed sockets, and connections beyond the bound.
    pub(crate) fn losses(&self) -> u64 {
        self.watched.values().map(Watched::losses).sum()
    }

    fn look(&mut self, take: &impl Fn(Body)) -> Result<(), SurveyError> {
        // What was refused is tried at each look: to be told of it only now and then would be to
        // tell of a change each time.
        let is_due = self.looks.is_multiple_of(SEARCH_EVERY) || self.is_nobody || self.is_blind;
        let mut result = if is_due { self.search() } else { Ok(()) };
        self.looks = self.looks.wrapping_add(1);
        // Ends first: a table read later does not show them any more.
        self.drain(take);
        for (inode, watched) in &mut self.watched {
            let is_exclusive = !self.shared.contains(inode);
            let seen = watched.look(&self.members, is_exclusive, take);
            result = result.and(seen);
        }
        result
    }

    /// Opens what is read of the network namespace `inode`, in which `process` is.
    fn open(&self, inode: u64, process: u32) -> Result<Watched, SurveyError> {
        if namespace_of(process::id()).is_ok_and(|own| own == inode) {
            return Watched::open(self.host.key, self.scope.identity(&self.host), self.scope);
        }
        match &self.entrance {
            Some(entrance) => entrance.visit(process),
            None => Err(SurveyError::Enter {
                process,
                source: io::ErrorKind::Unsupported.into(),
            }),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// Returns what it takes to enter namespaces; `None` where nobody is to be visited.
    fn needed_inside(self) -> Option<Held> {
        match (self.connections, self.listeners) {
            (Connections::All, _) => Some(Held::TO_POLL_INSIDE),
            (Connections::Older, _) | (Connections::No, true) => Some(Held::TO_ENTER),
            (Connections::No, false) => None,
        }
    }

    fn identity(self, host: &Host) -> Identity {
        Identity {
            boot_id: host.boot_id,
            // Told by whoever is inside.
            netns_cookie: 0,
            origin: match self.connections {
                Connections::Older => Origin::Backfilled,
                Connections::No | Connections::All => Origin::Polled,
            },
        }
    }
}
