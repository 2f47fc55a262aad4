//! What listeners and endpoints count.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The listeners' counters; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Http {
    connections: Family<Listener, Gauge>,
    refused: Family<Refused, Counter>,
    answers: Family<Answered, Counter>,
    followers: Gauge,
}

/// Why a connection was not served.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// The system could not accept it.
    Accept,
    /// Its process is of a user who may not connect.
    User,
    /// Its TLS handshake failed, or took too long.
    Handshake,
    /// It had made no authorized request yet, and made room for another.
    Room,
}

/// Counts a thing as present until it is dropped.
#[derive(Debug)]
pub struct Present(Gauge);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    listener: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: String,
    status: u16,
}

// === impl Http ===

impl Http {
    /// Counts a connection of a listener as open until the result is dropped.
    pub fn connected(&self, listener: &'static str) -> Present {
        let labels = Listener { listener };
        Present::of(&self.connections.get_or_create(&labels))
    }

    /// Counts a connection that is not served.
    pub fn refused(&self, listener: &'static str, refusal: Refusal) {
        let reason = match refusal {
            Refusal::Accept => "accept",
            Refusal::User => "user",
            Refusal::Handshake => "handshake",
            Refusal::Room => "room",
        };
        let labels = Refused { listener, reason };
        self.refused.get_or_create(&labels).inc();
    }

    /// Counts an answer of an endpoint, which is named by its route, never by a path that came.
    pub fn answered(&self, endpoint: &str, status: u16) {
        let endpoint = endpoint.to_owned();
        let labels = Answered { endpoint, status };
        self.answers.get_or_create(&labels).inc();
    }

    /// Counts a follower as present until the result is dropped; `None` if there are `most` already.
    pub fn try_follow(&self, most: i64) -> Option<Present> {
        let present = Present::of(&self.followers);
        (self.followers.get() <= most).then_some(present)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_connections",
            "Connections that are open, by listener",
            self.connections.clone(),
        );
        registry.register(
            "http_connections_refused",
            "Connections that were not served, by listener and reason",
            self.refused.clone(),
        );
        registry.register(
            "http_answers",
            "Answers, by endpoint and status",
            self.answers.clone(),
        );
        registry.register(
            "http_followers",
            "Event streams that are open",
            self.followers.clone(),
        );
    }
}

// === impl Present ===

impl Present {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}
