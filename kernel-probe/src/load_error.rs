//! Why the programs do not run, in one sentence each.

use std::{error::Error as StdError, io};

use aya::{BtfError, EbpfError, programs::ProgramError};
use rustix::io::Errno;

use crate::{
    attach::AttachError,
    explain::{Explanation, explain},
    kernel_types::UNREADABLE,
    privileges::Held,
};

/// Why the programs do not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One process is followed, and no cgroup.
    #[error(
        "hooks need a cgroup v2 other than the root, and none was given; without hooks, handshakes and \
         accept waits are not seen, and what begins and ends within 5 s, such as a refused connect, is seen \
         only in a network namespace of its own: move the process into a cgroup of its own"
    )]
    NoCgroup,
    /// The process lacks these capabilities.
    #[error(
        "loading eBPF programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; \
         this process lacks {0}: start it as root, or give it these (AmbientCapabilities= of systemd)"
    )]
    Lacking(Held),
    /// The process may not load or attach programs.
    #[error(
        "the kernel did not permit it, though this process lacks no capability that it shows: a user \
         namespace, a seccomp filter or a security module forbids eBPF programs, and has to let bpf(2) \
         through; {}", chain(.0)
    )]
    NotPermitted(#[source] EbpfError),
    /// The kernel's verifier refused a program.
    #[error("this kernel's verifier rejected `{program}`: {}", in_words(why))]
    Refused {
        /// The program.
        program: &'static str,
        /// What the verifier wrote, explained.
        why: Box<Explanation>,
    },
    /// The kernel lacks what a map or a program needs.
    #[error("this kernel cannot run the programs, which need Linux 6.10 or later with BTF: {}", chain(.0))]
    Unsupported(#[source] EbpfError),
    /// The kernel's types cannot be read, by which programs of some kinds say what they are called for.
    #[error("{UNREADABLE}; {}", chain(.0))]
    NoTypes(#[source] EbpfError),
    /// The kernel's types have no such name.
    #[error("this kernel has no `{0}` to attach programs to: that takes a newer kernel")]
    NoHook(String),
    /// The kernel has no memory for the maps or the programs.
    #[error(
        "the kernel has no memory for the programs' maps; choose a smaller --ring-bytes, \
         or raise this process's memory limit: {}", chain(.0)
    )]
    OutOfMemory(#[source] EbpfError),
    /// The process may not have as many files open as there are maps and programs.
    #[error(
        "this process may not open enough files for the programs' maps: raise its limit (ulimit -n)"
    )]
    TooManyFiles(#[source] EbpfError),
    /// The object lacks a part that the loader knows: both were built apart.
    #[error("the eBPF object has no `{0}`: it is of another build than this program")]
    Incomplete(&'static str),
    /// The ring buffer cannot be polled.
    #[error("polling the ring buffer failed: {0}")]
    Events(#[source] io::Error),
    /// The kernel refused to attach a program to the cgroup.
    #[error("attaching `{program}` to the cgroup failed: {source}")]
    Attach {
        /// The program.
        program: &'static str,
        /// What the kernel answered.
        source: AttachError,
    },
}

// === impl LoadError ===

impl LoadError {
    /// Names capabilities that the process lacks as the reason: the verifier refuses some things only
    /// for lack of them, and says nothing of it.
    pub(crate) fn or_lack(self) -> Self {
        match Held::lacking_for_hooks() {
            Some(lacking) => Self::Lacking(lacking),
            None => self,
        }
    }
}

/// Returns `loaded`, with what the verifier wrote explained.
pub(crate) fn verify(
    program: &'static str,
    loaded: Result<(), ProgramError>,
) -> Result<(), LoadError> {
    match loaded {
        Ok(()) => Ok(()),
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) if !matches!(
            io_error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory
        ) || !verifier_log.to_string().is_empty() =>
        {
            let log = verifier_log.to_string();
            tracing::debug!(program, %log, "Refused program");
            let mut why = explain(&log);
            if why.verdict.is_empty() {
                why.verdict = io_error.to_string();
            }
            Err(LoadError::Refused {
                program,
                why: Box::new(why),
            })
        }
        Err(error) => Err(unsupported(error)),
    }
}

/// Names what the kernel refused: for lack of types, privileges or memory, or because it cannot do it.
pub(crate) fn unsupported(error: impl Into<EbpfError>) -> LoadError {
    let error = error.into();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(found) = cause {
        match of_types(found) {
            Some(BtfError::FileError { .. }) => return LoadError::NoTypes(error),
            Some(BtfError::UnknownBtfTypeName { type_name }) => {
                return LoadError::NoHook(type_name.clone());
            }
            Some(_) | None => {}
        }
        match found.downcast_ref().and_then(Errno::from_io_error) {
            Some(Errno::PERM | Errno::ACCESS) => return LoadError::NotPermitted(error),
            Some(Errno::NOMEM) => return LoadError::OutOfMemory(error),
            Some(Errno::MFILE | Errno::NFILE) => return LoadError::TooManyFiles(error),
            Some(_) | None => {}
        }
        cause = found.source();
    }
    LoadError::Unsupported(error)
}

/// Returns what `error` says of types; of itself, for a program's is not among its causes.
fn of_types<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a BtfError> {
    if let Some(ProgramError::Btf(error)) = error.downcast_ref() {
        Some(error)
    } else {
        error.downcast_ref()
    }
}

/// Returns the error and its causes, in one line; aya keeps the kernel's answer in the last.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
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

/// Returns what the verifier said, and what that means where it is known.
fn in_words(why: &Explanation) -> String {
    let verdict = &why.verdict;
    why.cause.map_or_else(
        || verdict.clone(),
        |cause| format!("{verdict}: {}; {}", cause.why, cause.remedy),
    )
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn a_refusal_says_what_the_verifier_means() {
        let refused = LoadError::Refused {
            program: "connections",
            why: Box::new(explain("invalid bpf_context access off=0 size=8")),
        };
        let said = refused.to_string();
        assert!(
            said.contains("`connections`: invalid bpf_context access off=0 size=8: the program")
        );
        assert_eq!(in_words(&explain("something new")), "something new");
    }

    #[test]
    fn a_lack_of_privileges_or_memory_is_told_from_a_lack_of_the_kernel() {
        let error = |errno| {
            unsupported(ProgramError::SyscallError(SyscallError {
                call: "bpf_prog_load",
                io_error: io::Error::from_raw_os_error(errno),
            }))
        };
        assert!(matches!(error(1), LoadError::NotPermitted(_)));
        let full = error(12);
        assert!(matches!(full, LoadError::OutOfMemory(_)));
        assert!(full.to_string().contains("--ring-bytes"));
        let many = error(24);
        assert!(matches!(many, LoadError::TooManyFiles(_)));
        assert!(many.to_string().contains("ulimit -n"));
        let no_file = BtfError::FileError {
            path: "/sys/kernel/btf/vmlinux".into(),
            error: io::Error::from_raw_os_error(2),
        };
        let untyped = unsupported(EbpfError::BtfError(no_file));
        assert!(matches!(untyped, LoadError::NoTypes(_)));
        assert!(untyped.to_string().contains("CONFIG_DEBUG_INFO_BTF"));
        let type_name = "btf_trace_tcp_send_reset".to_owned();
        let unnamed = unsupported(ProgramError::Btf(BtfError::UnknownBtfTypeName {
            type_name,
        }));
        assert!(unnamed.to_string().contains("`btf_trace_tcp_send_reset`"));
        let old = error(22);
        assert!(matches!(old, LoadError::Unsupported(_)));
        assert!(old.to_string().contains("Linux 6.10"));
    }
}
