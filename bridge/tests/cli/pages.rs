//! The manual pages and the completions: of every command, and fit for those who read them.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use syntrace_test_requirements::Requirement;

use crate::command::run;

/// Every command that has a page, as `syntrace help` lists them.
const COMMANDS: [&str; 9] = [
    "why",
    "tail",
    "show",
    "find",
    "coverage",
    "replay",
    "doctor",
    "completions",
    "man",
];

#[test]
fn every_command_has_a_page_that_groff_reads_without_a_warning() {
    let help = run(&["help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.map_while(|line| line.split_whitespace().next());
    let listed: Vec<&str> = listed.filter(|name| *name != "help").collect();
    assert_eq!(listed, COMMANDS);

    let of_all = run(&["man"]).out;
    let pages = COMMANDS.map(|name| (name, run(&["man", name]).out));
    for (name, page) in &pages {
        let title = format!(".TH syntrace-{name} 1");
        assert!(page.contains(&title), "{page}");
        assert!(
            of_all.contains(&format!("syntrace\\-{name}(1)")),
            "{of_all}"
        );
    }
    assert_eq!(run(&["man", "frobnicate"]).code, Some(1));
    if !is_there() {
        return;
    }
    for (name, page) in pages.iter().chain([&("", of_all)]) {
        let mut groff = Command::new("groff");
        let groff = groff.args(["-man", "-Tutf8", "-ww", "-z"]);
        let warnings = feed(groff, page);
        assert!(warnings.is_empty(), "{name}: {warnings}");
    }
}

#[test]
fn every_cause_that_can_be_asked_for_is_in_the_documents() {
    let answer = include_str!("../../core/src/answer.rs");
    let (_, of_codes) = answer.split_once("// === impl Code ===").unwrap();
    let (of_codes, _) = of_codes.split_once("// === impl ").unwrap();
    let codes = of_codes.lines().filter_map(|line| line.split('"').nth(1));
    let codes: BTreeSet<&str> = codes.collect();
    let document = include_str!("../../../docs/attributes.md");
    let (_, causes) = document.split_once("## Causes").unwrap();
    let rows = causes.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let told = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    assert_eq!(told.collect::<BTreeSet<_>>(), codes);
}

#[test]
fn a_real_bash_completes_commands_and_options() {
    let script = run(&["completions", "bash"]).out;
    for (typed, expected) in [
        (vec!["syntrace", "do"], "doctor"),
        (vec!["syntrace", "tail", "--conn"], "--connections"),
        (vec!["syntrace", "completions", "zs"], "zsh"),
    ] {
        let last = typed.len() - 1;
        let words = typed.join(" ");
        let asked = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}\n\
             _syntrace syntrace {} {}\necho \"${{COMPREPLY[@]}}\"\n",
            typed[last],
            typed[last - 1]
        );
        let mut bash = Command::new("bash");
        let answered = bash.args(["--norc", "-c", &asked]).output().unwrap();
        let answer = String::from_utf8(answered.stdout).unwrap();
        assert_eq!(answer.trim(), expected, "{words}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            run(&["completions", shell]).out.contains("doctor"),
            "{shell}"
        );
    }
}

/// Gives `text` to a program; what it says of it on standard error.
fn feed(program: &mut Command, text: &str) -> String {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    String::from_utf8(ended.stderr).unwrap()
}

/// Returns whether groff is there; otherwise says so, and the test should return.
fn is_there() -> bool {
    let mut command = Command::new("groff");
    let found = command.arg("--version").stdout(Stdio::null());
    Requirement::Groff.is_met(found.status().is_ok(), "groff (scripts/setup bridge)")
}
