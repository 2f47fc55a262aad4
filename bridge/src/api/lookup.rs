//! Looks records up by name. A client whose facts were acknowledged may query their records at once.

use std::time::Duration;

use tokio::time::timeout;

use super::{ApiError, State, blocking};
use crate::{store::ReadError, view::SharedView};

/// How long a query waits for the fold before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns what `look` finds; where that is nothing, looks again once everything is folded that had been
/// appended by now.
///
/// # Errors
///
/// [`ApiError::Behind`] if the fold takes longer.
pub(super) async fn find<T: Send + 'static>(
    state: &State,
    look: impl Fn(&SharedView) -> Result<Option<T>, ReadError> + Clone + Send + 'static,
) -> Result<Option<T>, ApiError> {
    let appended = state.log.appended();
    let is_folded = state.log.is_folded(appended);
    let found = once(state, look.clone()).await?;
    if found.is_some() || is_folded {
        return Ok(found);
    }
    match timeout(PATIENCE, state.log.folded_before(appended)).await {
        Ok(true) => once(state, look).await,
        Ok(false) | Err(_) => Err(ApiError::Behind),
    }
}

async fn once<T: Send + 'static>(
    state: &State,
    look: impl FnOnce(&SharedView) -> Result<Option<T>, ReadError> + Send + 'static,
) -> Result<Option<T>, ApiError> {
    let view = state.view.clone();
    Ok(blocking(move || look(&view)).await??)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use syntrace_core::{
        Limits,
        fact::{Batch, SenderId},
    };
    use syntrace_model::BootId;

    use super::*;
    use crate::{
        fold::Folder,
        log::{self, Log, Position, Reader},
        metrics::Metrics,
    };

    #[tokio::test]
    async fn what_is_not_there_is_looked_for_once_where_nothing_waits() {
        let (state, _unfolded) = state();
        let (looked, look) = found_at(usize::MAX);
        assert_eq!(find(&state, look).await.unwrap(), None);
        assert_eq!(looked.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn what_was_appended_is_waited_for_where_nothing_is_found() {
        let (state, _unfolded) = state();
        let after = append(&state).await;
        let (looked, look) = found_at(2);
        let fold = async {
            while looked.load(Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            state.log.is_folded_before(after);
        };
        let (found, ()) = tokio::join!(find(&state, look), fold);
        assert_eq!(found.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn what_is_found_waits_for_nobody() {
        let (state, _unfolded) = state();
        append(&state).await;
        let (_, look) = found_at(1);
        assert_eq!(find(&state, look).await.unwrap(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fold_that_takes_long_is_told_of() {
        let (state, _unfolded) = state();
        append(&state).await;
        let (looked, look) = found_at(2);
        let error = find(&state, look).await.unwrap_err();
        assert_eq!(error.code().name(), "behind");
        assert_eq!(looked.load(Relaxed), 1);
    }

    /// A bridge that folds nothing.
    fn state() -> (State, Reader) {
        let folder = Folder::new(Limits::default(), BootId([0; 16]), 0);
        let view = SharedView::new(folder, 1, None);
        let settings = log::Settings::default();
        let (log, unfolded) = Log::start(&settings, BootId([0; 16]), Position(0)).unwrap();
        let state = State::new(Arc::new(log), view, Metrics::default());
        (state, unfolded)
    }

    /// Appends a batch; returns the position after it.
    async fn append(state: &State) -> Position {
        let batch = Batch {
            sender: SenderId {
                name: "filter/test/0".into(),
                epoch: 1,
            },
            first_seq: 0,
            facts: Vec::new(),
            losses: Vec::new(),
            goodbye: false,
        };
        state.log.append(b"batch", batch).await.unwrap().after()
    }

    /// What is found at the `nth` look, and how often somebody looked.
    fn found_at(
        nth: usize,
    ) -> (
        Arc<AtomicUsize>,
        impl Fn(&SharedView) -> Result<Option<usize>, ReadError> + Clone + Send + 'static,
    ) {
        let looked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&looked);
        let look = move |_: &SharedView| {
            let looks = counter.fetch_add(1, Relaxed) + 1;
            Ok((looks >= nth).then_some(looks))
        };
        (looked, look)
    }
}
