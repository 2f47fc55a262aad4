//! Builds the eBPF object that the loader embeds, by `scripts/build-ebpf`.

use std::{env, path::Path, process::Command};

use anyhow::{Context as _, ensure};

fn main() -> anyhow::Result<()> {
    let here = env::var("CARGO_MANIFEST_DIR").context("reading CARGO_MANIFEST_DIR")?;
    let out = env::var("OUT_DIR").context("reading OUT_DIR")?;
    let script = Path::new(&here).join("../scripts/build-ebpf");
    for source in ["ebpf", "common"] {
        println!("cargo::rerun-if-changed={source}/src");
        println!("cargo::rerun-if-changed={source}/Cargo.toml");
    }
    println!("cargo::rerun-if-changed={}", script.display());
    let status = Command::new(&script)
        .arg(&out)
        .status()
        .with_context(|| format!("starting {}", script.display()))?;
    ensure!(
        status.success(),
        "the eBPF object was not built; if a tool is missing, run `make setup`"
    );
    Ok(())
}
