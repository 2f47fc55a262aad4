//! Runs `syntrace`: to its end, or reading along.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
};

use crate::support::DEADLINE;

/// What a command wrote, and how it ended.
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

/// A command that goes on; killed when dropped.
pub(crate) struct Lines {
    child: Child,
    lines: Receiver<String>,
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    let ended = command(arguments).output().unwrap();
    Said {
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
        code: ended.status.code(),
    }
}

impl Lines {
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = out.lines().map_while(Result::ok);
            lines
                .try_for_each(|line| sender.send(line))
                .unwrap_or_default();
        });
        Self { child, lines }
    }

    /// The ids of the next records, which must come soon.
    pub(crate) fn next_ids(&mut self, count: usize) -> Vec<String> {
        let next = || {
            let line = self.lines.recv_timeout(DEADLINE).unwrap();
            let record: serde_json::Value = serde_json::from_str(&line).unwrap();
            record["id"].as_str().unwrap().to_owned()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// Ends it; what it wrote on standard error.
    pub(crate) fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut said = String::new();
        let mut error = self.child.stderr.take().unwrap();
        error.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace"));
    command.args(arguments).env("NO_COLOR", "1");
    for name in ["BRIDGE", "TOKEN_FILE", "CA", "CERT", "KEY"] {
        command.env_remove(format!("SYNTRACE_{name}"));
    }
    command
}
