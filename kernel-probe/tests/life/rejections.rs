//! `explain` on what this kernel's verifier really writes about programs that are wrong on purpose.

use std::fs;

use aya::{
    Ebpf,
    programs::{ProgramError, SocketFilter},
};

use crate::{elf, probe::Start, turn};

/// Programs, each with words of the cause that is to be named.
const WRONG: &[(&[u64], &str)] = &[
    // exit
    (&[EXIT], "a register is read that nothing was written to"),
    // r0 = *(u64 *)(r1 + 0); exit
    (&[0x0000_0000_0000_1079, EXIT], "a field of its context"),
    // *(u64 *)(r10 - 520) = 0; r0 = 0; exit
    (&[0x0000_0000_fdf8_0a7a, ZERO, EXIT], "512 bytes"),
    // r1 = 0; r0 = *(u64 *)(r1 + 0); exit
    (
        &[0x0000_0000_0000_01b7, 0x0000_0000_0000_1079, EXIT],
        "a number is followed",
    ),
    // r1 += r10; r0 = 0; exit
    (
        &[0x0000_0000_0000_a10f, ZERO, EXIT],
        "an arithmetic operation",
    ),
    // r0 = 0; if r0 == 0 goto -1; exit
    (&[ZERO, 0x0000_0000_ffff_0015, EXIT], "a loop comes round"),
    // goto +5; exit
    (&[0x0000_0000_0005_0005, EXIT], "a jump leads out"),
    // r0 = 0; exit; exit
    (&[ZERO, EXIT, EXIT], "nothing leads to"),
    // r0 = 0
    (&[ZERO], "does not end with an exit"),
    // call 9999; exit
    (&[0x0000_270f_0000_0085, EXIT], "no helper of that number"),
    // call bpf_probe_write_user; exit
    (&[0x0000_0024_0000_0085, EXIT], "does not allow the helper"),
];

const EXIT: u64 = 0x95;
/// r0 = 0
const ZERO: u64 = 0xb7;

#[test]
fn real_rejections_are_explained() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    for (program, cause) in WRONG {
        let log = refused(program);
        fs::write(&file, format!("program `wrong`\n{log}")).unwrap();
        let output = Start::of(&["explain", file.to_str().unwrap()]).output();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(cause), "{log}\n{said}");
        assert!(said.contains("program      wrong"), "{said}");
        assert!(!said.contains("remedy       unknown"), "{said}");
    }
}

/// Loads `program`, which is wrong; returns the verifier's log.
fn refused(program: &[u64]) -> String {
    let mut ebpf = Ebpf::load(&elf::object("socket", program)).unwrap();
    let filter: &mut SocketFilter = ebpf.program_mut("wrong").unwrap().try_into().unwrap();
    let Err(ProgramError::LoadError { verifier_log, .. }) = filter.load() else {
        unreachable!("the verifier takes what is wrong, or says nothing");
    };
    verifier_log.to_string()
}
