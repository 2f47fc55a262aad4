//! Runs a script of `bridge/tests/browser` in a headless Chromium, if this machine has one.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use syntrace_integration::{paths, process::Program, sandbox::Sandbox};

/// Dozens of views, each with a look by axe-core, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

/// Returns whether there is a browser; otherwise prints `SKIP: needs …`, and the test should pass.
///
/// With `REQUIRE_BROWSER=1` a skip is a failure.
pub(crate) fn is_there() -> bool {
    let driver = paths::python().is_ok_and(|python| {
        let status = Command::new(python)
            .args(["-c", "import axe_playwright_python, playwright"])
            .status();
        status.is_ok_and(|status| status.success())
    });
    if driver && chromium().is_some() {
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

/// Runs `script` against the bridge at `base`, telling it `told`; fails if it does, with what it said.
pub(crate) fn run(sandbox: &Sandbox, script: &str, base: &str, told: &[(&str, &str)]) -> String {
    let script = paths::root().join("bridge/tests/browser").join(script);
    let pictures = paths::root().join("target/page");
    let told = told.iter().map(|(name, value)| format!("{name}={value}"));
    let mut browser = Program::new("browser", &sandbox.watching, paths::python().unwrap())
        .args([script, PathBuf::from(base), pictures])
        .args(told)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .start(sandbox.directory())
        .unwrap();
    browser.finish(DEADLINE).unwrap()
}

fn chromium() -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&directories).map(|at| at.join("chromium"));
    candidates.find(|path: &PathBuf| Path::is_file(path))
}
