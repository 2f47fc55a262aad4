//! Runs a script of this folder in a headless Chromium, if this machine has one.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use syntrace_test_requirements::Requirement;

/// How long a script may take, seconds: dozens of views, each with a look by axe-core, on a busy machine.
const DEADLINE: &str = "300";

/// Returns whether there is a browser; otherwise says so, and the test should return.
pub(crate) fn is_there() -> bool {
    let driver = Command::new(python())
        .args(["-c", "import axe_playwright_python, playwright"])
        .stderr(Stdio::null())
        .status();
    let directories = env::var_os("PATH").unwrap_or_default();
    let chromium = env::split_paths(&directories).any(|at| at.join("chromium").is_file());
    Requirement::Browser.is_met(
        chromium && driver.is_ok_and(|status| status.success()),
        "chromium and Playwright (scripts/setup page)",
    )
}

/// Runs `script` against the bridge at `base`, telling it `told` (`NAME=VALUE`); fails if it does, with what it said.
pub(crate) fn run(script: &str, base: &str, told: &[&str]) -> String {
    let ended = Command::new("timeout")
        .arg(DEADLINE)
        .arg(python())
        .arg(root().join("bridge/tests/browser").join(script))
        .arg(base)
        .arg(root().join("target/page"))
        .args(told)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{script}: {}: {said}", ended.status);
    String::from_utf8(ended.stdout).unwrap()
}

fn python() -> PathBuf {
    let default = root().join(".tools/venv/bin/python");
    env::var_os("SYNTRACE_PYTHON").map_or(default, PathBuf::from)
}

/// The root of the project, from the package of either user.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
