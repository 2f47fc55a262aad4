//! The kernel's statistics of eBPF programs (`bpf_stats`): they count runs, and make each run slower.

use std::fs;

use anyhow::Context as _;

const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel counts runs while this lives.
#[derive(Debug)]
pub(crate) struct Statistics {
    before: String,
}

impl Statistics {
    pub(crate) fn on() -> anyhow::Result<Self> {
        let before = setting()?;
        fs::write(SETTING, "1")?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // Nothing is left to try, and counting harms nobody.
        fs::write(SETTING, &self.before).unwrap_or_default();
    }
}

/// Makes sure that nothing is counted, by whomever it was turned on: before time is measured, and after.
pub(crate) fn ensure_off() -> anyhow::Result<()> {
    let setting = setting()?;
    anyhow::ensure!(
        setting.trim() == "0",
        "{SETTING} is {}: every eBPF program is slower than it is",
        setting.trim()
    );
    Ok(())
}

fn setting() -> anyhow::Result<String> {
    fs::read_to_string(SETTING).with_context(|| format!("reading {SETTING}"))
}
