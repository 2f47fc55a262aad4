//! What each program costs before it runs: looked at by the verifier, translated, kept in maps.
//!
//! Exact figures of this kernel, so that a change which makes them grow is seen. What a run costs is
//! measured by `make bench-probe`.

use std::{fs, os::fd::AsFd as _, os::fd::AsRawFd as _};

use aya::maps::MapData;
use serde_json::{Map as Object, Value, json};

use crate::{load_error::LoadError, loader::Loaded};

/// How much a figure may grow before it is a change to be noticed, in percent.
const GROWTH: u64 = 10;

/// Where each program is attached, and the first kernel that allows what it does.
const ATTACHED: [(&str, &str, &str); 6] = [
    ("connections", "cgroup/sock_ops", "6.10"),
    ("tags", "cgroup/sock_ops", "6.10"),
    ("accepts_ipv4", "cgroup/getpeername4", "6.10"),
    ("accepts_ipv6", "cgroup/getpeername6", "6.10"),
    ("resets", "tp_btf/tcp_send_reset", "6.10"),
    ("older_listeners", "iter/tcp", "6.12"),
];

/// The figures of all programs and maps, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest(Value);

/// A manifest that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The programs cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The text is no manifest.
    #[error("expected a manifest as JSON: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The text has no figures.
    #[error("expected a manifest with figures of programs and maps")]
    Empty,
}

// === impl Manifest ===

impl Manifest {
    /// Loads the programs, and asks the kernel what they take.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Load`] explains what the kernel or the process lacks.
    pub fn of_this_kernel() -> Result<Self, ManifestError> {
        let loaded = Loaded::load(None, None, &[])?;
        let mut programs = Object::new();
        for (name, info) in loaded.programs() {
            let attached = ATTACHED.iter().find(|(program, ..)| *program == name);
            let (hook, kernel) =
                attached.map_or(("unknown", "unknown"), |&(_, hook, kernel)| (hook, kernel));
            programs.insert(
                name.to_owned(),
                json!({
                    "hook": hook,
                    "minimum_kernel": kernel,
                    "instructions": info.verified_instruction_count(),
                    "jited_bytes": info.size_jitted(),
                }),
            );
        }
        let maps = loaded.maps();
        let maps = maps.map(|(name, map)| (name.to_owned(), json!({ "bytes": locked_bytes(map) })));
        Ok(Self(json!({
            "programs": programs,
            "maps": maps.collect::<Object<String, Value>>(),
        })))
    }

    /// Reads a manifest that was printed.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Malformed`] or [`ManifestError::Empty`] if it is something else.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Value = serde_json::from_str(text)?;
        let entries = |kind| manifest.get(kind).and_then(Value::as_object);
        match (entries("programs"), entries("maps")) {
            (Some(programs), Some(_)) if !programs.is_empty() => Ok(Self(manifest)),
            _ => Err(ManifestError::Empty),
        }
    }

    /// Returns one line for each instruction count and map that is new, or more than 10 % above
    /// what `kept` says.
    #[must_use]
    pub fn growth_since(&self, kept: &Self) -> Vec<String> {
        let figures = [("programs", "instructions"), ("maps", "bytes")];
        let grown = figures.iter().flat_map(|(kind, figure)| {
            let entries = self.0.get(kind).and_then(Value::as_object);
            entries
                .into_iter()
                .flatten()
                .filter_map(move |(name, entry)| {
                    let now = entry.get(figure)?.as_u64()?;
                    let before = kept
                        .0
                        .get(kind)?
                        .get(name)
                        .and_then(|entry| entry.get(figure)?.as_u64());
                    match before {
                        None => Some(format!("{name}: {now} {figure}, new")),
                        Some(before) if now * 100 > before * (100 + GROWTH) => {
                            Some(format!("{name}: {now} {figure}, {before} before"))
                        }
                        Some(_) => None,
                    }
                })
        });
        grown.collect()
    }
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// What the kernel keeps for a map, as it accounts for it itself.
fn locked_bytes(map: &MapData) -> Option<u64> {
    let fd = map.fd().as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grew_by_more_than_a_tenth_is_told() {
        let kept = manifest(100, 1000);
        assert!(manifest(110, 1100).growth_since(&kept).is_empty());
        assert!(manifest(1, 1).growth_since(&kept).is_empty());
        assert_eq!(
            manifest(111, 1101).growth_since(&kept),
            [
                "connections: 111 instructions, 100 before",
                "EVENTS: 1101 bytes, 1000 before"
            ]
        );
        let others = Manifest::parse(r#"{"programs":{"other":{}},"maps":{}}"#).unwrap();
        assert_eq!(kept.growth_since(&others).len(), 2);
        assert!(matches!(
            Manifest::parse("{"),
            Err(ManifestError::Malformed(_))
        ));
        for text in [
            "{}",
            "[]",
            r#"{"programs":{},"maps":{}}"#,
            r#"{"programs":{"a":{}}}"#,
        ] {
            assert!(
                matches!(Manifest::parse(text), Err(ManifestError::Empty)),
                "{text}"
            );
        }
    }

    fn manifest(instructions: u64, bytes: u64) -> Manifest {
        Manifest(json!({
            "programs": { "connections": { "instructions": instructions } },
            "maps": { "EVENTS": { "bytes": bytes } },
        }))
    }
}
