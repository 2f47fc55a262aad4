//! Loads, verifies and attaches the programs; dropping what it returns detaches them.
//!
//! Nothing is pinned: the programs live as long as the process.

use std::{error::Error as StdError, fs::File, io};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, LpmTrie, MapData, MapError, PerCpuArray, RingBuf},
    programs::{CgroupAttachMode, CgroupSockopt, ProgramError, SockOps},
};
use syntrace_ebpf_common::CONFIG_LEN;

use crate::{
    network::Network,
    offsets::Offsets,
    rung::{Capability, Ladder},
};

/// The object that `build.rs` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/syntrace-ebpf"));

/// The programs' names, as `bpftool prog` shows them.
const CONNECTIONS: &str = "connections";
const ACCEPTED_SOCKETS: &str = "accepted_sockets";

/// The slot of the `CONFIG` map, as raw bytes: its type belongs to another package.
pub(crate) type ConfigMap = Array<MapData, [u8; CONFIG_LEN]>;

/// Why the programs do not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The process may not load or attach programs.
    #[error("loading eBPF programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    NotPermitted(#[source] EbpfError),
    /// The kernel's verifier refused a program.
    #[error("the verifier of this kernel refused `{program}`: {verdict}")]
    Refused {
        /// The program.
        program: &'static str,
        /// The last line that the verifier wrote.
        verdict: String,
    },
    /// The kernel lacks what a map or a program needs.
    #[error("this kernel cannot hold the programs, which need Linux 6.10 with BTF: {}", chain(.0))]
    Unsupported(#[source] EbpfError),
    /// The object lacks a part that the loader knows: both were built apart.
    #[error("the eBPF object has no `{0}`")]
    Incomplete(&'static str),
    /// The ring buffer cannot be polled.
    #[error("polling the ring buffer failed: {0}")]
    Events(#[source] io::Error),
    /// The kernel refused to attach a program to the cgroup.
    #[error("attaching `{program}` to the cgroup failed: {}", chain(source))]
    Attach {
        /// The program.
        program: &'static str,
        /// What the kernel answered.
        source: ProgramError,
    },
}

/// Programs that the verifier accepted, with their maps.
#[derive(Debug)]
pub(crate) struct Loaded {
    ebpf: Ebpf,
    /// What is on, as far as the programs decide it.
    pub(crate) ladder: Ladder,
}

// === impl Loaded ===

impl Loaded {
    /// Loads all programs and has them verified.
    ///
    /// A program that only one capability needs may fail: then the ladder says so.
    ///
    /// # Kernel
    ///
    /// Linux 6.10 (`bpf_get_current_pid_tgid` in every program type), cgroup v2, BTF; CAP_BPF,
    /// CAP_NET_ADMIN and CAP_PERFMON.
    ///
    /// # Errors
    ///
    /// [`LoadError`] explains what the kernel or the process lacks.
    pub(crate) fn load() -> Result<Self, LoadError> {
        let offsets = Offsets::read();
        match Self::load_with(offsets) {
            Err(LoadError::Refused { verdict, .. }) if offsets != Offsets::default() => {
                tracing::debug!(%verdict, "Loading again without kernel fields");
                Self::load_with(Offsets::default())
            }
            loaded => loaded,
        }
    }

    fn load_with(offsets: Offsets) -> Result<Self, LoadError> {
        let mut ladder = Ladder::of_this_version();
        if offsets.sk_err.is_none() {
            ladder.lose(
                Capability::CloseReason,
                "this kernel's types do not show `sk_err`",
            );
        }
        let mut ebpf = EbpfLoader::new()
            // Nothing in the object is relocated against the kernel's types: not parsed.
            .btf(None)
            .override_global("SK_ERR_OFFSET", &offsets.sk_err.unwrap_or(0), true)
            .override_global("SKC_FLAGS_OFFSET", &offsets.skc_flags.unwrap_or(0), true)
            .load(OBJECT)
            .map_err(explain)?;
        verify(CONNECTIONS, sock_ops(&mut ebpf)?.load())?;
        if let Err(error) = verify(ACCEPTED_SOCKETS, sockopt(&mut ebpf)?.load()) {
            ladder.lose(Capability::AcceptWait, &error.to_string());
        }
        let loaded = Self { ebpf, ladder };
        for (program, instructions) in loaded.verified_instructions() {
            tracing::debug!(program, instructions, "Verified program");
        }
        Ok(loaded)
    }

    /// Returns each program's name and how many instructions the verifier looked at.
    pub(crate) fn verified_instructions(&self) -> Vec<(&str, u32)> {
        let count = |(name, program): (_, &aya::programs::Program)| {
            Some((name, program.info().ok()?.verified_instruction_count()?))
        };
        self.ebpf.programs().filter_map(count).collect()
    }

    /// Fills in which networks are tagged and believed.
    ///
    /// # Errors
    ///
    /// Fails if a map is missing or full.
    pub(crate) fn order(
        &mut self,
        tag_to: &[Network],
        believe_from: &[Network],
    ) -> Result<(), LoadError> {
        for (name, networks) in [("TAG_TO", tag_to), ("BELIEVE_FROM", believe_from)] {
            let map = self.ebpf.map_mut(name).ok_or(LoadError::Incomplete(name))?;
            let mut map: LpmTrie<_, [u8; 16], u8> = map.try_into().map_err(unsupported)?;
            for network in networks {
                map.insert(&network.key(), 1, 0).map_err(unsupported)?;
            }
        }
        Ok(())
    }

    /// Takes the slot of orders out.
    pub(crate) fn take_config(&mut self) -> Result<ConfigMap, LoadError> {
        self.take("CONFIG")
    }

    /// Takes the ring of snapshots out.
    pub(crate) fn take_events(&mut self) -> Result<RingBuf<MapData>, LoadError> {
        self.take("EVENTS")
    }

    /// Takes the counters out.
    pub(crate) fn take_counters(&mut self) -> Result<PerCpuArray<MapData, u64>, LoadError> {
        self.take("COUNTERS")
    }

    fn take<M: TryFrom<aya::maps::Map, Error = MapError>>(
        &mut self,
        name: &'static str,
    ) -> Result<M, LoadError> {
        let map = self
            .ebpf
            .take_map(name)
            .ok_or(LoadError::Incomplete(name))?;
        M::try_from(map).map_err(unsupported)
    }

    /// Attaches the programs to `cgroup`, beside those of others.
    ///
    /// # Errors
    ///
    /// [`LoadError::Attach`] if the kernel refuses the first; the second may fail, then the
    /// ladder says so.
    pub(crate) fn attach(&mut self, cgroup: &File) -> Result<(), LoadError> {
        // To the kernel, a link on a cgroup always stands beside others, and asking for it by a
        // flag is an error (`cgroup_bpf_link_attach`).
        let mode = CgroupAttachMode::Single;
        sock_ops(&mut self.ebpf)?
            .attach(cgroup, mode)
            .map_err(|source| LoadError::Attach {
                program: CONNECTIONS,
                source,
            })?;
        if self.ladder.reason(Capability::AcceptWait).is_none()
            && let Err(error) = sockopt(&mut self.ebpf)?.attach(cgroup, mode)
        {
            self.ladder.lose(Capability::AcceptWait, &chain(&error));
        }
        Ok(())
    }
}

fn sock_ops(ebpf: &mut Ebpf) -> Result<&mut SockOps, LoadError> {
    let program = ebpf
        .program_mut(CONNECTIONS)
        .ok_or(LoadError::Incomplete(CONNECTIONS))?;
    program.try_into().map_err(unsupported)
}

fn sockopt(ebpf: &mut Ebpf) -> Result<&mut CgroupSockopt, LoadError> {
    let program = ebpf
        .program_mut(ACCEPTED_SOCKETS)
        .ok_or(LoadError::Incomplete(ACCEPTED_SOCKETS))?;
    program.try_into().map_err(unsupported)
}

fn verify(program: &'static str, loaded: Result<(), ProgramError>) -> Result<(), LoadError> {
    match loaded {
        Ok(()) => Ok(()),
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) if io_error.kind() != io::ErrorKind::PermissionDenied
            || !verifier_log.to_string().is_empty() =>
        {
            let log = verifier_log.to_string();
            tracing::debug!(program, %log, "Refused program");
            Err(LoadError::Refused {
                program,
                verdict: verdict(&log, &io_error),
            })
        }
        Err(error) => Err(explain(error.into())),
    }
}

/// Returns the line in which the verifier says what it refuses: the last but its statistics.
fn verdict(log: &str, io_error: &io::Error) -> String {
    let statistics = ["processed ", "verification time", "stack depth"];
    log.lines()
        .rev()
        .find(|line| !line.is_empty() && !statistics.iter().any(|prefix| line.starts_with(prefix)))
        .map_or_else(|| io_error.to_string(), str::to_owned)
}

fn unsupported(error: impl Into<EbpfError>) -> LoadError {
    explain(error.into())
}

/// Returns the error and its causes, in one line; aya keeps the kernel's answer in the last.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let found_text = found.to_string();
        if !line.ends_with(&found_text) {
            line = format!("{line}: {found_text}");
        }
        cause = found.source();
    }
    line
}

fn explain(error: EbpfError) -> LoadError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(found) = cause {
        let denied = found
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if denied {
            return LoadError::NotPermitted(error);
        }
        cause = found.source();
    }
    LoadError::Unsupported(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_last_line_before_the_statistics() {
        let log = "0: R1=ctx()\ninvalid bpf_context access off=0 size=8\nprocessed 3 insns\n";
        let error = io::Error::from_raw_os_error(13);
        assert_eq!(
            verdict(log, &error),
            "invalid bpf_context access off=0 size=8"
        );
        assert_eq!(verdict("", &error), error.to_string());
    }
}
