//! Puts the parts together: log, fold, store, export. Starts them and ends them in order.

use std::{sync::Arc, time::Duration};

use opentelemetry_otlp::ExporterBuildError;
use syntrace_core::Limits;
use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};

use crate::{api, export, fold::Fold, log::Log, metrics::Metrics, view::SharedView};

/// How long the collector may take for what is left at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How much the pipeline keeps, and where it exports to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the reconciler keeps, and for how long.
    pub limits: Limits,
    /// Settled records kept of each kind.
    pub settled_records: usize,
    /// Bytes of batches that wait to be folded.
    pub log_bytes: usize,
    /// Base URL of the collector; no export without one.
    pub otlp_endpoint: Option<String>,
    /// `service.name` of the exported spans.
    pub service_name: String,
}

/// What runs between the endpoint and the answers.
#[derive(Debug)]
pub struct Pipeline {
    state: api::State,
    fold: JoinHandle<()>,
    exporter: Option<JoinHandle<()>>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settled_records: 100_000,
            log_bytes: 64 << 20,
            otlp_endpoint: None,
            service_name: "syntrace".to_owned(),
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Starts everything; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be made of what the settings and the environment say.
    pub fn start(settings: &Settings) -> Result<Self, ExporterBuildError> {
        let view = SharedView::new(settings.limits, settings.settled_records);
        let metrics = Metrics::default();
        let (log, batches) = Log::new(settings.log_bytes);
        let (spans, exporter) = match &settings.otlp_endpoint {
            Some(endpoint) => {
                let counters = metrics.spans.clone();
                let (queue, exporter) = export::new(endpoint, &settings.service_name, counters)?;
                (Some(queue), Some(tokio::spawn(exporter.run())))
            }
            None => (None, None),
        };
        let fold = Fold {
            batches,
            view: view.clone(),
            metrics: metrics.clone(),
            spans,
        };
        Ok(Self {
            fold: tokio::spawn(fold.run()),
            exporter,
            state: api::State::new(Arc::new(log), view, metrics),
        })
    }

    /// Returns what the endpoints work on.
    #[must_use]
    pub const fn state(&self) -> &api::State {
        &self.state
    }

    /// Waits until nothing is folded any more, which before [`Self::finish`] is a defect.
    pub async fn failed(&self) {
        self.state.log.abandoned().await;
    }

    /// Folds all that was appended, settles everything, and exports it.
    ///
    /// # Errors
    ///
    /// If the fold ended before.
    pub async fn finish(self) -> Result<(), JoinError> {
        self.state.log.close();
        let folded = self.fold.await;
        if let Some(exporter) = self.exporter
            && timeout(FLUSH_TIMEOUT, exporter).await.is_err()
        {
            tracing::warn!("Collector was too slow for the last spans");
        }
        folded
    }
}
