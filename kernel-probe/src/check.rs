//! Says, in words, what this kernel and this process allow. Attaches nothing.

use crate::{
    loader::Loaded,
    rung::{Capability, Ladder},
};

/// Returns one line for each capability; loads and verifies the programs to find out.
#[must_use]
pub fn check() -> Vec<String> {
    let (ladder, mut lines) = match Loaded::load() {
        Ok(loaded) => {
            let verified = |(program, instructions)| {
                format!("program {program}: verified, {instructions} instructions")
            };
            let lines = loaded
                .verified_instructions()
                .into_iter()
                .map(verified)
                .collect();
            (loaded.ladder, lines)
        }
        Err(error) => (Ladder::without_kernel_view(&error.to_string()), Vec::new()),
    };
    let line = |capability| match ladder.reason(capability) {
        None => format!("{capability}: yes"),
        Some(reason) => format!("{capability}: no: {reason}"),
    };
    lines.extend(Capability::ALL.into_iter().map(line));
    lines
}
