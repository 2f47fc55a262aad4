//! Says what this kernel and this process allow, by trying; where something is missing, what is lost
//! thereby and what to do. Attaches nothing, pins nothing.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process, thread,
};

use serde_json::{Value, json};

use crate::{
    diag::{Destroyed, DiagError, Dump, States},
    loader::Loaded,
    pins::assert_bpffs,
    privileges::Held,
    process::cgroup2,
    rung::{Capability, Ladder},
    survey::enter,
};

/// What was found: as a table for a person ([`fmt::Display`]), or as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    kernel: String,
    privileges: String,
    cgroup2: Option<PathBuf>,
    programs: Vec<(String, u32)>,
    ladder: Ladder,
    limits: Vec<Limit>,
}

/// What capabilities that are on leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    of: &'static [Capability],
    /// What is left out, why, and what to do.
    reason: String,
}

/// What reads the kernel's table of sockets, which each network namespace has for itself.
const READ_THE_TABLE: &[Capability] = &[
    Capability::Backfill,
    Capability::Listeners,
    Capability::Poll,
];

/// Tries everything: loads and verifies the programs, asks for the table of sockets, looks for a
/// bpffs at `bpffs`. What an operator orders, such as tags, counts as ordered.
#[must_use]
pub fn check(bpffs: &Path) -> Report {
    let mut limits = Vec::new();
    let (mut ladder, programs) = match Loaded::load(None, None, &[]) {
        Ok(loaded) => {
            let mut ladder = loaded.ladder.clone();
            note(&mut ladder, Capability::Backfill, backfill(&loaded));
            limits.extend(loaded.lacks_older().map(|reason| Limit {
                of: &[Capability::Backfill],
                reason: format!("listeners older than the probe see no tags: {reason}"),
            }));
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
    limits.extend(elsewhere().err().map(|reason| Limit {
        of: READ_THE_TABLE,
        reason,
    }));
    let pinning = assert_bpffs(bpffs).map_err(|error| error.to_string());
    note(&mut ladder, Capability::TakeOver, pinning);
    let cgroup2 = cgroup2();
    if let Err(error) = &cgroup2 {
        ladder.lose_hooks(&error.to_string());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.unwrap_or_else(|error| format!("unknown: {error}"));
    Report {
        kernel: release.trim_end().to_owned(),
        privileges: Held::of(None).map_or_else(|error| error.to_string(), |held| held.to_string()),
        cgroup2: cgroup2.ok(),
        programs,
        ladder,
        limits,
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

/// Says what keeps this process from entering other network namespaces than its own.
///
/// Its own is what it tries to enter, on a thread: whose the others will be is not known.
fn elsewhere() -> Result<(), String> {
    let why = match Held::lacking_to_enter() {
        Some(lacking) => format!("this process lacks {lacking}"),
        None => match thread::spawn(|| enter(process::id())).join() {
            Ok(Err(error)) => format!("the kernel did not permit it ({error})"),
            Ok(Ok(())) | Err(_) => return Ok(()),
        },
    };
    Err(format!(
        "only in this process's own network namespace: entering others takes CAP_SYS_PTRACE and \
         CAP_SYS_ADMIN, and {why}; start it as root, or in the namespace of the followed processes"
    ))
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
            json!({
                "name": capability.to_string(),
                "on": reason.is_none(),
                "reason": reason,
                "lost": reason.map(|_| capability.loss()),
                "limits": self.limits(capability).collect::<Vec<_>>(),
            })
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

    /// Returns what `capability` leaves out though it is on.
    fn limits(&self, capability: Capability) -> impl Iterator<Item = &str> {
        let is_on = self.ladder.reason(capability).is_none();
        let limits = self.limits.iter();
        let limits = limits.filter(move |limit| is_on && limit.of.contains(&capability));
        limits.map(|limit| limit.reason.as_str())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounted = self.cgroup2.as_deref().map(Path::to_string_lossy);
        let cgroup2 = mounted.as_deref().unwrap_or("not mounted");
        writeln!(f, "kernel        {}", self.kernel)?;
        writeln!(f, "privileges    {}", self.privileges)?;
        writeln!(f, "cgroup v2     {cgroup2}")?;
        writeln!(f, "rung          {}", self.ladder.name())?;
        for capability in Capability::ALL {
            let name = capability.to_string();
            if let Some(reason) = self.ladder.reason(capability) {
                writeln!(f, "{name:<13} no: {reason}")?;
                writeln!(f, "{:<13} lost: {}", "", capability.loss())?;
                continue;
            }
            writeln!(f, "{name:<13} yes")?;
            for limit in self.limits(capability) {
                writeln!(f, "{:<13} {limit}", "")?;
            }
        }
        for (name, count) in &self.programs {
            writeln!(
                f,
                "program       {name}: the verifier processed {count} instructions"
            )?;
        }
        Ok(())
    }
}
