//! The services behind the gateway: HTTP/1.1 and gRPC, in Python, each in its own namespace.

use std::time::Duration;

use crate::{
    netns::Namespace,
    paths,
    process::{Process, Program},
    sandbox::{SERVICE_GRPC, SERVICE_HTTP, Sandbox},
};

/// Python and gRPC take a moment to load on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Where the HTTP/1.1 service listens.
pub const HTTP_PORT: u16 = 8080;
/// Where the gRPC service listens.
pub const GRPC_PORT: u16 = 50051;

/// Both services, listening.
#[derive(Debug)]
pub struct Services {
    _http: Process,
    _grpc: Process,
}

impl Services {
    /// Starts both and waits until they listen; connects to neither.
    ///
    /// # Errors
    ///
    /// Fails if Python is missing or a service does not come up.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let start =
            |name: &str, namespace: &Namespace, script: &str, address: String, port: u16| {
                Program::new(name, &sandbox.watched, paths::python()?)
                    .inside(namespace)
                    .args([paths::own(script)])
                    .args([address, port.to_string()])
                    .start(sandbox.directory())
            };
        let (http, grpc) = (&sandbox.service_http, &sandbox.service_grpc);
        let mut http = start(
            "service-http",
            http,
            "services/http1.py",
            SERVICE_HTTP.to_string(),
            HTTP_PORT,
        )?;
        let mut grpc = start(
            "service-grpc",
            grpc,
            "services/grpc_echo.py",
            SERVICE_GRPC.to_string(),
            GRPC_PORT,
        )?;
        http.wait_for_port(HTTP_PORT, START_DEADLINE)?;
        grpc.wait_for_port(GRPC_PORT, START_DEADLINE)?;
        Ok(Self {
            _http: http,
            _grpc: grpc,
        })
    }
}
