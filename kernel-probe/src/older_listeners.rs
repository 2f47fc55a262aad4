//! Listeners that are older than the programs, put under watch: no callback told of them, so that
//! their SYN-ACKs would be seen by nobody, and tags would be neither believed nor answered.
//!
//! An iterator visits all sockets of a network namespace, from within, and switches the callbacks on
//! of those that it was told.

use std::{io, process, thread};

use aya::{
    Ebpf,
    maps::{HashMap, MapError},
    programs::{Iter, ProgramError, links::LinkError},
};

use crate::{loader::OLDER_LISTENERS, members::namespace_of, survey::enter};

/// The map of those who are to be watched.
const OLDER: &str = "OLDER";

/// What the map says of a listener that is not watched yet.
const UNWATCHED: u32 = 0;

/// A network namespace with listeners of those who are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// A process in it.
    pub(crate) process: u32,
    /// The listeners' cookies.
    pub(crate) listeners: Vec<u64>,
}

/// Why listeners are not watched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OlderError {
    /// The object lacks the program or the map.
    #[error("the eBPF object has no `{0}`: it is of another build than this program")]
    Incomplete(&'static str),
    /// The map takes no more of them.
    #[error("writing the map of listeners failed: {0}")]
    Map(#[from] MapError),
    /// The program cannot be used.
    #[error("the kernel refused the iterator over sockets: {0}")]
    Program(#[from] ProgramError),
    /// No visit can be made.
    #[error("the kernel refused to run the iterator over sockets: {0}")]
    Link(#[from] LinkError),
    /// The network namespace cannot be entered, or not be gone through.
    #[error("iterating over the sockets of process {process}'s network namespace failed: {source}")]
    Visit {
        /// A process in it.
        process: u32,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel is too old for that.
    #[error("this kernel lets no iterator enable callbacks: that takes Linux 6.12")]
    Refused,
}

/// Watches the listeners of `places`.
///
/// # Kernel
///
/// Linux 6.12; CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE and CAP_SYS_ADMIN for other network namespaces.
///
/// # Errors
///
/// [`OlderError`] of the first place that cannot be visited.
pub(crate) fn watch(ebpf: &mut Ebpf, places: &[Place]) -> Result<(), OlderError> {
    if places.is_empty() {
        return Ok(());
    }
    let noted = ebpf.map_mut(OLDER).ok_or(OlderError::Incomplete(OLDER))?;
    let mut noted: HashMap<_, u64, u32> = noted.try_into()?;
    for listener in places.iter().flat_map(|place| &place.listeners) {
        noted.insert(listener, UNWATCHED, 0)?;
    }
    let program = ebpf.program_mut(OLDER_LISTENERS);
    let program: &mut Iter = program
        .ok_or(OlderError::Incomplete(OLDER_LISTENERS))?
        .try_into()?;
    for place in places {
        // A thread of its own stays in the namespace.
        let visited = thread::scope(|scope| scope.spawn(|| visit(program, place.process)).join());
        visited.unwrap_or(Err(OlderError::Refused))?;
    }
    let noted = ebpf.map(OLDER).ok_or(OlderError::Incomplete(OLDER))?;
    let noted: HashMap<_, u64, u32> = noted.try_into()?;
    let is_watched = |(_, state): (u64, u32)| state != UNWATCHED;
    // One or another may have closed meanwhile.
    let is_any = noted.iter().filter_map(Result::ok).any(is_watched);
    is_any.then_some(()).ok_or(OlderError::Refused)
}

/// Visits all TCP sockets of the network namespace in which `process` is.
fn visit(program: &mut Iter, process: u32) -> Result<(), OlderError> {
    let failed = |source| OlderError::Visit { process, source };
    let is_there = namespace_of(process).ok() == namespace_of(process::id()).ok();
    if !is_there {
        enter(process).map_err(failed)?;
    }
    // Visits the namespace of the thread that makes it.
    let link = program.attach()?;
    let mut sockets = program.take_link(link)?.into_file()?;
    io::copy(&mut sockets, &mut io::sink())
        .map(|_nothing_is_said| ())
        .map_err(failed)
}
