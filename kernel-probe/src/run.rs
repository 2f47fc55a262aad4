//! One run of the probe: observe, send to the bridge, and leave nothing behind but to a successor.

use std::{fs::File, io, pin::pin, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{
    bridge::BridgeAddress,
    claim::{Claim, ClaimError},
    counters::Counters,
    host::Host,
    load_error::LoadError,
    members::Whose,
    observer::Observer,
    outbox::{Bound, Outbox},
    pins::{Pins, PinsError},
    sender::Sender,
    settings::Settings,
    view::random,
};

/// This sender's name towards the bridge.
const NAME: &str = "probe";

/// What waits for a bridge that is away: about a minute at 4,000 snapshots a second.
const BOUND: Bound = Bound {
    facts: 250_000,
    bytes: 64 << 20,
};

/// How long the last batches may take after the probe was told to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where facts go.
#[derive(Debug)]
pub struct Destination {
    /// The bridge.
    pub bridge: BridgeAddress,
    /// The name of this host in what is sent; empty for none.
    pub host_id: String,
}

/// What to do where another probe follows the same cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Leave it alone, and end.
    Refuse,
    /// Take over from it.
    TakeOver,
}

/// Why the probe cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kernel tells no boot id, or gives no random bytes.
    #[error("reading the boot id and random bytes failed: {0}")]
    Host(#[source] io::Error),
    /// Signals cannot be received.
    #[error("waiting for signals failed: {0}")]
    Signals(#[source] io::Error),
    /// Another probe follows the cgroup.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The programs cannot be used: not at all, or not in the place of a predecessor's, which goes on.
    #[error(transparent)]
    Hooks(#[from] LoadError),
}

/// Runs until SIGTERM or SIGINT; then detaches, sends what is left, and returns.
///
/// Without the privileges or the kernel that the programs need, it says so, reports the rung that
/// is left, and stays.
///
/// # Errors
///
/// [`RunError`] only if the process can do nothing at all.
pub async fn run(
    settings: Settings,
    destination: Destination,
    succession: Succession,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hand_over = signal(SignalKind::user_defined1()).map_err(RunError::Signals)?;
    let host = Host::new().map_err(RunError::Host)?;
    let outbox = Outbox::new(new_sender(destination.host_id)?, BOUND);
    if let Err(reason @ (PinsError::NoBpffs(_) | PinsError::Folder { .. })) = Pins::of(&settings) {
        tracing::warn!(
            %reason,
            "Nothing is pinned: a crash or a take-over loses what happens until the next probe \
             observes, and the handshakes of connections that are open then"
        );
    }
    let (mut observer, counters, claim) = begin(settings, host, succession)?;
    tracing::info!(rung = observer.rung(), "Attached");
    let sender = Sender::new(outbox, counters, &destination.bridge);

    let take = |body| sender.post(body);
    let mut delivery = pin!(sender.deliver());
    let has_successor = {
        let mut follow = pin!(observer.follow(sender.counters(), &take));
        let mut flush = pin!(sender.flush());
        loop {
            tokio::select! {
                () = &mut follow => break false,
                () = &mut flush => break false,
                () = &mut delivery => break false,
                _ = terminate.recv() => break false,
                _ = interrupt.recv() => break false,
                _ = hand_over.recv() => {
                    if claim.as_ref().is_some_and(Claim::is_requested) {
                        break true;
                    }
                    tracing::info!("Went on: who asked for the cgroup has gone");
                }
            }
        }
    };
    tracing::info!(has_successor, "Stopping");
    if has_successor {
        observer.hand_over(sender.counters(), &take);
    } else {
        observer.end(sender.counters(), &take);
    }
    sender.counters().close();
    sender.seal(true);
    // A successor reads on from here; what is sealed is sent meanwhile.
    drop(claim);
    if timeout(FAREWELL, delivery).await.is_err() {
        tracing::warn!(
            n_facts = sender.waiting(),
            "Stopped before the bridge kept everything"
        );
    }
    sender.counters().log();
    Ok(())
}

/// Returns this process's name as a sender, in an epoch of its own.
///
/// # Errors
///
/// [`RunError::Host`] if the kernel gives no random bytes.
pub(crate) fn new_sender(host_id: String) -> Result<syntrace_proto::Sender, RunError> {
    Ok(syntrace_proto::Sender {
        name: NAME.to_owned(),
        epoch: u64::from_ne_bytes(random().map_err(RunError::Host)?),
        host_id,
    })
}

/// Claims the cgroup, and begins to observe it. A predecessor is asked to go when all that can fail
/// is done: until then it reads what the programs, now ours, tell.
fn begin(
    settings: Settings,
    host: Host,
    succession: Succession,
) -> Result<(Observer, Counters, Option<Claim>), RunError> {
    let cgroup = match &settings.whose {
        Whose::Cgroup(cgroup) => Some(File::try_clone(cgroup).map_err(ClaimError::Lock)?),
        Whose::Process(_) => None,
    };
    let claim = cgroup.as_ref().map(Claim::of).transpose();
    let (claim, is_held) = match claim {
        Err(ClaimError::Held(_)) if succession == Succession::TakeOver => (None, true),
        claim => (claim?, false),
    };
    let (mut observer, counters) =
        Observer::begin(settings, host, is_held).map_err(RunError::Hooks)?;
    let claim = match cgroup {
        Some(cgroup) if is_held => {
            let claim = Claim::take_over(&cgroup)?;
            // What was lost until now, the predecessor has told.
            counters.begin_here();
            Some(claim)
        }
        Some(_) | None => claim,
    };
    observer.open().map_err(RunError::Hooks)?;
    Ok((observer, counters, claim))
}
