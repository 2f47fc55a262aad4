//! Runs a script of `tests/browser` in a headless Chromium, if this machine has one.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::bridge::Running;

/// Returns whether there is a browser; otherwise prints `SKIP: needs …`, and the test should pass.
///
/// With `REQUIRE_BROWSER=1` a skip is a failure.
pub(crate) fn is_there() -> bool {
    let driver = Command::new(python())
        .args(["-c", "import axe_playwright_python, playwright"])
        .stderr(Stdio::null())
        .status();
    let directories = env::var_os("PATH").unwrap_or_default();
    let chromium = env::split_paths(&directories).any(|at| at.join("chromium").is_file());
    if chromium && driver.is_ok_and(|status| status.success()) {
        return true;
    }
    let skip = "SKIP: needs chromium and Playwright (scripts/setup page)";
    assert!(
        env::var_os("REQUIRE_BROWSER").is_none_or(|value| value != "1"),
        "{skip}"
    );
    writeln!(io::stderr(), "{skip}").unwrap_or_default();
    false
}

/// Runs `script` against the bridge, telling it `told`; fails if it does, with what it said.
pub(crate) fn run(script: &str, bridge: &Running, told: &[&str]) -> String {
    let ended = Command::new(python())
        .arg(root().join("bridge/tests/browser").join(script))
        .arg(format!("http://{}", bridge.address()))
        .arg(root().join("target/page"))
        .args(told)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{script}: {said}");
    String::from_utf8(ended.stdout).unwrap()
}

fn python() -> PathBuf {
    let default = root().join(".tools/venv/bin/python");
    env::var_os("SYNTRACE_PYTHON").map_or(default, PathBuf::from)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
