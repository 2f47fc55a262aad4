//! The sockets that the programs follow, as their maps hold them.

use std::{
    collections::BTreeSet,
    mem::offset_of,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{
    Ebpf,
    maps::{Array, Map},
};
use syntrace_ebpf_common::{CONN_RECORD_LEN, ConnRecord, Repeats, cookie_of_name};

use crate::load_error::{LoadError, unsupported};

/// Sockets that have a place, each at the one that follows from its address.
pub(crate) const LIVE: &str = "LIVE";

/// Those whose place was taken.
const LIVE_BESIDE: &str = "LIVE_BESIDE";

/// A place in [`LIVE`]: whose it is, counts, and the record.
const LIVE_LEN: usize = size_of::<u64>() + size_of::<Repeats>() + CONN_RECORD_LEN;

/// Sockets that the programs follow.
#[derive(Debug)]
pub(crate) struct Followed<'a> {
    /// The numbers of those that have a place.
    pub(crate) cookies: BTreeSet<u64>,
    /// The map that holds the others.
    pub(crate) beside: BorrowedFd<'a>,
}

// === impl Followed ===

impl<'a> Followed<'a> {
    /// Returns those that the programs of `ebpf` follow at present.
    ///
    /// # Errors
    ///
    /// Fails if a map is missing, or is not what the programs' source says.
    pub(crate) fn by(ebpf: &'a Ebpf) -> Result<Self, LoadError> {
        let live = ebpf.map(LIVE).ok_or(LoadError::Incomplete(LIVE))?;
        let live: Array<_, [u8; LIVE_LEN]> = live.try_into().map_err(unsupported)?;
        let cookies = live.iter().filter_map(|place| cookie_of(&place.ok()?));
        let beside = match ebpf.map(LIVE_BESIDE) {
            Some(Map::SkStorage(map)) => map.fd().as_fd(),
            Some(_) | None => return Err(LoadError::Incomplete(LIVE_BESIDE)),
        };
        Ok(Self {
            cookies: cookies.collect(),
            beside,
        })
    }
}

/// Returns the number of the socket that is followed at `place`; `None` if it is free.
fn cookie_of(place: &[u8; LIVE_LEN]) -> Option<u64> {
    const COOKIE: usize = LIVE_LEN - CONN_RECORD_LEN + offset_of!(ConnRecord, socket_cookie);
    let owner = place
        .first_chunk()
        .map(|owner| u64::from_ne_bytes(*owner))?;
    let name = place.get(COOKIE..)?.first_chunk();
    let name = name.map(|name| u64::from_ne_bytes(*name))?;
    (owner != 0).then_some(cookie_of_name(name))
}
