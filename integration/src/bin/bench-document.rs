//! Reads `target/bench/`, writes `target/bench/summary.json`, `docs/BENCHMARKS.md`, and in `docs/bench` what it leads
//! to: what `make bench` does last. Measures nothing.
#![forbid(unsafe_code)]

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use jiff::Timestamp;
use syntrace_integration::{
    benchmarks::{
        Benchmark, Evidence, Machine, Run, Summary, all_figures, latency_picture, overview,
        printed_about_faults, processor_picture,
    },
    paths,
};

/// Written from the others.
const SUMMARY: &str = "summary";
/// Too rough to be kept.
const QUICK: &str = "quick";
/// A run that this one is held against, below `docs`: a copy of its summary.
const EARLIER: &str = "bench/earlier.json";

fn main() -> anyhow::Result<()> {
    let (found, docs) = (
        paths::root().join("target/bench"),
        paths::root().join("docs"),
    );
    let benchmarks = benchmarks(&found)?;
    anyhow::ensure!(
        !benchmarks.is_empty(),
        "{} has no figures: run `make bench`",
        found.display()
    );
    let summary = Summary::of(&benchmarks);
    let machine = machine(&benchmarks)?;
    let run = Run {
        measured_at: machine.measured_at.clone(),
        summary: summary.clone(),
    };
    let text = serde_json::to_string_pretty(&run)?;
    fs::write(found.join(SUMMARY).with_extension("json"), text)?;

    let mut evidence = Evidence::default();
    for path in files(&found.join("evidence"))? {
        evidence = evidence.and(read(&path)?);
    }
    fs::create_dir_all(docs.join("bench"))?;
    for (name, picture) in [
        ("processor", processor_picture(&summary)),
        ("latency", latency_picture(&summary)),
    ] {
        if let Some(picture) = picture {
            fs::write(docs.join("bench").join(name).with_extension("svg"), picture)?;
        }
    }
    let earlier = docs.join(EARLIER);
    let earlier: Option<Run> = earlier.exists().then(|| read(&earlier)).transpose()?;
    let earlier = earlier.as_ref();
    for (name, text) in [
        (
            "BENCHMARKS.md",
            overview(&machine, &benchmarks, &evidence, earlier),
        ),
        (
            "bench/figures.md",
            all_figures(&machine, &benchmarks, earlier),
        ),
        ("bench/faults.md", printed_about_faults(&machine, &evidence)),
    ] {
        fs::write(docs.join(name), text).with_context(|| format!("writing docs/{name}"))?;
    }
    Ok(())
}

/// Reads the figures of all benchmarks, by name.
fn benchmarks(folder: &Path) -> anyhow::Result<Vec<Benchmark>> {
    let mut benchmarks = Vec::new();
    for path in files(folder)? {
        let name = path.file_stem().unwrap_or_default().display().to_string();
        if name != SUMMARY && name != QUICK {
            let Summary { figures } = read(&path)?;
            benchmarks.push(Benchmark {
                name,
                measured_at: minute(fs::metadata(&path)?.modified()?)?,
                figures,
            });
        }
    }
    Ok(benchmarks)
}

/// Lists the JSON files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    Ok(files)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

fn machine(benchmarks: &[Benchmark]) -> anyhow::Result<Machine> {
    let value = |file: &str, key: &str| -> anyhow::Result<String> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        let value = line.split_once([':', '=']).map_or("", |(_, value)| value);
        Ok(value.trim().trim_matches('"').to_owned())
    };
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    let memory = value("/proc/meminfo", "MemTotal")?;
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    // A part may be measured again by itself: each says when.
    let times = || benchmarks.iter().map(|benchmark| &*benchmark.measured_at);
    let (first, last) = (times().min(), times().max());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    Ok(Machine {
        description: format!(
            "{} processors ({}), {} GiB, Linux {}, {}",
            std::thread::available_parallelism()?,
            value("/proc/cpuinfo", "model name")?,
            kib.div_ceil(1 << 20),
            version(&kernel),
            value("/etc/os-release", "PRETTY_NAME")?,
        ),
        measured_at: format!("{first} to {last}"),
    })
}

/// Cuts a kernel's release to its version: what follows a dash names who built it.
fn version(release: &str) -> &str {
    release
        .split_once('-')
        .map_or(release, |(version, _)| version)
}

/// Writes a time to the minute, UTC.
fn minute(at: SystemTime) -> anyhow::Result<String> {
    let at = Timestamp::try_from(at)?;
    Ok(at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_told_by_its_version_alone() {
        assert_eq!(version("6.12.9-cloud-amd64"), "6.12.9");
        assert_eq!(version("6.12.9"), "6.12.9");
    }
}
