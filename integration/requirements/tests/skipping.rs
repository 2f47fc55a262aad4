//! What a test that lacks something says, and when it fails: seen from outside the harness that runs it.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use syntrace_test_requirements::Requirement;

/// Tells the tests below that they are the ones looked at.
const INSIDE: &str = "SKIPPING_INSIDE";

#[test]
fn a_missing_thing_is_said_past_the_harness_and_fails_only_where_it_is_demanded() {
    const NAME: &str =
        "a_missing_thing_is_said_past_the_harness_and_fails_only_where_it_is_demanded";
    if env::var_os(INSIDE).is_some() {
        assert!(!Requirement::Groff.is_met(false, "a thing"));
        return;
    }
    let skip = format!("SKIP {NAME}: needs a thing\n");
    for harmless in [None, Some(""), Some("0"), Some("true")] {
        let ended = again(NAME, harmless);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{harmless:?}: {said}");
        assert_eq!(said, skip, "{harmless:?}");
    }
    let ended = again(NAME, Some("1"));
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(!ended.status.success(), "{told}");
    assert!(told.contains("REQUIRE_GROFF=1, and needs a thing"));
    assert_eq!(
        String::from_utf8(ended.stderr)
            .unwrap()
            .matches("SKIP")
            .count(),
        0
    );
}

#[test]
fn what_is_there_is_not_spoken_of() {
    const NAME: &str = "what_is_there_is_not_spoken_of";
    if env::var_os(INSIDE).is_some() {
        assert!(Requirement::Groff.is_met(true, "a thing"));
        return;
    }
    for value in [None, Some("1")] {
        let ended = again(NAME, value);
        assert!(ended.status.success(), "{value:?}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    }
}

#[test]
fn what_every_change_must_pass_demands_everything() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/run");
    let script = fs::read_to_string(script).unwrap();
    for requirement in Requirement::ALL {
        let demanded = format!("{}=1", requirement.variable());
        assert!(
            script.split_whitespace().any(|word| word == demanded),
            "{demanded}"
        );
    }
}

/// Runs a test of this file by itself, as the one looked at, with the demand for groff set to a value.
fn again(test: &str, value: Option<&str>) -> Output {
    let variable = Requirement::Groff.variable();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--test-threads=2"])
        .env(INSIDE, "1")
        .env_remove(variable);
    if let Some(value) = value {
        command.env(variable, value);
    }
    command.output().unwrap()
}
