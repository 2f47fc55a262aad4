//! `Accept: text/event-stream`: sends each record as it settles, and resumes where `Last-Event-ID`
//! says (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Nothing is queued for a follower: it gets what is there once it has read what it got. One that is too slow
//! gets an event that says how many it missed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::IntoParams;

use super::{ApiError, State, blocking, json};
use crate::{
    metrics::Present,
    store::{Kept, ReadError},
    view::SharedView,
};

/// Event streams that are open at the same time.
const FOLLOWERS_MAX: i64 = 64;

/// Records that are read at once.
const BATCH: usize = 100;

/// How often an idle stream sends a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to resume.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that is read by `start`")]
pub(super) struct LastEventId {
    /// Of an event stream: the id of the last event that was seen.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
}

struct Follower {
    view: SharedView,
    look: Look,
    settled: watch::Receiver<u64>,
    running: watch::Receiver<bool>,
    after: u64,
    _present: Present,
}

/// Returns a settled record as JSON, if it matches.
type Look = Arc<dyn Fn(&Kept) -> Result<Option<Event>, ReadError> + Send + Sync>;

/// Records that the follower was too slow for.
#[derive(Debug, Serialize)]
struct Missed {
    count: u64,
}

/// Returns whether an event stream is requested.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}

/// Returns whether an answer is an event stream.
pub(crate) fn is_stream(answer: &Response) -> bool {
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value == "text/event-stream")
}

/// Streams what `look` returns for each record that settles.
pub(super) fn stream<R: Serialize>(
    state: &State,
    headers: &HeaderMap,
    look: impl Fn(&Kept) -> Result<Option<R>, ReadError> + Send + Sync + 'static,
) -> Result<Response, ApiError> {
    let running = state.running.subscribe();
    let present = state.metrics.http.try_follow(FOLLOWERS_MAX);
    let present = present.filter(|_| *running.borrow());
    let settled = state.view.settled();
    let after = start(headers, *settled.borrow())?;
    let follower = Follower {
        view: state.view.clone(),
        look: Arc::new(move |record| {
            let text = look(record)?.and_then(|shown| json::text(&shown).ok());
            Ok(text.map(|text| Event::default().data(text)))
        }),
        settled,
        running,
        after,
        _present: present.ok_or(ApiError::TooManyFollowers)?,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let events = follower.next().await?;
        Some((
            stream::iter(events.into_iter().map(Ok::<_, Infallible>)),
            follower,
        ))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events.flatten())
        .keep_alive(keep_alive)
        .into_response())
}

/// Without `Last-Event-ID`, what settles from now on is sent.
fn start(headers: &HeaderMap, last: u64) -> Result<u64, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(last);
    };
    let found = value.to_str().unwrap_or_default();
    let number: u64 = found.parse().map_err(|_wrong| ApiError::Parameter {
        name: "Last-Event-ID",
        found: found.to_owned(),
        expected: "the id of an event of this stream",
    })?;
    // A bridge that kept nothing over a restart numbers from 1 again: a higher number is its predecessor's.
    Ok(if number > last { 0 } else { number })
}

impl Follower {
    /// Waits for the next events; `None` ends the stream.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let last = *self.settled.borrow_and_update();
            while self.after < last {
                let events = self.turn(last).await?;
                if !events.is_empty() {
                    return Some(events);
                }
            }
            tokio::select! {
                // Either says that the bridge ends.
                _ = self.running.wait_for(|running| !running) => return None,
                changed = self.settled.changed() => changed.ok()?,
            }
        }
    }

    /// Looks at the next records, up to the `last` that is known to have settled.
    async fn turn(&mut self, last: u64) -> Option<Vec<Event>> {
        let (view, look, after) = (self.view.clone(), Arc::clone(&self.look), self.after);
        let turn = blocking(move || {
            let settled = match view.settled_after(after, BATCH) {
                // A follower wants what happens now, not to wait until earlier records are rebuilt.
                Err(ReadError::Hole(_)) => view.recent_all(BATCH),
                settled => settled?,
            };
            let first = settled.first().map_or(last + 1, |first| first.number);
            let missed = missed(after, first);
            let mut events: Vec<_> = missed.into_iter().collect();
            for settled in &settled {
                let shown = look(&settled.record)?;
                events.extend(shown.map(|event| event.id(settled.number.to_string())));
            }
            let last = settled.last().map_or(last, |last| last.number);
            Ok::<_, ReadError>((last, events))
        });
        // Who cannot be told goes, and may come again with what it was told last.
        let (after, events) = turn.await.ok()?.ok()?;
        self.after = after;
        Some(events)
    }
}

/// Tells how many records between two numbers are no longer kept.
fn missed(after: u64, first: u64) -> Option<Event> {
    let count = first.saturating_sub(after.saturating_add(1));
    let event = Event::default().event("missed").json_data(Missed { count });
    event.ok().filter(|_| count > 0)
}
