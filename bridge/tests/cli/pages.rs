//! The manual pages and the completions: of every command, and fit for those who read them.

use std::{
    env,
    io::{self, Write as _},
    process::{Command, Stdio},
};

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
    if !is_there("groff") {
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

/// Whether a program is there; otherwise prints `SKIP`, which `REQUIRE_GROFF=1` makes a failure.
fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let found = command.arg("--version").stdout(Stdio::null());
    if found.status().is_ok() {
        return true;
    }
    let skip = "SKIP: needs groff (scripts/setup bridge)";
    assert!(
        env::var_os("REQUIRE_GROFF").is_none_or(|value| value != "1"),
        "{skip}"
    );
    writeln!(io::stderr(), "{skip}").unwrap_or_default();
    false
}
