//! Envoy's runtime, changed while it runs, by its admin page.

use std::time::Duration;

use syntrace_integration::process::Program;

use crate::{gateway::Gateway, world::World};

const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Lets Envoy's tracer send its spans when there are so many.
pub(crate) fn flush_spans(world: &World, gateway: &Gateway, spans: u32) -> anyhow::Result<()> {
    let url = format!(
        "http://127.0.0.1:{}/runtime_modify?tracing.opentelemetry.min_flush_spans={spans}",
        gateway.admin_port
    );
    let printed = Program::new("admin", &world.tools, "curl")
        .inside(&world.sandbox.gateway)
        .args(["-q", "-sS", "--fail", "--noproxy", "*", "-X", "POST", &url])
        .start(world.sandbox.directory())?
        .finish(ANSWER_DEADLINE)?;
    anyhow::ensure!(printed.trim() == "OK", "{printed}");
    Ok(())
}
