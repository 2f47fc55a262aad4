//! The id rule: which of the ids that a connection is known by is its trace id.
//!
//! Best first: minted by the filter with the connection's first request; carried by the SYN, and
//! authentic; minted by the kernel view; without a kernel view, its first request's. All others are
//! aliases, also those that another run of the kernel view minted, or that it minted before a tag was told: a
//! record may have shown them. A tag that is not believed is neither: whoever forged it must not find the record
//! by it.

use syntrace_model::TraceId;

use crate::{
    fact::TagState,
    record::IdSource,
    sockets::{Connection, Socket},
};

/// A connection's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) trace_id: TraceId,
    pub(crate) source: IdSource,
    /// In order, without repetition, without `trace_id`.
    pub(crate) aliases: Vec<TraceId>,
}

/// Applies the rule; `None` only for a connection of which nothing at all is known.
pub(crate) fn identify(connection: Connection<'_>) -> Option<Identity> {
    let mut ids = ids(connection);
    let (source, trace_id) = ids.next()?;
    let mut aliases: Vec<_> = ids.map(|(_, id)| id).filter(|&id| id != trace_id).collect();
    aliases.sort_unstable();
    aliases.dedup();
    Some(Identity {
        trace_id,
        source,
        aliases,
    })
}

/// Returns the trace id alone.
pub(crate) fn trace_id(connection: Connection<'_>) -> Option<TraceId> {
    ids(connection).next().map(|(_, id)| id)
}

/// Returns all ids, the best first.
fn ids(connection: Connection<'_>) -> impl Iterator<Item = (IdSource, TraceId)> {
    let socket = connection.socket();
    let minted = connection.minted().map(|id| (IdSource::Filter, id));
    let tag = socket.and_then(authentic_tag).map(|id| (IdSource::Tag, id));
    // Beside a tag that every word told, the kernel view's own id was never shown to anyone.
    let kernel = socket
        .filter(|_| tag.is_none())
        .map(|socket| (IdSource::Kernel, socket.minted()));
    let shown = socket.map_or(&[][..], Socket::shown).iter();
    let shown = shown.map(|&id| (IdSource::Kernel, id));
    let first = connection.requests().next().filter(|_| socket.is_none());
    let request = first.map(|request| (IdSource::Request, request.trace_id));
    minted.chain(tag).chain(kernel).chain(shown).chain(request)
}

/// Returns the id in the socket's SYN, unless it was received and is not believed.
pub(crate) fn authentic_tag(socket: Socket<'_>) -> Option<TraceId> {
    let tag = socket.tag()?;
    match tag.state {
        TagState::Sent | TagState::Answered | TagState::Believed => Some(tag.id),
        TagState::Disbelieved => None,
    }
}
