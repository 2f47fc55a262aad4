//! What one part of the benchmark found: figures, and what stands beside them.

use std::{env, fs};

use anyhow::Context as _;
use syntrace_bench_report::{Figure, Report};
use syntrace_integration::{
    benchmarks::{Evidence, Sighting, Tool},
    paths,
};

/// Figures and evidence of one part, written when it is over.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    report: Report,
    evidence: Evidence,
}

impl Part {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            report: Report::new(name),
            evidence: Evidence::default(),
        }
    }

    /// Returns how many rounds to measure: `BENCH_ROUNDS`, or as many as the part wants.
    pub(crate) fn rounds(&self, wanted: usize) -> anyhow::Result<usize> {
        number("BENCH_ROUNDS", wanted)
    }

    /// Returns what the figures' names begin with.
    pub(crate) fn prefix(&self) -> &'static str {
        self.name
            .split_once('_')
            .map_or(self.name, |(first, _)| first)
    }

    /// Returns whether everything is to be measured, also what takes minutes: not with `BENCH_ROUNDS`.
    pub(crate) fn is_full(&self) -> bool {
        env::var_os("BENCH_ROUNDS").is_none()
    }

    /// Returns how long to go on: `BENCH_SECONDS`, or as long as the part wants.
    pub(crate) fn seconds(&self, wanted: usize) -> anyhow::Result<usize> {
        number("BENCH_SECONDS", wanted)
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.report.add(figure);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.evidence.notes.push(note.into());
    }

    pub(crate) fn tool(&mut self, tool: Tool) {
        self.evidence.tools.push(tool);
    }

    pub(crate) fn sighting(&mut self, sighting: Sighting) {
        self.evidence.sightings.push(sighting);
    }

    /// Writes `target/bench/<name>.json` and `target/bench/evidence/<name>.json`; returns the figures as a table, and
    /// whether all budgets are kept.
    pub(crate) fn write(self) -> anyhow::Result<(String, bool)> {
        let path = self.report.write().context("writing the figures")?;
        let folder = paths::root().join("target/bench/evidence");
        fs::create_dir_all(&folder)?;
        let name = path
            .file_name()
            .with_context(|| format!("{} has no name", self.name))?;
        fs::write(
            folder.join(name),
            serde_json::to_string_pretty(&self.evidence)?,
        )?;
        Ok((self.report.to_table(), self.report.passed()))
    }
}

fn number(variable: &str, otherwise: usize) -> anyhow::Result<usize> {
    match env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("reading {variable}")),
        Err(_) => Ok(otherwise),
    }
}
