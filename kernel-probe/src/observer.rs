//! Everything that is seen of those who are followed, by hooks where they are allowed and by the
//! kernel's table of sockets, as one stream of facts; and what cannot be seen, at each moment.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use syntrace_ebpf_common::{Event, Flags};
use syntrace_proto::{Sampling, fact::Body};
use tokio::time::{Instant, interval_at};

use crate::{
    counters::Counters,
    host::Host,
    load_error::LoadError,
    pins::Pins,
    privileges::{self, Held},
    reset_reasons::ResetReasons,
    rung::{Capability, Ladder},
    settings::Settings,
    survey::{Connections, Scope, Survey, SurveyError},
    translate,
    view::{KernelView, config},
};

/// How often the rung is told again: the bridge may be another one meanwhile.
const RUNG_INTERVAL: Duration = Duration::from_secs(5);

/// Hooks, survey, and what they can do at present.
pub(crate) struct Observer {
    view: Option<KernelView>,
    survey: Survey,
    pins: Option<Pins>,
    ladder: RefCell<Ladder>,
    host: Host,
    reset_reasons: ResetReasons,
}

// === impl Observer ===

impl Observer {
    /// Attaches what can be attached, opens what can be opened, and gives up the privileges that
    /// this took. What is lost on the way counts in the counters returned.
    ///
    /// # Errors
    ///
    /// [`LoadError`] only if `must_hook`: a successor must not be worse than whom it replaces.
    pub(crate) fn begin(
        settings: Settings,
        host: Host,
        must_hook: bool,
    ) -> Result<(Self, Counters), LoadError> {
        let (pins, pinless) = match Pins::of(&settings) {
            Ok(pins) => (Some(pins), None),
            Err(reason) => (None, Some(reason)),
        };
        // Ids are minted as a predecessor did.
        let host = match pins.as_ref().and_then(Pins::host_key) {
            Some(key) => Host { key, ..host },
            None => host,
        };
        let config = config(&settings, host.key);
        let (mut view, mut ladder, counters) = match KernelView::attach(
            &settings,
            config,
            pins.as_ref(),
        ) {
            Ok((view, counters)) => {
                let ladder = view.ladder().clone();
                (Some(view), ladder, counters)
            }
            Err(error) if must_hook => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "Went on without hooks, by the kernel's table of sockets");
                let ladder = Ladder::without_hooks(&error.to_string());
                (None, ladder, Counters::default())
            }
        };
        if let Some(reason) = pinless {
            ladder.lose(Capability::TakeOver, &reason.to_string());
        }
        for &capability in &settings.without {
            ladder.switch_off(capability);
        }
        let is_wanted = |capability| !settings.without.contains(&capability);
        let connections = if view.is_none() && is_wanted(Capability::Poll) {
            Connections::All
        } else if view.is_some() && is_wanted(Capability::Backfill) {
            Connections::Older
        } else {
            Connections::No
        };
        let scope = Scope {
            connections,
            listeners: is_wanted(Capability::Listeners),
        };
        let mut survey = Survey::new(settings.whose, host, scope);
        note(&mut ladder, connections, survey.search());
        if let (Connections::Older, Some(view)) = (connections, &mut view) {
            // What the hooks have seen is theirs; all else is older.
            let found = survey.find_older(|| view.followed());
            ladder.regain(Capability::Backfill);
            if let Err(reason) = found {
                ladder.lose(Capability::Backfill, &reason);
            }
            if config.orders(Flags::BELIEVE)
                && let Err(reason) = survey
                    .listeners()
                    .and_then(|places| view.watch_older(&places))
            {
                let reason = format!("listeners older than the probe see no tags: {reason}");
                ladder.lose(Capability::Backfill, &reason);
            }
        }
        let needed = if view.is_some() {
            Held::NOTHING
        } else {
            Held::FOR_POLLING
        };
        match privileges::give_up_all_but(needed) {
            Ok(held) => tracing::info!(%held, "Gave up privileges"),
            Err(error) => tracing::warn!(%error, "Could not give up privileges"),
        }
        let reset_reasons = view.as_ref().map(KernelView::reset_reasons).cloned();
        let observer = Self {
            view,
            survey,
            pins,
            ladder: RefCell::new(ladder),
            host,
            reset_reasons: reset_reasons.unwrap_or_default(),
        };
        Ok((observer, counters))
    }

    /// Returns the name of the rung.
    pub(crate) fn rung(&self) -> &'static str {
        self.ladder.borrow().name()
    }

    /// Begins to read, as the only one who does.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the programs' ring cannot be read.
    pub(crate) fn open(&mut self) -> Result<(), LoadError> {
        if let (Some(pins), Some(view)) = (&self.pins, &self.view) {
            pins.forget_all_but(view.attached());
        }
        self.view.as_mut().map_or(Ok(()), KernelView::open)
    }

    /// Hands facts to `take`, for ever.
    pub(crate) async fn follow(&mut self, counters: &Counters, take: &impl Fn(Body)) {
        let Self {
            view,
            survey,
            pins: _,
            ladder,
            host,
            reset_reasons,
        } = self;
        let (ladder, connections) = (&*ladder, survey.connections());
        take(Body::Rung(ladder.borrow().to_fact(counters.counted())));
        let tell = |result, lost| {
            counters.survey_lost(lost);
            let mut ladder = ladder.borrow_mut();
            let before = ladder.clone();
            note(&mut ladder, connections, result);
            if *ladder != before {
                let rung = ladder.to_fact(counters.counted());
                tracing::info!(rung = rung.name, missing = ?rung.missing, "Changed what can be seen");
                take(Body::Rung(rung));
            }
        };
        // Whoever hears only these two takes it that all was sampled in between.
        let first_and_latest: Cell<Option<[Sampling; 2]>> = Cell::new(None);
        let sampled = |sampling| {
            let [first, _] = first_and_latest.get().unwrap_or([sampling; 2]);
            first_and_latest.set(Some([first, sampling]));
            take(Body::Sampling(sampling));
        };
        let repeat = async {
            let mut ticks = interval_at(Instant::now() + RUNG_INTERVAL, RUNG_INTERVAL);
            loop {
                ticks.tick().await;
                take(Body::Rung(ladder.borrow().to_fact(counters.counted())));
                for sampling in first_and_latest.get().into_iter().flatten() {
                    take(Body::Sampling(sampling));
                }
            }
        };
        let translated = |event| take(translate::event(&event, host, reset_reasons));
        let decode = |record: &[u8]| forward(record, counters, translated);
        tokio::join!(
            KernelView::follow(view.as_mut(), counters, decode, sampled),
            survey.keep(take, tell),
            repeat
        );
    }

    /// Leaves what is pinned, unread records among it, to a successor; without pins it ends.
    pub(crate) fn hand_over(self, counters: &Counters, take: &impl Fn(Body)) {
        if self.pins.is_none() {
            return self.end(counters, take);
        }
        let Self {
            mut survey, ladder, ..
        } = self;
        survey.drain(take);
        counters.survey_lost(survey.losses());
        take(Body::Rung(ladder.borrow().to_fact(counters.counted())));
    }

    /// Detaches, then hands on what is left, and leaves nothing behind.
    pub(crate) fn end(self, counters: &Counters, take: &impl Fn(Body)) {
        let Self {
            view,
            mut survey,
            pins,
            ladder,
            host,
            reset_reasons,
        } = self;
        if let Some(Err(error)) = pins.map(|pins| pins.remove()) {
            tracing::warn!(%error, "Could not remove what was pinned");
        }
        if let Some(view) = view {
            let translated = |event| take(translate::event(&event, &host, &reset_reasons));
            view.detach(|record| forward(record, counters, translated));
        }
        survey.drain(take);
        counters.survey_lost(survey.losses());
        take(Body::Rung(ladder.borrow().to_fact(counters.counted())));
    }
}

/// Notes in `ladder` what the survey could see.
fn note(ladder: &mut Ladder, connections: Connections, result: Result<(), SurveyError>) {
    let depending: &[Capability] = match connections {
        Connections::No | Connections::Older => &[Capability::Listeners],
        Connections::All => &[
            Capability::Listeners,
            Capability::Poll,
            Capability::Backfill,
        ],
    };
    for &capability in depending {
        match &result {
            Ok(()) => ladder.regain(capability),
            Err(error) => ladder.suspend(capability, &error.to_string()),
        }
    }
}

/// Hands on what one ring-buffer record says.
fn forward(record: &[u8], counters: &Counters, take: impl Fn(Event)) {
    match Event::decode(record) {
        Ok(event) => take(event),
        Err(error) => {
            counters.undecodable();
            tracing::debug!(%error, "Skipped ring-buffer record");
        }
    }
}
