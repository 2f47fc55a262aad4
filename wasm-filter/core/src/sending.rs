//! The way to the bridge: who sends, when, what became of it, and what Envoy's own metrics say of that.

use std::mem;

use crate::{
    Attribute, Host, Metric, MetricKind,
    batch::{Answer, Limits, Queue},
    config::{Sending, is_name},
    filter::size,
    pairs,
    wire::{self, Message, text},
};

/// Ticks that are left out after failures in a row: none, one, three, seven, ... at most this many.
const MAX_PAUSE_TICKS: u32 = 15;

/// After this long a call without an answer counts as failed, nanoseconds: the root context that made it
/// went away with its configuration. Well above the call's own timeout.
const LOST_AFTER_NS: u64 = 5_000_000_000;

/// Facts on their way, and what is counted of them.
#[derive(Debug)]
pub(crate) struct Outbox {
    sending: Sending,
    epoch: u64,
    queue: Queue,
    /// The `Sender` of every batch.
    sender: Option<Message>,
    /// The headers of a call, as the ABI takes them.
    headers: Vec<u8>,
    /// When the batch on its way was sent, nanoseconds since 1970.
    sent_at_ns: Option<u64>,
    /// Ticks to leave out.
    pause: u32,
    /// Calls in a row that failed.
    n_failed: u32,
    /// The proxy did not even try the latest call: said once.
    is_refused: bool,
    metrics: Option<Metrics>,
}

/// Envoy's metrics. All workers share them: each adds what is its own, so that they tell of all together.
#[derive(Debug)]
struct Metrics {
    /// Each with what this worker has added to it.
    added: [(Option<Metric>, u64); 6],
    /// The memory that the worker had when it was configured.
    first_pages: u64,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(sending: Sending, epoch: u64) -> Self {
        let headers: [(&[u8], &[u8]); 4] = [
            (b":method", b"POST"),
            (b":path", b"/v1/facts"),
            (b":authority", b"syntrace-bridge"),
            (b"content-type", b"application/x-protobuf"),
        ];
        Self {
            epoch,
            queue: Queue::new(limits(&sending)),
            sender: None,
            headers: pairs::write(&headers),
            sent_at_ns: None,
            pause: 0,
            n_failed: 0,
            is_refused: false,
            metrics: None,
            sending,
        }
    }

    /// Sends as `sending` says from now on; what waits stays.
    pub(crate) fn configure(&mut self, host: &impl Host, sending: Sending) {
        self.queue.limit(limits(&sending));
        // A sender's name is part of what makes its facts' numbers unique: the first one stays.
        self.sending = sending;
        self.metrics.get_or_insert_with(|| Metrics::define(host));
    }

    pub(crate) fn push(&mut self, request: &Message) {
        self.queue.push(request);
    }

    pub(crate) fn on_tick(&mut self, host: &impl Host) {
        if let Some(sent_at_ns) = self.sent_at_ns
            && let Some(now_ns) = host.now_unix_ns()
            && now_ns.saturating_sub(sent_at_ns) > LOST_AFTER_NS
        {
            self.on_answer(Answer::Unavailable);
        }
        if self.pause > 0 {
            self.pause -= 1;
        } else {
            self.send(host);
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.tell(host, &self.queue);
        }
    }

    pub(crate) fn on_call_response(&mut self, host: &impl Host, status: Option<u16>) {
        let answer = Answer::from_status(status);
        self.on_answer(answer);
        // After a failure the next attempt waits for its tick.
        if answer != Answer::Unavailable && self.queue.has_full_batch() {
            self.send(host);
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        self.sent_at_ns = None;
        self.queue.handle_answer(answer);
        if answer == Answer::Unavailable {
            self.pause = (1_u32 << self.n_failed.min(4))
                .saturating_sub(1)
                .min(MAX_PAUSE_TICKS);
            self.n_failed = self.n_failed.saturating_add(1);
        } else {
            self.pause = 0;
            self.n_failed = 0;
        }
    }

    fn send(&mut self, host: &impl Host) {
        let sender = match &self.sender {
            Some(sender) => sender,
            None if self.queue.is_silent() => return,
            None => self.sender.insert(name(&self.sending, self.epoch, host)),
        };
        let Some(batch) = self.queue.poll_batch(sender) else {
            return;
        };
        if host.post_facts(&self.sending.bridge_cluster, &self.headers, batch) {
            self.sent_at_ns = host.now_unix_ns();
            self.is_refused = false;
        } else {
            if !mem::replace(&mut self.is_refused, true) {
                host.warn(&refused(&self.sending.bridge_cluster));
            }
            self.on_answer(Answer::Unavailable);
        }
    }
}

fn limits(sending: &Sending) -> Limits {
    Limits {
        batch_facts: size(sending.max_batch_facts),
        queue_bytes: size(sending.max_queue_bytes),
    }
}

/// Says that the proxy would not even try to reach the bridge: that is a matter of configuration.
fn refused(cluster: &str) -> String {
    format!(
        "cannot send to the cluster `{cluster}`: is there one, and is proxy_http_call allowed? Reports wait, as \
         far as `max_queue_bytes` goes"
    )
}

/// Names this worker: `filter/<gateway>/<number>`.
fn name(sending: &Sending, epoch: u64, host: &impl Host) -> Message {
    let gateway = sending.gateway.clone().or_else(|| {
        let node = host.attribute(Attribute::NodeId)?;
        Some(text(&node, 200).into_owned()).filter(|node| is_name(node))
    });
    let gateway = gateway.as_deref().unwrap_or("envoy");
    let name = format!("filter/{gateway}/{}", host.next_worker_number());
    let mut sender = Message::default();
    sender.bytes(wire::sender::NAME, name.as_bytes());
    sender.fixed64(wire::sender::EPOCH, epoch);
    sender
}

// === impl Metrics ===

impl Metrics {
    fn define(host: &impl Host) -> Self {
        let counter = |name| (host.define_metric(MetricKind::Counter, name), 0);
        let gauge = |name| (host.define_metric(MetricKind::Gauge, name), 0);
        Self {
            added: [
                counter("syntrace.reports_total"),
                counter("syntrace.delivered_total"),
                counter("syntrace.dropped_total"),
                counter("syntrace.batches_total"),
                counter("syntrace.memory_grown_pages_total"),
                gauge("syntrace.queue_bytes"),
            ],
            first_pages: host.memory_pages(),
        }
    }

    /// Tells the proxy what has changed.
    fn tell(&mut self, host: &impl Host, queue: &Queue) {
        let values = [
            queue.n_recorded(),
            queue.n_delivered(),
            queue.n_lost(),
            queue.n_accepted(),
            host.memory_pages().saturating_sub(self.first_pages),
            queue.bytes(),
        ];
        for ((metric, added), value) in self.added.iter_mut().zip(values) {
            if let Some(metric) = metric
                && *added != value
            {
                host.add(*metric, value.wrapping_sub(*added).cast_signed());
                *added = value;
            }
        }
    }
}
