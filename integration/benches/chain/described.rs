//! Versions and command lines of everything that takes part in the comparison, for the document.

use syntrace_integration::{benchmarks::Tool, paths, sandbox::NETWORKS};

use crate::{part::Part, tools::version, world::World};

/// Adds all that Envoy, the load and our own parts are.
pub(crate) fn add(world: &World, part: &mut Part) -> anyhow::Result<()> {
    let sandbox = &world.sandbox;
    let envoy = version(
        sandbox,
        &paths::envoy()?.display().to_string(),
        &["--version"],
    )?;
    let ours = |program: &str| {
        version(
            sandbox,
            &paths::program(program)?.display().to_string(),
            &["--version"],
        )
    };
    let networks = NETWORKS
        .map(|network| format!(" --tag-to {network} --believe-from {network}"))
        .concat();
    let tools = [
        ("Envoy", envoy.clone(), "taskset -c 0 envoy --disable-hot-restart --log-level warning --concurrency 1 -c gateway.json".to_owned()),
        ("tracer_batched, tracer_default", envoy.clone(), "envoy.tracers.opentelemetry over gRPC, random_sampling 100; tracing.opentelemetry.min_flush_spans 500, or 5, its default".to_owned()),
        ("grpc_access_log", envoy.clone(), "envoy.access_loggers.http_grpc, transport_api_version V3, all else by default".to_owned()),
        ("lua", envoy.clone(), "envoy.filters.http.lua: handle:headers():replace('x-lua', '1') on each request".to_owned()),
        ("h2load", version(sandbox, "h2load", &["--version"])?, "taskset -c 1 h2load -t 1 -c 16 -n 4000, with --h1, -m 4, or -d message".to_owned()),
        ("open loop, churn", "this benchmark's own".to_owned(), "integration/benches/chain/client.rs: 16 connections (churn), 32 (open loop)".to_owned()),
        ("syntrace-probe", ours("syntrace-probe")?, format!("syntrace-probe run --cgroup watched --bridge unix:facts.sock{networks}")),
        ("syntrace-bridge", ours("syntrace-bridge")?, "syntrace-bridge --facts unix:facts.sock --listen 127.0.0.1:0; for coverage and growth --data-dir data --view-mib 8192".to_owned()),
    ];
    for (name, version, command) in tools {
        part.tool(Tool {
            name: name.to_owned(),
            version,
            command,
        });
    }
    Ok(())
}
