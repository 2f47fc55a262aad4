//! The thread that enters other network namespaces, and keeps what that takes when the process has
//! given it up.
//!
//! It is asked for one thing alone: to open what is read of the namespace in which a process is. What
//! is opened there needs nobody inside.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{SurveyError, namespace::Watched};
use crate::privileges::{Held, give_up_all_but};

/// What the kernel calls the thread.
const NAME: &str = "namespaces";

/// The way to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Entrance {
    ask: Sender<Visit>,
}

/// A process in the namespace to be entered, and who waits for what is opened there.
struct Visit {
    process: u32,
    opened: Sender<Result<Watched, SurveyError>>,
}

// === impl Entrance ===

impl Entrance {
    /// Starts the thread, which gives up all but what is `needed`; in each namespace it calls `open`.
    ///
    /// # Errors
    ///
    /// Fails if there can be no other thread.
    pub(super) fn start(
        needed: Held,
        open: impl Fn() -> Result<Watched, SurveyError> + Send + 'static,
    ) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        let serve = move || match give_up_all_but(needed) {
            Ok(held) => {
                tracing::debug!(%held, thread = NAME, "Kept what entering namespaces takes");
                serve(&asked, open);
            }
            Err(error) => tracing::warn!(%error, thread = NAME, "Could not give up privileges"),
        };
        thread::Builder::new().name(NAME.to_owned()).spawn(serve)?;
        Ok(Self { ask })
    }

    /// Opens what is read of the namespace in which `process` is.
    ///
    /// # Errors
    ///
    /// [`SurveyError`] if it cannot be entered, or not be read.
    pub(super) fn visit(&self, process: u32) -> Result<Watched, SurveyError> {
        let (opened, wait) = mpsc::channel();
        // Without the thread nobody answers.
        drop(self.ask.send(Visit { process, opened }));
        wait.recv().unwrap_or_else(|_gone| {
            Err(SurveyError::Enter {
                process,
                source: io::ErrorKind::BrokenPipe.into(),
            })
        })
    }
}

fn serve(asked: &Receiver<Visit>, open: impl Fn() -> Result<Watched, SurveyError>) {
    for Visit { process, opened } in asked {
        let watched = enter(process)
            .map_err(|source| SurveyError::Enter { process, source })
            .and_then(|()| open());
        // Who asked may be gone.
        drop(opened.send(watched));
    }
}

/// Moves this thread into the network namespace of `process`.
///
/// # Errors
///
/// Fails if the process is gone, or the kernel does not let this thread in.
pub(crate) fn enter(process: u32) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{process}/ns/net"))?;
    let kind = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(namespace.as_fd(), kind)?)
}
