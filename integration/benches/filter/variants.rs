//! The variants under comparison, each a listener of one Envoy that differs in nothing else.

use serde_json::{Value, json};
use syntrace_integration::{bridge, paths, sandbox::Sandbox, services};

/// The first variant's port; the others follow.
const FIRST_PORT: u16 = 20_000;
/// Where Envoy shows its metrics.
pub(crate) const ADMIN_PORT: u16 = 9_901;

/// What a listener has beyond routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// Nothing.
    None,
    /// Nothing, measured again: the noise.
    NoneAgain,
    /// A filter of the same SDK that does nothing.
    Empty,
    /// Syntrace as it is shipped.
    Syntrace,
    /// The same, measured again: the noise of every ratio.
    SyntraceAgain,
    /// Syntrace that only watches.
    Observe,
    /// Envoy's own OpenTelemetry tracer, sampling everything.
    Tracer,
    /// Envoy's gRPC access log.
    AccessLog,
    /// A Lua filter that sets one header.
    Lua,
}

/// When Envoy's tracer sends its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// As it does unless told otherwise: every 5 spans.
    ByDefault,
    /// Every 500 spans.
    Rarely,
}

impl Variant {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::NoneAgain,
        Self::Empty,
        Self::Syntrace,
        Self::SyntraceAgain,
        Self::Observe,
        Self::Tracer,
        Self::AccessLog,
        Self::Lua,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoneAgain => "none_again",
            Self::Empty => "empty_sdk_filter",
            Self::Syntrace => "syntrace",
            Self::SyntraceAgain => "syntrace_again",
            Self::Observe => "syntrace_observe",
            Self::Tracer => "opentelemetry_tracer",
            Self::AccessLog => "grpc_access_log",
            Self::Lua => "lua",
        }
    }

    pub(crate) fn port(self) -> u16 {
        FIRST_PORT + Self::ALL.iter().take_while(|&&other| other != self).count() as u16
    }

    fn listener(self) -> anyhow::Result<Value> {
        let (mut tracing, mut access_log) = (Value::Null, json!([]));
        let mut network_filters = Vec::new();
        let mut http_filters = Vec::new();
        match self {
            Self::None | Self::NoneAgain => {}
            Self::Empty => http_filters.push(wasm("empty", "", &paths::built("empty.wasm")?)),
            Self::Syntrace | Self::SyntraceAgain | Self::Observe => {
                let (vm_id, settings) = if self == Self::Observe {
                    ("syntrace-observe", r#"{"mode": "observe"}"#)
                } else {
                    ("syntrace", "")
                };
                network_filters.push(addresses());
                http_filters.push(wasm(vm_id, settings, &paths::filter()?));
            }
            Self::Tracer => {
                tracing = json!({ "provider": {
                    "name": "envoy.tracers.opentelemetry",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                        "service_name": "gateway",
                        "grpc_service": { "envoy_grpc": { "cluster_name": "sink" }, "timeout": "1s" }
                    }
                }, "random_sampling": { "value": 100 } });
            }
            Self::AccessLog => {
                access_log = json!([{
                    "name": "envoy.access_loggers.http_grpc",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
                        "common_config": {
                            "log_name": "bench", "transport_api_version": "V3",
                            "grpc_service": { "envoy_grpc": { "cluster_name": "sink" } }
                        }
                    }
                }]);
            }
            Self::Lua => http_filters.push(json!({
                "name": "lua",
                "typed_config": {
                    "@type": http("http.lua.v3.Lua"),
                    "default_source_code": { "inline_string":
                        "function envoy_on_request(handle) handle:headers():replace('x-lua', '1') end" }
                }
            })),
        }
        http_filters.push(json!({
            "name": "router", "typed_config": { "@type": http("http.router.v3.Router") }
        }));
        network_filters.push(json!({
            "name": "http",
            "typed_config": {
                "@type": http("network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": self.name(),
                "tracing": tracing,
                "access_log": access_log,
                "http_filters": http_filters,
                "route_config": { "virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "service" } }]
                }] }
            }
        }));
        Ok(json!({
            "name": self.name(),
            "address": socket(self.port()),
            "filter_chains": [{ "filters": network_filters }]
        }))
    }
}

/// Returns the whole bootstrap.
pub(crate) fn bootstrap(sandbox: &Sandbox, flush: Flush) -> anyhow::Result<Value> {
    let listeners: Vec<_> = Variant::ALL
        .into_iter()
        .map(Variant::listener)
        .collect::<anyhow::Result<_>>()?;
    let runtime = match flush {
        Flush::ByDefault => json!({}),
        Flush::Rarely => json!({ "tracing.opentelemetry.min_flush_spans": 500 }),
    };
    let http2 = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} }
    } });
    let bridge = json!({ "pipe": { "path": bridge::facts_socket(sandbox) } });
    Ok(json!({
        "node": { "id": "gateway", "cluster": "bench" },
        "admin": { "address": socket(ADMIN_PORT) },
        "layered_runtime": { "layers": [{ "name": "bench", "static_layer": runtime }] },
        "static_resources": {
            "listeners": listeners,
            "clusters": [
                cluster("service", socket(services::FAST_PORT), Value::Null),
                cluster("syntrace_bridge", bridge, Value::Null),
                cluster("sink", socket(services::SINK_PORT), http2),
            ]
        }
    }))
}

fn wasm(name: &str, settings: &str, module: &std::path::Path) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": http("http.wasm.v3.Wasm"),
            "config": {
                "name": name, "root_id": name, "failure_policy": "FAIL_RELOAD",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings
                },
                "vm_config": {
                    "vm_id": name, "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } }
                }
            }
        }
    })
}

/// As the shipped configuration has it before the filter.
fn addresses() -> Value {
    let text = "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS% \
                %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%";
    json!({
        "name": "addresses",
        "typed_config": {
            "@type": http("network.set_filter_state.v3.Config"),
            "on_new_connection": [{
                "object_key": "syntrace.addresses", "factory_key": "envoy.string",
                "format_string": { "text_format_source": { "inline_string": text } }
            }]
        }
    })
}

fn http(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.filters.{name}")
}

fn socket(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn cluster(name: &str, address: Value, protocol: Value) -> Value {
    json!({
        "name": name, "connect_timeout": "1s", "type": "STATIC",
        "typed_extension_protocol_options": protocol,
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": address } }
        ] }] }
    })
}
