//! The kernel view while it is attached: the programs, their ring, their orders.

use std::{
    cell::Cell,
    future::pending,
    io,
    time::{Duration, Instant},
};

use rustix::rand::{GetRandomFlags, getrandom};
use syntrace_ebpf_common::{Config, Flags, Wide};
use syntrace_proto::Sampling;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    counters::Counters,
    events::Events,
    followed::Followed,
    lease::{Lease, RENEW_EVERY},
    load_error::LoadError,
    loader::Loaded,
    members::Whose,
    older_listeners::Place,
    pins::Pins,
    pressure::{Flow, Pressure},
    reset_reasons::ResetReasons,
    rung::{Capability, Ladder},
    settings::{MeshKeys, Settings},
};

/// The programs, attached; dropping it detaches them.
pub(crate) struct KernelView {
    loaded: Loaded,
    /// Open while this process is the one that reads.
    events: Option<Events>,
    lease: Lease,
}

/// How often the sampling is thought over while records come.
const STEER_EVERY: Duration = Duration::from_millis(100);

/// What the kernel writes before each record in the ring (`BPF_RINGBUF_HDR_SZ`).
const RING_HEADER_BYTES: usize = 8;

// === impl KernelView ===

impl KernelView {
    /// Loads the programs and attaches them to the cgroup as `settings` order, in the place of those
    /// that are among `pins`; they count in the counters returned.
    ///
    /// # Errors
    ///
    /// [`LoadError`] explains what the kernel or the process lacks.
    pub(crate) fn attach(
        settings: &Settings,
        config: Config,
        pins: Option<&Pins>,
    ) -> Result<(Self, Counters), LoadError> {
        let Whose::Cgroup(cgroup) = &settings.whose else {
            return Err(LoadError::NoCgroup);
        };
        let mut loaded = Loaded::load(pins, settings.ring_bytes, &settings.without)?;
        if !config.orders(Flags::TAG) && !config.orders(Flags::BELIEVE) {
            loaded.ladder.lose(
                Capability::Tag,
                "not ordered, neither --tag-to nor --believe-from",
            );
        }
        for &capability in &settings.without {
            loaded.ladder.switch_off(capability);
        }
        loaded.order(&settings.tag_to, &settings.believe_from)?;
        let counters = Counters::new(loaded.take_counters()?);
        let mut lease = Lease::new(loaded.take_config()?, loaded.able(config));
        // The orders are there before the first callback comes.
        lease.renew();
        loaded.attach(cgroup, pins)?;
        Ok((
            Self {
                loaded,
                events: None,
                lease,
            },
            counters,
        ))
    }

    /// Returns what the programs can do.
    pub(crate) const fn ladder(&self) -> &Ladder {
        &self.loaded.ladder
    }

    /// Returns what the kernel calls its reasons for an RST.
    pub(crate) const fn reset_reasons(&self) -> &ResetReasons {
        &self.loaded.reset_reasons
    }

    /// Returns the names of the links by which programs are attached to the cgroup.
    pub(crate) fn attached(&self) -> &[&'static str] {
        self.loaded.attached()
    }

    /// Returns the sockets that the programs follow.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the object was built apart.
    pub(crate) fn followed(&self) -> Result<Followed<'_>, LoadError> {
        self.loaded.followed()
    }

    /// Puts listeners under watch that are older than the programs.
    ///
    /// # Errors
    ///
    /// One line of what was refused.
    pub(crate) fn watch_older(&mut self, places: &[Place]) -> Result<(), String> {
        self.loaded.watch_older(places)
    }

    /// Begins to read the ring where the predecessor stopped: two readers would disturb each other.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the ring cannot be read.
    pub(crate) fn open(&mut self) -> Result<(), LoadError> {
        let events = Events::new(self.loaded.events()?).map_err(LoadError::Events)?;
        self.events = Some(events);
        Ok(())
    }

    /// Hands snapshots to `take`, keeps the lease and the sampling, whose changes it hands to `sampled`, for ever.
    pub(crate) async fn follow(
        view: Option<&mut Self>,
        counters: &Counters,
        take: impl Fn(&[u8]),
        sampled: impl Fn(Sampling),
    ) {
        let Some(Self {
            events: Some(events),
            lease,
            ..
        }) = view
        else {
            return pending().await;
        };
        let mut pressure = Pressure::new(events.ring_bytes() as u64);
        let (mut begun, mut lost, read) = (Instant::now(), counters.ring_full(), Cell::new(0));
        let count = |record: &[u8]| {
            read.set(read.get() + (RING_HEADER_BYTES + record.len()) as u64);
            take(record);
        };
        let mut renewal = interval(RENEW_EVERY);
        let mut steering = interval(STEER_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        steering.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_steered = read.get() > 0 || lease.is_sampling();
            let gathered = tokio::select! {
                gathered = events.gathered() => gathered,
                _ = steering.tick(), if is_steered => {
                    let (now, lost_now) = (Instant::now(), counters.ring_full());
                    let flow = Flow {
                        elapsed: now - begun,
                        read: read.take(),
                        lost: lost_now.saturating_sub(lost),
                    };
                    (begun, lost) = (now, lost_now);
                    if let Some(sampling) = lease.sample(pressure.handle_flow(flow)) {
                        sampled(sampling);
                    }
                    Ok(())
                }
                _ = renewal.tick() => {
                    lease.renew();
                    Ok(())
                }
            };
            let read = match gathered {
                Ok(()) => events.read(&count),
                failed => failed,
            };
            if let Err(error) = read {
                // Without a reader there is nothing to renew the orders for.
                tracing::error!(%error, "Could not read the ring buffer any more");
                return pending().await;
            }
        }
    }

    /// Detaches the programs that no pin keeps, then hands over what they left.
    pub(crate) fn detach(self, take: impl FnMut(&[u8])) {
        let Self { loaded, events, .. } = self;
        drop(loaded);
        if let Some(Err(error)) = events.map(|mut events| events.drain(take)) {
            tracing::warn!(%error, "Could not read what was left in the ring buffer");
        }
    }
}

/// Returns the orders that `settings` mean, with no lease yet; ids are minted under `host_key`.
pub(crate) fn config(settings: &Settings, host_key: [u8; 16]) -> Config {
    let ordered = |is_ordered: bool, flag| if is_ordered { flag } else { Flags::default() };
    let is_on = |capability| !settings.without.contains(&capability);
    let tags = is_on(Capability::Tag);
    let flags = ordered(is_on(Capability::LifeCycle), Flags::OBSERVE)
        .union(ordered(is_on(Capability::AcceptWait), Flags::ACCEPT_WAIT))
        .union(ordered(is_on(Capability::Incidents), Flags::INCIDENTS))
        .union(ordered(tags && !settings.tag_to.is_empty(), Flags::TAG))
        .union(ordered(
            tags && !settings.believe_from.is_empty(),
            Flags::BELIEVE,
        ))
        .union(ordered(settings.mesh_keys.is_some(), Flags::MESH_KEYED));
    // Without a mesh key nobody checks the MAC; then the host's key fills its place.
    let mesh_keys = settings
        .mesh_keys
        .map_or([host_key; 2], |MeshKeys(keys)| keys)
        .map(Wide::from_bytes);
    Config {
        host_key: Wide::from_bytes(host_key),
        mesh_keys,
        flags,
        ..Config::EMPTY
    }
}

/// Returns bytes that nobody can guess.
///
/// # Errors
///
/// Fails if the kernel gives none.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // Requests of up to 256 bytes are answered whole (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}
