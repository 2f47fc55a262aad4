//! The whole chain, and what one would use instead: `make bench`, or `cargo bench --bench chain -- PART...`.
//!
//! Parts: `cpu`, `latency`, `faults`, `coverage`, `growth`, and `quick`, which counts and judges. Each starts everything
//! anew and writes figures and evidence of its own, so that one can be measured again without the others. `client` is
//! the load generator. Needs root, cgroup v2, a real Envoy, and two processors.
#![forbid(unsafe_code)]

mod client;
mod coverage;
mod cpu;
mod described;
mod faults;
mod gateway;
mod growth;
mod latency;
mod ledger;
mod loads;
mod part;
mod quick;
mod runtime;
mod statistics;
mod telling;
mod tools;
#[path = "../filter/worker.rs"]
mod worker;
mod world;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use syntrace_integration::requirements;

use crate::{part::Part, world::World};

fn main() -> anyhow::Result<ExitCode> {
    let mut words: Vec<_> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    if words.first().is_some_and(|word| word == client::NAME) {
        client::run(words.get(1).context("no orders")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let missing = requirements::missing();
    anyhow::ensure!(missing.is_empty(), "needs {}", missing.join(", "));
    raise_limits()?;
    if words.is_empty() {
        words = ["cpu", "latency", "faults", "coverage", "growth"]
            .map(str::to_owned)
            .into();
    }
    let mut passed = true;
    for word in &words {
        let (table, part_passed) = match word.as_str() {
            "cpu" => measure("chain_cpu", &[], cpu::measure)?,
            "latency" => measure("chain_latency", &[], latency::measure)?,
            "coverage" => measure("chain_coverage", DURABLE, |world, part| {
                coverage::measure(world, part)
            })?,
            "faults" => {
                let mut part = Part::new("chain_faults");
                faults::measure(&mut part)?;
                part.write()?
            }
            "growth" => measure("chain_growth", DURABLE, growth::measure)?,
            "quick" => measure("quick", &[], |world, part| quick::measure(world, part))?,
            other => anyhow::bail!("no part is named {other}"),
        };
        write!(io::stdout(), "{table}")?;
        passed &= part_passed;
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything is kept, as far as a million records and their connections go.
const DURABLE: &[&str] = &["--view-mib", "8192"];

/// Lets the programs that are started have as many sockets as is allowed.
fn raise_limits() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let files = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, files).context("raising the limit of open files")
}

/// Starts everything and measures one part.
fn measure(
    name: &'static str,
    bridge_options: &[&str],
    measure: fn(&mut World, &mut Part) -> anyhow::Result<()>,
) -> anyhow::Result<(String, bool)> {
    let mut world = World::start(bridge_options)?;
    let mut part = Part::new(name);
    statistics::ensure_off()?;
    measure(&mut world, &mut part)?;
    statistics::ensure_off()?;
    part.write()
}
