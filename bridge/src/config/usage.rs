//! What is printed instead of running: the help that was requested, or one line about what is wrong.

use std::path::Path;

use clap::error::ErrorKind;

/// A command line that does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// This text was requested.
    Asked(String),
    /// One line: the key, what was found, what was expected.
    Wrong(String),
}

impl Usage {
    /// Says what is wrong.
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self::Wrong(format!("error: {}", what.into()))
    }

    /// Says that it is wrong in a file.
    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Asked(text) => Self::Asked(text),
            Self::Wrong(line) => Self::Wrong(format!("{line}, in {}", path.display())),
        }
    }
}

impl From<clap::Error> for Usage {
    /// Keeps what clap says up to its first empty line, as one line.
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            return Self::Asked(text);
        }
        let lines = text.lines().take_while(|line| !line.is_empty());
        Self::Wrong(lines.map(str::trim).collect::<Vec<_>>().join(" "))
    }
}
