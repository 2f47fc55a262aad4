//! The shipped gateway with Envoy's own telemetry beside the filter: all that it can tell of a fault.

use syntrace_integration::{
    envoy::Gateway,
    sandbox::SERVICE_HTTP,
    services::{FAST_PORT, SINK_PORT},
};

/// The fields of the access log: all that may tell of a connection.
pub(crate) const ACCESS_LOG: &str = "%DOWNSTREAM_REMOTE_ADDRESS% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% \
    %RESPONSE_CODE_DETAILS% %UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST% %UPSTREAM_TRANSPORT_FAILURE_REASON% \
    duration=%DURATION% pool=%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%";

/// The shipped gateway, with Envoy's own tracer and access log beside the filter, a short queue, and a pool of its own
/// for each fault, so that each has to connect.
pub(crate) fn gateway() -> Gateway {
    let service = format!("address: {SERVICE_HTTP}, port_value: {FAST_PORT}");
    let pool = |name: &str, port: u16, http2: bool| {
        let address = if http2 {
            "127.0.0.1".to_owned()
        } else {
            SERVICE_HTTP.to_string()
        };
        let options = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': \
             type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: \
             {http2_protocol_options: {}}}}, ";
        let options = if http2 { options } else { "" };
        format!(
            "    - {{name: {name}, connect_timeout: 5s, type: STATIC, {options}load_assignment: {{cluster_name: {name}, \
             endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {address}, \
             port_value: {port}}}}}}}}}]}}]}}}}\n"
        )
    };
    let route = |prefix: &str, cluster: &str| {
        format!("- {{match: {{prefix: {prefix}}}, route: {{cluster: {cluster}}}}}\n{INDENT}")
    };
    let pools = [
        pool("lost_syn", FAST_PORT, false),
        pool("retransmit", FAST_PORT, false),
        pool("sink", SINK_PORT, true),
    ];
    Gateway::shipped()
        .workers(1)
        .with(
            "    - name: downstream\n",
            "    - name: downstream\n      tcp_backlog_size: 2\n",
        )
        .with(
            "codec_type: AUTO",
            format!(
                "codec_type: AUTO\n                {}\n                {TRACING}\n               ",
                access_log()
            ),
        )
        .with(
            "address: ${HTTP_ADDRESS}, port_value: ${HTTP_PORT}",
            service,
        )
        .with("admin:\n", format!("{FLUSH_EACH}admin:\n"))
        .with("  clusters:\n", format!("  clusters:\n{}", pools.concat()))
        .with(
            FIRST_ROUTE,
            format!(
                "{}{}{FIRST_ROUTE}",
                route("/two", "lost_syn"),
                route("/three", "retransmit")
            ),
        )
}

const FIRST_ROUTE: &str = "- match: { prefix: \"/\", grpc: {} }";
const INDENT: &str = "                        ";
/// Each span is sent alone, so that what is printed of one is about one request.
const FLUSH_EACH: &str = "layered_runtime: {layers: [{name: bench, static_layer: \
    {tracing.opentelemetry.min_flush_spans: 1}}]}\n";
const TRACING: &str = "tracing: {random_sampling: {value: 100}, provider: {name: envoy.tracers.opentelemetry, typed_config: \
    {'@type': type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: gateway, grpc_service: \
    {envoy_grpc: {cluster_name: sink}, timeout: 1s}}}}";

fn access_log() -> String {
    // `${BRIDGE_SOCKET}` is in the sandbox's directory, which the template names nowhere else.
    format!(
        "access_log: [{{name: file, typed_config: {{'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, \
         path: \"${{BRIDGE_SOCKET}}.access.log\", log_format: {{text_format_source: {{inline_string: \"{ACCESS_LOG}\\n\"}}}}}}}}]"
    )
}
