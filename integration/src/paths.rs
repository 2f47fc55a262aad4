//! Where the parts under test are: built beside the running program, or in the checkout.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// Returns the root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns a file of this package, such as `services/http1.py`.
#[must_use]
pub fn own(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Finds a program of the workspace beside the running one; a test runs from `deps/` below it.
///
/// # Errors
///
/// Fails if it has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let running = env::current_exe().context("finding the running program")?;
    let candidates = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{name} has not been built beside {}: run `cargo build`",
                running.display()
            )
        })
}

/// Finds Envoy: `$ENVOY`, or the one that `make setup` installs.
///
/// # Errors
///
/// Fails if it is not there.
pub fn envoy() -> anyhow::Result<PathBuf> {
    or_default("ENVOY", root().join(".tools/venv/bin/envoy"), "make setup")
}

/// Finds the filter's module: `$SYNTRACE_WASM`, or the one that `make` builds.
///
/// # Errors
///
/// Fails if it is not there.
pub fn filter() -> anyhow::Result<PathBuf> {
    or_default(
        "SYNTRACE_WASM",
        root().join("target/wasm/syntrace_filter.wasm"),
        "make",
    )
}

/// Finds what `make` wrote beside the filter's module.
///
/// # Errors
///
/// Fails if it is not there.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let path = filter()?.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not there: run `make`",
        path.display()
    );
    Ok(path)
}

/// Finds the Python that has gRPC.
///
/// # Errors
///
/// Fails if it is not there.
pub fn python() -> anyhow::Result<PathBuf> {
    or_default(
        "SYNTRACE_PYTHON",
        root().join(".tools/venv/bin/python"),
        "make setup",
    )
}

fn or_default(variable: &str, default: PathBuf, made_by: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os(variable).map_or(default, PathBuf::from);
    if !path.is_file() {
        bail!(
            "{} is not there: run `{made_by}`, or set {variable}",
            path.display()
        );
    }
    // Programs are started in other directories' names: absolute, but links (a venv's python) as they are.
    std::path::absolute(&path).with_context(|| format!("resolving {}", path.display()))
}
