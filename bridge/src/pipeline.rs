//! Puts the parts together: log, fold, view, export. Starts them and shuts them down cleanly.

mod lock;

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use syntrace_core::Limits;
use syntrace_model::BootId;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use self::lock::DirectoryLock;
pub use self::lock::LockError;
use crate::{
    api, clock,
    export::{self, Cursor, Exporter},
    fold::{Fold, Folder, Recovery, Refold, Ticker},
    log::{self, Log, Segments},
    metrics::Metrics,
    otlp,
    store::{self, Database},
    view::SharedView,
};

/// How much the pipeline keeps, and where it exports to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the reconciler keeps, and for how long.
    pub limits: Limits,
    /// Settled records kept in memory.
    pub settled_records: usize,
    /// Where everything is kept; memory only without it.
    pub data_dir: Option<PathBuf>,
    /// How much of the log is kept; its directory is set by `data_dir`.
    pub log: log::Settings,
    /// Up to so many bytes of the log are folded again at a restart, rather than having the missing records rebuilt
    /// later.
    pub refold_bytes: u64,
    /// How much of the view is kept.
    pub view: store::Bounds,
    /// The collector; no export without one.
    pub otlp: Option<otlp::Settings>,
    /// How long the collector may take for what is left at the end.
    pub flush_timeout: Duration,
}

/// What runs between the endpoint and the answers.
#[derive(Debug)]
pub struct Pipeline {
    state: api::State,
    view: SharedView,
    fold: thread::JoinHandle<()>,
    writer: Option<thread::JoinHandle<()>>,
    exporter: Option<JoinHandle<()>>,
    flush_timeout: Duration,
    _lock: Option<DirectoryLock>,
}

/// Why the pipeline does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory is another bridge's, or cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The log cannot be read.
    #[error("reading the log in {}", .directory.display())]
    Log {
        /// Where it lies.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The settings and the environment do not make an exporter.
    #[error("making the exporter")]
    Exporter(#[from] otlp::SetupError),
    /// The system refused a step.
    #[error("{step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// A part of the pipeline that ended by a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} ended early")]
pub struct EndedEarly {
    /// Which.
    pub part: &'static str,
}

/// The files below the data directory.
#[derive(Debug)]
struct Place {
    log: PathBuf,
    view: PathBuf,
    export: PathBuf,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settled_records: 100_000,
            data_dir: None,
            log: log::Settings::default(),
            // Less than a second's work.
            refold_bytes: 20 << 20,
            view: store::Bounds::default(),
            otlp: None,
            flush_timeout: Duration::from_secs(10),
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Starts everything; needs a tokio runtime. What an earlier run left is folded meanwhile
    /// ([`SharedView::rebuilt`]).
    ///
    /// # Errors
    ///
    /// [`StartError`]; then nothing was changed but what was torn.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let limits = Limits {
            // The standard library seeds each hasher's keys at random.
            hash_seed: RandomState::new().hash_one(()),
            ..settings.limits
        };
        let settings = &Settings {
            limits,
            ..settings.clone()
        };
        let boot = clock::boot_id().map_err(system("reading the boot id"))?;
        let place = settings.data_dir.as_deref().map(Place::below);
        let lock = settings.data_dir.as_deref().map(DirectoryLock::take);
        let lock = lock.transpose()?;
        let database = place
            .as_ref()
            .map(|place| Arc::new(Database::new(place.view.clone())));
        let recovery = match &place {
            Some(place) => Some(place.left(settings)?),
            None => None,
        };
        let folder = Folder::new(settings.limits, boot, 0);
        let view = SharedView::new(folder, settings.settled_records, database);
        let metrics = Metrics::default();
        let log_settings = log::Settings {
            directory: place.as_ref().map(|place| place.log.clone()),
            ..settings.log.clone()
        };
        let next = recovery.as_ref().map(|recovery| recovery.until);
        let log = Log::start(&log_settings, boot, next.unwrap_or_default());
        let (log, entries) = log.map_err(system("starting the log"))?;
        let log = Arc::new(log);
        let exporter = match &settings.otlp {
            Some(collector) => {
                let cursor = match &place {
                    Some(place) => Cursor::open(place.export.clone(), settings.log.disk.clone()),
                    None => Cursor::in_memory(),
                };
                // Nothing is evicted before it is known where the export resumes.
                view.exported(cursor.number().unwrap_or(0));
                let exporter = Exporter {
                    view: view.clone(),
                    cursor,
                    client: otlp::Client::new(collector)?,
                    counters: metrics.spans.clone(),
                };
                Some(tokio::spawn(exporter.run()))
            }
            None => None,
        };
        let writer = place.as_ref().and_then(|place| {
            let refold = Refold::new(Segments::new(place.log.clone()), settings.limits);
            let writer = store::Writer::new(&view, view.database_shared()?, settings.view, refold);
            Some(spawn("store", move || writer.run()))
        });
        let writer = writer.transpose()?;
        if let Some(writer) = &writer {
            view.set_writer(writer.thread().clone());
        }
        let fold = Fold {
            entries,
            log: Arc::clone(&log),
            boot,
            view: view.clone(),
            metrics: metrics.clone(),
            recovery,
        };
        let fold = spawn("fold", move || fold.run())?;
        tokio::spawn(tell_the_time(boot, view.clone(), Arc::clone(&log)));
        Ok(Self {
            fold,
            writer,
            exporter,
            flush_timeout: settings.flush_timeout,
            state: api::State::new(log, view.clone(), metrics),
            view,
            _lock: lock,
        })
    }

    /// Returns what the endpoints work on.
    #[must_use]
    pub const fn state(&self) -> &api::State {
        &self.state
    }

    /// Returns what is known.
    #[must_use]
    pub const fn view(&self) -> &SharedView {
        &self.view
    }

    /// Returns where batches are appended.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.state.log
    }

    /// Waits until nothing is folded any more, which before [`Self::finish`] is a defect.
    pub async fn failed(&self) {
        self.state.log.abandoned().await;
    }

    /// Folds, stores and exports all that was appended.
    ///
    /// Without files, what is live settles first; with them, the next run continues with it, and so does
    /// the export of what the collector does not take in time.
    ///
    /// # Errors
    ///
    /// If a part ended before.
    pub async fn finish(self) -> Result<(), EndedEarly> {
        self.state.log.close();
        join(self.fold, "fold").await?;
        self.view.close();
        if let Some(mut exporter) = self.exporter
            && timeout(self.flush_timeout, &mut exporter).await.is_err()
        {
            exporter.abort();
            tracing::warn!("Collector was too slow for the last spans");
        }
        match self.writer {
            Some(writer) => join(writer, "store").await,
            None => Ok(()),
        }
    }
}

// === impl Place ===

impl Place {
    fn below(directory: &Path) -> Self {
        Self {
            log: directory.join("log"),
            view: directory.join("view"),
            export: directory.join("exported"),
        }
    }

    /// Returns what an earlier run left, with what was torn cut off.
    fn left(&self, settings: &Settings) -> Result<Recovery, StartError> {
        let failed = |source| StartError::Log {
            directory: self.log.clone(),
            source,
        };
        fs::create_dir_all(&self.log).map_err(failed)?;
        let segments = Segments::new(self.log.clone());
        let mended = segments.mend(&settings.log.disk).map_err(failed)?;
        Ok(Recovery {
            segments,
            disk: settings.log.disk.clone(),
            limits: settings.limits,
            refold_bytes: settings.refold_bytes,
            // Without a state the log is folded as if it were new, under numbers that nobody has seen.
            numbered_after: export::read_cursor(&self.export)
                .ok()
                .flatten()
                .unwrap_or(0),
            until: mended.next,
            torn_bytes: mended.torn_bytes,
        })
    }
}

/// Appends the bridge's own facts, once it is known which numbers it used before.
async fn tell_the_time(boot: BootId, view: SharedView, log: Arc<Log>) {
    if view.rebuilt().await.is_some() {
        let ticker = view.with_folder(|folder| Ticker::after(folder, boot));
        ticker.run(log, view.due()).await;
    }
}

fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(system("starting a thread"))
}

async fn join(thread: thread::JoinHandle<()>, part: &'static str) -> Result<(), EndedEarly> {
    let joined = spawn_blocking(|| thread.join()).await;
    match joined {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(EndedEarly { part }),
    }
}

fn system(step: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { step, source }
}
