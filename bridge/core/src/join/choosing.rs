//! Which of several sockets that fit, and how sure that is.

use super::{Found, at_best_likely};
use crate::{
    confidence::Confidence,
    gateway::Gateway,
    record::{Join, Method},
    sockets::{Fitting, Socket},
};

/// Chooses among sockets with both ends: those of the gateway's own process, if there are any.
///
/// If only a socket of another process fits, something is known wrongly.
pub(super) fn choose_own<'a>(
    mut fitting: Fitting<'a>,
    gateway: Gateway,
    tight: impl Fn(Socket<'_>) -> bool,
) -> Option<Found<'a>> {
    let has_own = fitting.iter().any(|&socket| gateway.may_own(socket));
    fitting.retain(|socket| !has_own || gateway.may_own(*socket));
    let found = choose(fitting, Method::Exact, tight)?;
    Some(if has_own {
        found
    } else {
        at_best_likely(found)
    })
}

/// Chooses among the sockets that fit; `tight` says which fit more closely than the sources' disorder.
pub(super) fn choose<'a>(
    mut fitting: Fitting<'a>,
    method: Method,
    tight: impl Fn(Socket<'_>) -> bool,
) -> Option<Found<'a>> {
    fitting.sort_unstable_by_key(|socket| (socket.began_at(), socket.id()));
    let mut best = fitting.iter().filter(|&&socket| tight(socket));
    let (socket, confidence) = match (best.next(), best.next(), fitting.as_slice()) {
        (Some(&socket), None, [_]) => (socket, Confidence::Certain),
        (Some(&socket), None, _) | (None, _, &[socket]) => (socket, Confidence::Likely),
        (_, _, &[first, ..]) => {
            let candidates = u32::try_from(fitting.len()).unwrap_or(u32::MAX);
            (first, Confidence::Ambiguous { candidates })
        }
        (_, _, []) => return None,
    };
    let candidates = match confidence {
        Confidence::Ambiguous { .. } => fitting
            .iter()
            .map(|socket| socket.id())
            .take(Join::CANDIDATES_MAX)
            .collect(),
        Confidence::Certain | Confidence::Likely => Vec::new(),
    };
    Some(Found {
        socket,
        method,
        confidence,
        candidates,
    })
}
