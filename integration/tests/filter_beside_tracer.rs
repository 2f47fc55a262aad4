//! Envoy's own tracer in charge, and the filter watching: what the bridge records stands in the traces that the
//! tracer wrote, as others' collector hands them on, for requests that reached a service and for those that did not.

use std::{collections::BTreeSet, fs, time::Duration};

use serde::Deserialize;
use syntrace_integration::{
    bridge::Bridge,
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Gateway, PORT},
    paths,
    process::{Process, Program},
    requirements,
    sandbox::Sandbox,
    services::Services,
};
use syntrace_test_requirements::Requirement;

/// On the gateway's loopback: the collector, by gRPC and by HTTP, and the receiver behind it.
const COLLECTOR_PORT: u16 = 4317;
const COLLECTOR_HTTP_PORT: u16 = 4318;
const RECEIVER_PORT: u16 = 4319;

/// Envoy's tracer, the collector, the filter and the bridge each send within seconds.
const SOON: Duration = Duration::from_secs(60);

/// The tracer, in charge of every request of the shipped gateway.
const TRACER: &str = r#"generate_request_id: true
                tracing:
                  provider:
                    name: envoy.tracers.opentelemetry
                    typed_config:
                      "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                      service_name: gateway
                      grpc_service: { envoy_grpc: { cluster_name: collector }, timeout: 1s }"#;

const COLLECTOR: &str = r#"  clusters:
    - name: collector
      connect_timeout: 1s
      type: STATIC
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      load_assignment:
        cluster_name: collector
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address:
                    socket_address: { address: 127.0.0.1, port_value: 4317 }
"#;

/// A span as the receiver wrote it down.
#[derive(Clone, Debug, Deserialize)]
struct Span {
    trace: String,
    service: Option<String>,
}

#[test]
fn beside_envoys_tracer_each_record_stands_in_the_trace_that_the_tracer_wrote() {
    if !requirements::are_met() || !has_collector() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let bridge = Bridge::start(&sandbox).unwrap();
    let _services = Services::start(&sandbox).unwrap();
    let ledger = sandbox.directory().join("spans.jsonl");
    let _receiver = receiver(&sandbox, &ledger).unwrap();
    let _collector = collector(&sandbox).unwrap();
    let _envoy = Gateway::shipped()
        .with("generate_request_id: true", TRACER)
        .with("  clusters:\n", COLLECTOR)
        .with("${FILTER_CONFIG}", r#"{"mode": "observe"}"#)
        .start(&sandbox)
        .unwrap();
    // No connect of the last one succeeds: its status is 503, its flag UF.
    let paths = ["/hello", "/hello", "/hello", "/dead"];
    let sent = clients::curl(&sandbox, PORT, Version::Http1, &paths).unwrap();
    assert_eq!(sent.len(), paths.len());

    let requests = deadline::wait("the records", SOON, || {
        let requests = bridge.client().requests()?;
        Ok(if requests.len() == paths.len() {
            Look::Done(requests)
        } else {
            Look::NotYet(format!("{requests:?}"))
        })
    })
    .unwrap();
    let failed = requests.iter().find(|request| request.path == "/dead");
    assert_eq!(failed.unwrap().response_flags, ["UF"]);
    let recorded: BTreeSet<_> = requests.iter().map(|one| one.trace_id.clone()).collect();
    assert_eq!(recorded.len(), paths.len(), "a trace for each request");

    let spans = deadline::wait("the tracer's spans", SOON, || {
        let spans = fs::read_to_string(&ledger)?;
        let spans: Result<Vec<Span>, _> = spans.lines().map(serde_json::from_str).collect();
        let spans = spans?;
        Ok(if spans.len() >= paths.len() {
            Look::Done(spans)
        } else {
            Look::NotYet(format!("{spans:?}"))
        })
    })
    .unwrap();
    assert!(
        spans
            .iter()
            .all(|span| span.service.as_deref() == Some("gateway"))
    );
    let traced: BTreeSet<_> = spans.into_iter().map(|span| span.trace).collect();
    assert_eq!(recorded, traced);
}

#[cfg(test)]
/// Returns whether the collector is there; otherwise says so, and the test should return.
fn has_collector() -> bool {
    let import = "import grpc, rotel; from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc";
    let python = paths::python().unwrap();
    let output = std::process::Command::new(python)
        .args(["-c", import])
        .output();
    Requirement::Collector.is_met(
        output.is_ok_and(|output| output.status.success()),
        "opentelemetry-proto, grpcio and rotel (scripts/setup bridge)",
    )
}

/// Starts what writes down the spans that it is sent, as OpenTelemetry's own definitions read them.
fn receiver(sandbox: &Sandbox, ledger: &std::path::Path) -> anyhow::Result<Process> {
    fs::write(ledger, "")?;
    let mut receiver = Program::new("receiver", &sandbox.watching, paths::python()?)
        .inside(&sandbox.gateway)
        .args([paths::root().join("bridge/tests/otlp_receivers/receiver.py")])
        .args([
            "http".as_ref(),
            RECEIVER_PORT.to_string().as_ref(),
            ledger.as_os_str(),
            "0".as_ref(),
        ])
        .start(sandbox.directory())?;
    receiver.wait_for_port(RECEIVER_PORT, SOON)?;
    Ok(receiver)
}

/// Starts rotel between Envoy and the receiver.
fn collector(sandbox: &Sandbox) -> anyhow::Result<Process> {
    let find = "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
    let found = std::process::Command::new(paths::python()?)
        .args(["-c", find])
        .output()?;
    let found = String::from_utf8(found.stdout)?;
    let file = |name: &str| sandbox.directory().join(name).display().to_string();
    let mut collector = Program::new("rotel", &sandbox.watching, found.trim())
        .inside(&sandbox.gateway)
        .args([
            "start",
            "--otlp-grpc-endpoint",
            &format!("127.0.0.1:{COLLECTOR_PORT}"),
        ])
        .args([
            "--otlp-http-endpoint",
            &format!("127.0.0.1:{COLLECTOR_HTTP_PORT}"),
        ])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
        .args([
            "--otlp-exporter-endpoint",
            &format!("http://127.0.0.1:{RECEIVER_PORT}"),
        ])
        .args(["--batch-timeout", "50ms"])
        .args([
            "--pid-file",
            &file("rotel.pid"),
            "--log-file",
            &file("rotel.log"),
        ])
        .start(sandbox.directory())?;
    collector.wait_for_port(COLLECTOR_PORT, SOON)?;
    Ok(collector)
}
