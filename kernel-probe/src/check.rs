//! Says what this kernel and this process allow, by trying. Attaches nothing, pins nothing.

use std::{fmt, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    diag::{Destroyed, DiagError, Dump, States},
    loader::Loaded,
    pins::assert_bpffs,
    privileges::Held,
    process::cgroup2,
    rung::{Capability, Ladder},
};

/// What was found: as a table for a person ([`fmt::Display`]), or as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    kernel: String,
    privileges: String,
    cgroup2: Option<String>,
    programs: Vec<(String, u32)>,
    ladder: Ladder,
}

/// Tries everything: loads and verifies the programs, asks for the table of sockets, looks for a
/// bpffs at `bpffs`. What an operator orders, such as tags, counts as ordered.
#[must_use]
pub fn check(bpffs: &Path) -> Report {
    let (mut ladder, programs) = match Loaded::load(None, None, &[]) {
        Ok(loaded) => {
            let mut ladder = loaded.ladder.clone();
            note(&mut ladder, Capability::Backfill, backfill(&loaded));
            let programs = loaded.verified_instructions().into_iter();
            let programs = programs.map(|(name, count)| (name.to_owned(), count));
            let mut programs: Vec<_> = programs.collect();
            programs.sort();
            (ladder, programs)
        }
        Err(error) => (Ladder::without_hooks(&error.to_string()), Vec::new()),
    };
    for (capability, tried) in [
        (Capability::Listeners, listeners()),
        (Capability::Poll, Destroyed::open().map(drop)),
    ] {
        note(
            &mut ladder,
            capability,
            tried.map_err(|error| error.to_string()),
        );
    }
    let pinning = assert_bpffs(bpffs).map_err(|error| error.to_string());
    note(&mut ladder, Capability::TakeOver, pinning);
    let cgroup2 = cgroup2();
    if cgroup2.is_none() {
        ladder.lose_hooks("cgroup v2 is not mounted");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.unwrap_or_else(|error| format!("unknown: {error}"));
    Report {
        kernel: release.trim_end().to_owned(),
        privileges: Held::of(None).map_or_else(|error| error.to_string(), |held| held.to_string()),
        cgroup2,
        programs,
        ladder,
    }
}

fn backfill(loaded: &Loaded) -> Result<(), String> {
    let followed = loaded.followed().map_err(|error| error.to_string())?;
    Dump::open()
        .and_then(|mut dump| dump.sockets_without(followed.beside, States::CONNECTED))
        .map(drop)
        .map_err(|error| error.to_string())
}

fn listeners() -> Result<(), DiagError> {
    Dump::open()?.sockets(States::LISTENING).map(drop)
}

fn note(ladder: &mut Ladder, capability: Capability, tried: Result<(), String>) {
    match tried {
        // What the programs lack stays lacking.
        Ok(()) if capability == Capability::Backfill => ladder.regain(capability),
        Ok(()) => {}
        Err(reason) => ladder.lose(capability, &reason),
    }
}

// === impl Report ===

impl Report {
    /// Returns the same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let capability = |capability: Capability| {
            let reason = self.ladder.reason(capability);
            json!({ "name": capability.to_string(), "on": reason.is_none(), "reason": reason })
        };
        let program =
            |(name, count): &(String, u32)| json!({ "name": name, "instructions": count });
        json!({
            "kernel": self.kernel,
            "privileges": self.privileges,
            "cgroup2": self.cgroup2,
            "rung": self.ladder.name(),
            "capabilities": Capability::ALL.map(capability),
            "programs": self.programs.iter().map(program).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cgroup2 = self.cgroup2.as_deref().unwrap_or("not mounted");
        writeln!(f, "kernel        {}", self.kernel)?;
        writeln!(f, "privileges    {}", self.privileges)?;
        writeln!(f, "cgroup v2     {cgroup2}")?;
        writeln!(f, "rung          {}", self.ladder.name())?;
        for capability in Capability::ALL {
            let name = capability.to_string();
            match self.ladder.reason(capability) {
                None => writeln!(f, "{name:<13} yes")?,
                Some(reason) => writeln!(f, "{name:<13} no: {reason}")?,
            }
        }
        for (name, count) in &self.programs {
            writeln!(
                f,
                "program       {name}: the verifier looked at {count} instructions"
            )?;
        }
        Ok(())
    }
}
