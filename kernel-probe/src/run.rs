//! One run of the probe: load, attach, forward, and leave nothing behind.

use std::{future::pending, io, pin::pin, time::Duration};

use rustix::rand::{GetRandomFlags, getrandom};
use syntrace_ebpf_common::{Config, ConnRecord, Flags};
use syntrace_proto::fact::Body;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, interval_at, timeout},
};

use crate::{
    clock,
    counters::Counters,
    events::Events,
    lease::Lease,
    loader::{LoadError, Loaded},
    outbox::{Bound, Outbox},
    rung::{Capability, Ladder},
    sender::Sender,
    settings::Settings,
    translate,
};

/// This sender's name towards the bridge.
const NAME: &str = "probe";

/// What waits for a bridge that is away: about a minute at 4,000 snapshots a second.
const BOUND: Bound = Bound {
    facts: 250_000,
    bytes: 64 << 20,
};

/// How often the rung is told again.
const RUNG_INTERVAL: Duration = Duration::from_secs(5);

/// How long the last batches may take after the probe was told to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the probe cannot even run without its programs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kernel gave no random bytes.
    #[error("reading random bytes failed: {0}")]
    Random(#[source] io::Error),
    /// This boot's id cannot be read.
    #[error("reading the boot id failed: {0}")]
    BootId(#[source] io::Error),
    /// Signals cannot be received.
    #[error("waiting for signals failed: {0}")]
    Signals(#[source] io::Error),
}

/// The kernel view, while it is attached.
struct KernelView {
    loaded: Loaded,
    events: Events,
    lease: Lease,
}

/// Runs until SIGTERM or SIGINT; then detaches, sends what is left, and returns.
///
/// Without the privileges or the kernel that the programs need, it says so, reports the rung
/// `l7-only`, and stays.
///
/// # Errors
///
/// [`RunError`] only if the process can do nothing at all.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let boot_id = clock::boot_id().map_err(RunError::BootId)?;
    let config = config(&settings, boot_id)?;
    let outbox = Outbox::new(
        syntrace_proto::Sender {
            name: NAME.to_owned(),
            epoch: u64::from_ne_bytes(random()?),
            host_id: settings.host_id.clone(),
        },
        BOUND,
    );

    let (mut view, ladder, counters) = match KernelView::attach(&settings, config) {
        Ok((view, counters)) => {
            let ladder = view.loaded.ladder.clone();
            (Some(view), ladder, counters)
        }
        Err(error) => {
            tracing::warn!(%error, "Went on without the kernel view: requests are still traced");
            (
                None,
                Ladder::without_kernel_view(&error.to_string()),
                Counters::default(),
            )
        }
    };
    let sender = Sender::new(outbox, counters, &settings.bridge);
    sender.post(Body::Rung(ladder.to_fact()));
    if view.is_some() {
        tracing::info!(rung = ladder.name(), "Attached");
    }

    let take = |record: &[u8]| forward(&sender, record, boot_id);
    let mut delivery = pin!(sender.deliver());
    tokio::select! {
        () = KernelView::follow(view.as_mut(), take) => {}
        () = sender.flush() => {}
        () = repeat(&sender, &ladder) => {}
        () = &mut delivery => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping");
    if let Some(view) = view {
        view.detach(take);
    }
    sender.seal(true);
    if timeout(FAREWELL, delivery).await.is_err() {
        tracing::warn!(
            n_facts = sender.waiting(),
            "Stopped before the bridge kept everything"
        );
    }
    sender.counters().log();
    Ok(())
}

/// Tells again and again what can be seen: the bridge may be another one meanwhile.
async fn repeat(sender: &Sender, ladder: &Ladder) {
    let mut ticks = interval_at(Instant::now() + RUNG_INTERVAL, RUNG_INTERVAL);
    loop {
        ticks.tick().await;
        sender.post(Body::Rung(ladder.to_fact()));
    }
}

// === impl KernelView ===

impl KernelView {
    /// Loads and attaches the programs as `settings` order; they count in the counters returned.
    fn attach(settings: &Settings, config: Config) -> Result<(Self, Counters), LoadError> {
        let mut loaded = Loaded::load()?;
        if !config.orders(Flags::TAG) && !config.orders(Flags::BELIEVE) {
            loaded.ladder.lose(
                Capability::Tag,
                "not ordered, neither --tag-to nor --believe-from",
            );
        }
        loaded.order(&settings.tag_to, &settings.believe_from)?;
        let events = Events::new(loaded.take_events()?).map_err(LoadError::Events)?;
        let counters = Counters::new(loaded.take_counters()?);
        let mut lease = Lease::new(loaded.take_config()?, config);
        // The orders are there before the first callback comes.
        lease.renew();
        loaded.attach(&settings.cgroup)?;
        Ok((
            Self {
                loaded,
                events,
                lease,
            },
            counters,
        ))
    }

    /// Hands snapshots to `take` and keeps the lease, for ever.
    async fn follow(view: Option<&mut Self>, take: impl FnMut(&[u8])) {
        let Some(view) = view else {
            return pending().await;
        };
        let (events, ()) = tokio::join!(view.events.forward(take), view.lease.keep());
        if let Err(error) = events {
            tracing::error!(%error, "Could not read the ring buffer any more");
        }
    }

    /// Detaches the programs, then hands over what they left.
    fn detach(self, take: impl FnMut(&[u8])) {
        let Self {
            loaded,
            mut events,
            lease: _,
        } = self;
        drop(loaded);
        events.drain(take);
    }
}

/// Sends on what one ring-buffer record says.
fn forward(sender: &Sender, record: &[u8], boot_id: [u8; 16]) {
    match ConnRecord::decode(record) {
        Ok(record) => {
            sender.post(Body::Connection(translate::connection(&record, boot_id)));
        }
        Err(error) => {
            sender.counters().undecodable();
            tracing::debug!(%error, "Skipped ring-buffer record");
        }
    }
}

/// Returns the orders that `settings` mean, with no lease yet.
fn config(settings: &Settings, boot_id: [u8; 16]) -> Result<Config, RunError> {
    let ordered = |is_ordered: bool, flag| if is_ordered { flag } else { Flags::default() };
    let flags = Flags::OBSERVE
        .union(ordered(!settings.tag_to.is_empty(), Flags::TAG))
        .union(ordered(!settings.believe_from.is_empty(), Flags::BELIEVE))
        .union(ordered(settings.mesh_key.is_some(), Flags::MESH_KEYED));
    let host_key = random()?;
    // Without a mesh key nobody checks the MAC; then the host's key fills its place.
    let mesh_key = settings.mesh_key.map_or(host_key, |key| key.0);
    Ok(Config {
        host_key,
        mesh_key,
        boot_id,
        flags,
        ..Config::EMPTY
    })
}

fn random<const N: usize>() -> Result<[u8; N], RunError> {
    let mut bytes = [0; N];
    // Requests of up to 256 bytes are answered whole (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| RunError::Random(error.into()))?;
    Ok(bytes)
}
