//! A verifier's log in plain words: where it stopped, why, and what helps.
//!
//! A pure function over text and a table of causes; what is in no entry is quoted, never guessed.

use std::fmt;

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The program, where the log names it.
    pub program: Option<String>,
    /// The instruction at which the verifier stopped, as it prints it.
    pub instruction: Option<String>,
    /// The source line that the instruction was compiled from, where the program has line numbers.
    pub source: Option<String>,
    /// The sentence in which the verifier refuses.
    pub verdict: String,
    /// What that means, and what helps; `None` where the table does not know it.
    pub cause: Option<Cause>,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Why the program is refused.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Words of the verdict by which it is recognised.
    words: &'static [&'static str],
}

/// The causes, the most special first.
const CAUSES: &[Cause] = &[
    Cause {
        words: &["invalid bpf_context access"],
        why: "the program reads or writes a field of its context at an offset or width that this \
              program type does not allow",
        remedy: "read the field alone and at its own width: the compiler merges neighbouring reads \
                 unless they are volatile",
    },
    Cause {
        words: &["!read_ok"],
        why: "a register is read that nothing was written to on this path; R0 is the return value, \
              and a call to a helper destroys R1 to R5",
        remedy: "give the value on every path that leads here; keep what a call destroys in R6 to R9",
    },
    Cause {
        words: &["invalid mem access", "_or_null"],
        why: "a pointer is followed that may be null",
        remedy: "compare it with null between the call that returned it and its use",
    },
    Cause {
        words: &["invalid mem access", "scalar"],
        why: "a number is followed as if it were a pointer; a pointer that was stored or computed \
              may have become a number to the verifier",
        remedy: "keep the pointer that the helper returned, or read by a probe-read helper",
    },
    Cause {
        words: &["pointer", "prohibited"],
        why: "an arithmetic operation is not allowed on a pointer",
        remedy: "add only bounded numbers to pointers",
    },
    Cause {
        words: &["invalid", "stack"],
        why: "the stack is used outside of its 512 bytes, or where it was not written",
        remedy: "keep large values in a map, and initialise what is read",
    },
    Cause {
        words: &["combined stack size"],
        why: "the functions that call each other use more than 512 bytes of stack together",
        remedy: "inline less, or keep large values in a map",
    },
    Cause {
        words: &["outside of the allowed memory range"],
        why: "memory is used beyond what the pointer is known to have",
        remedy: "compare the offset with a constant bound right before the access",
    },
    Cause {
        words: &["min value is negative"],
        why: "an offset or a length may be negative as far as the verifier knows",
        remedy: "use an unsigned number, and bound it on both sides",
    },
    Cause {
        words: &["infinite loop detected"],
        why: "a loop comes round with nothing changed that the verifier can see",
        remedy: "count to a constant bound",
    },
    Cause {
        words: &["back-edge"],
        why: "this kernel allows no loop here",
        remedy: "unroll the loop, or use the helper bpf_loop",
    },
    Cause {
        words: &["too large"],
        why: "the verifier looked at its limit of instructions, over all paths, without an end",
        remedy: "branch less inside loops, or split the program",
    },
    Cause {
        words: &["too many jumps"],
        why: "the program has more branches on one path than the verifier remembers",
        remedy: "branch less, or split the program",
    },
    Cause {
        words: &["cannot use helper"],
        why: "this kernel does not allow the helper in programs of this type, or not without \
              CAP_PERFMON or a licence compatible with the GPL",
        remedy: "raise the kernel to the version that allows it, or turn off what needs it",
    },
    Cause {
        words: &["unknown func"],
        why: "this kernel does not have the helper, or not for programs of this type",
        remedy: "raise the kernel to the version that has it, or turn off what needs it",
    },
    Cause {
        words: &["invalid func"],
        why: "this kernel has no helper of that number",
        remedy: "raise the kernel to the version that has it, or turn off what needs it",
    },
    Cause {
        words: &["jump out of range"],
        why: "a jump leads out of the program",
        remedy: "build the object anew: it is damaged, or was linked wrongly",
    },
    Cause {
        words: &["unreachable insn"],
        why: "there are instructions that nothing leads to",
        remedy: "build the object anew with optimisation: it drops them",
    },
    Cause {
        words: &["last insn is not"],
        why: "the program does not end with an exit",
        remedy: "build the object anew: it is damaged, or was linked wrongly",
    },
    Cause {
        words: &["Unreleased reference"],
        why: "a reference that a helper gave is not given back on every path",
        remedy: "call the release helper before each return",
    },
    Cause {
        words: &["unknown opcode"],
        why: "the program uses an instruction that this kernel does not know",
        remedy: "build the object for an older instruction set (`-C target-cpu=v2`), or raise the kernel",
    },
];

/// What follows the verdict.
const STATISTICS: [&str; 6] = [
    "processed ",
    "verification time",
    "stack depth",
    "cur state:",
    "old state:",
    "-- END",
];

/// Explains `log`.
#[must_use]
pub fn explain(log: &str) -> Explanation {
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    let is_verdict = |line: &&&str| {
        !line.is_empty() && !STATISTICS.iter().any(|prefix| line.starts_with(prefix))
    };
    let verdict = lines.iter().rev().find(is_verdict).copied();
    let verdict = verdict.unwrap_or_default();
    let last = |is_meant: fn(&str) -> bool| {
        let mut found = lines.iter().rev().filter(|line| is_meant(line));
        found.next().map(|line| (*line).to_owned())
    };
    Explanation {
        program: program(&lines),
        instruction: last(is_instruction),
        source: last(is_source).map(|line| line.trim_start_matches("; ").to_owned()),
        cause: cause(verdict),
        verdict: verdict.to_owned(),
    }
}

fn cause(verdict: &str) -> Option<Cause> {
    let means = |cause: &&Cause| cause.words.iter().all(|word| verdict.contains(word));
    CAUSES.iter().find(means).copied()
}

/// An instruction is printed as its number, its operation code, and its text.
fn is_instruction(line: &str) -> bool {
    line.split_once(": (").is_some_and(|(number, _)| {
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

fn is_source(line: &str) -> bool {
    line.starts_with("; ")
}

/// Loaders name the program before its log.
fn program(lines: &[&str]) -> Option<String> {
    let quoted = |line: &str, before: &str, after: char| {
        let (_, rest) = line.split_once(before)?;
        let (name, _) = rest.split_once(after)?;
        Some(name.to_owned())
    };
    lines
        .iter()
        .find_map(|line| quoted(line, "prog '", '\'').or_else(|| quoted(line, "program `", '`')))
}

// === impl Explanation ===

impl Explanation {
    /// Returns whether the text was a verifier's log at all: it names a program, an instruction, or
    /// a cause that is known.
    #[must_use]
    pub const fn is_of_a_log(&self) -> bool {
        self.program.is_some() || self.instruction.is_some() || self.cause.is_some()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("program", self.program.as_deref()),
            ("instruction", self.instruction.as_deref()),
            ("source", self.source.as_deref()),
            ("verdict", Some(self.verdict.as_str())),
            ("cause", self.cause.map(|cause| cause.why)),
            ("remedy", self.cause.map(|cause| cause.remedy)),
        ];
        for (name, part) in parts {
            writeln!(f, "{name:<12} {}", part.unwrap_or("unknown"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
libbpf: prog 'connections': BPF program load failed: Permission denied
0: R1=ctx() R10=fp0
; let family = ops.family; @ context.rs:42
0: (79) r0 = *(u64 *)(r1 +20)
invalid bpf_context access off=20 size=8
processed 1 insns (limit 1000000) max_states_per_insn 0
";

    #[test]
    fn a_log_tells_program_instruction_source_cause_and_remedy() {
        let found = explain(LOG);
        assert_eq!(found.program.as_deref(), Some("connections"));
        assert_eq!(
            found.instruction.as_deref(),
            Some("0: (79) r0 = *(u64 *)(r1 +20)")
        );
        assert_eq!(
            found.source.as_deref(),
            Some("let family = ops.family; @ context.rs:42")
        );
        assert_eq!(found.verdict, "invalid bpf_context access off=20 size=8");
        assert!(found.cause.unwrap().remedy.contains("volatile"));
        assert!(
            found
                .to_string()
                .contains("remedy       read the field alone")
        );
    }

    #[test]
    fn what_the_table_does_not_know_is_quoted() {
        let found = explain("something new\n\nprocessed 3 insns");
        assert_eq!(found.verdict, "something new");
        assert_eq!(found.cause, None);
        assert_eq!(explain("").verdict, "");
    }

    #[test]
    fn only_a_log_is_taken_for_one() {
        assert!(explain(LOG).is_of_a_log());
        assert!(explain("R0 !read_ok").is_of_a_log());
        assert!(!explain("").is_of_a_log());
        assert!(!explain("127.0.0.1 localhost\n").is_of_a_log());
    }

    #[test]
    fn each_entry_is_found_by_its_own_words() {
        for cause in CAUSES {
            assert_eq!(super::cause(&cause.words.join(" ")), Some(*cause));
        }
    }
}
