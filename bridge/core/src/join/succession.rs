//! Sockets with the same ends, one after the other: in one namespace no two exist at once.

use std::collections::BTreeSet;

use syntrace_model::BootNanos;

use super::{Found, at_best_likely};
use crate::sockets::{Fitting, Socket};

/// Leaves out a socket whose end was not seen if a younger one in its namespace, started by `start`, has the same
/// ends: two cannot exist at once. Expects the youngest first.
pub(super) fn leave_out_succeeded(sockets: &mut Fitting<'_>, start: BootNanos) {
    if sockets.len() < 2 {
        return;
    }
    let mut succeeded = BTreeSet::new();
    sockets.retain(|socket| {
        socket.began_at() > start
            || succeeded.insert(socket.netns())
            || socket.known_until().is_none()
    });
}

/// Returns the sockets that were still there, by what was reported of them, when another one with the same ends
/// began in their namespace: that cannot be. Where the end of the older one was seen, either may be wrong; where
/// it was not, it came before the younger one began. Expects the youngest first.
pub(super) fn contested<'a>(sockets: &Fitting<'a>) -> Fitting<'a> {
    let mut contested = Fitting::new();
    if sockets.len() < 2 {
        return contested;
    }
    // In each namespace, of those before.
    let mut ended_last = Fitting::new();
    for &socket in sockets.iter().rev() {
        let is_near = |other: &&mut Socket<'_>| other.netns() == socket.netns();
        let Some(other) = ended_last.iter_mut().find(is_near) else {
            ended_last.push(socket);
            continue;
        };
        if other.closed_at() > Some(socket.began_at()) {
            contested.push(*other);
            if !other.ended_unseen() {
                contested.push(socket);
            }
        }
        if other.ended_unseen() || socket.closed_at() > other.closed_at() {
            *other = socket;
        }
    }
    contested
}

/// Doubts a join to a socket that cannot have lived as was reported.
pub(super) fn unless_contested<'a>(found: Found<'a>, contested: &Fitting<'a>) -> Found<'a> {
    let is_contested = |other: &Socket<'_>| other.id() == found.socket.id();
    if contested.iter().any(is_contested) {
        at_best_likely(found)
    } else {
        found
    }
}
