//! The gateways under comparison: one Envoy's bootstrap with a listener for each variant, which differ in nothing else.

use std::path::Path;

use serde_json::{Value, json};
use syntrace_integration::{
    bridge, paths,
    sandbox::{GATEWAY, SERVICE_HTTP, Sandbox},
    services,
};

/// What a listener has beyond routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Nothing.
    Nothing,
    /// Syntrace's filter, as it is shipped.
    Filter,
    /// Envoy's own OpenTelemetry tracer, sampling everything.
    Tracer,
    /// Envoy's gRPC access log.
    AccessLog,
    /// A Lua filter that sets one header.
    Lua,
}

impl Extra {
    pub(crate) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Filter,
        Self::Tracer,
        Self::AccessLog,
        Self::Lua,
    ];

    const fn number(self) -> u16 {
        match self {
            Self::Nothing => 0,
            Self::Filter => 1,
            Self::Tracer => 2,
            Self::AccessLog => 3,
            Self::Lua => 4,
        }
    }
}

/// One of several gateways in the same namespace.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// Its name, and its files'.
    pub(crate) name: &'static str,
    /// Its first listener's port; the others follow, those with TLS 50 later.
    pub(crate) first_port: u16,
    /// Its own service's port.
    pub(crate) service_port: u16,
    /// Its admin page's port.
    pub(crate) admin_port: u16,
}

impl Gateway {
    /// Returns the port of a listener.
    pub(crate) const fn port(&self, extra: Extra, tls: bool) -> u16 {
        self.first_port + extra.number() + if tls { 50 } else { 0 }
    }

    /// Returns the whole bootstrap.
    pub(crate) fn bootstrap(&self, sandbox: &Sandbox) -> anyhow::Result<Value> {
        let mut listeners = Vec::new();
        for extra in Extra::ALL {
            for tls in [false, true] {
                listeners.push(self.listener(sandbox, extra, tls)?);
            }
        }
        let service = address(&SERVICE_HTTP.to_string(), self.service_port);
        let sink = address("127.0.0.1", services::SINK_PORT);
        let bridge = json!({ "pipe": { "path": bridge::facts_socket(sandbox) } });
        Ok(json!({
            "node": { "id": self.name, "cluster": "bench" },
            "admin": { "address": address("127.0.0.1", self.admin_port) },
            // The tracer's flush is set while it runs.
            "layered_runtime": { "layers": [{ "name": "admin", "admin_layer": {} }] },
            "static_resources": {
                "listeners": listeners,
                "clusters": [
                    cluster("service", &service, false),
                    cluster("service_http2", &service, true),
                    cluster("sink", &sink, true),
                    cluster("syntrace_bridge", &bridge, false),
                ]
            }
        }))
    }

    fn listener(&self, sandbox: &Sandbox, extra: Extra, tls: bool) -> anyhow::Result<Value> {
        let (mut network_filters, mut http_filters) = (Vec::new(), Vec::new());
        let (mut tracing, mut access_log) = (Value::Null, json!([]));
        match extra {
            Extra::Nothing => {}
            Extra::Filter => {
                network_filters.push(addresses());
                http_filters.push(wasm(&paths::filter()?));
            }
            Extra::Tracer => tracing = tracer(),
            Extra::AccessLog => access_log = json!([grpc_access_log()]),
            Extra::Lua => http_filters.push(json!({
                "name": "lua",
                "typed_config": {
                    "@type": extension("filters.http.lua.v3.Lua"),
                    "default_source_code": { "inline_string":
                        "function envoy_on_request(handle) handle:headers():replace('x-lua', '1') end" }
                }
            })),
        }
        http_filters.push(router());
        network_filters.push(manager(self.name, tracing, access_log, http_filters));
        let port = self.port(extra, tls);
        let mut chain = json!({ "filters": network_filters });
        if tls && let Some(chain) = chain.as_object_mut() {
            chain.insert(
                "transport_socket".to_owned(),
                server_tls(sandbox.directory()),
            );
        }
        Ok(json!({
            "name": format!("{port}"),
            "address": address(&GATEWAY.to_string(), port),
            "filter_chains": [chain]
        }))
    }
}

/// The certificate that [`server_tls`] names, and its key.
pub(crate) const CERTIFICATE: [&str; 2] = ["gateway-certificate.pem", "gateway-key.pem"];

fn server_tls(directory: &Path) -> Value {
    let [certificate, key] = CERTIFICATE.map(|file| json!({ "filename": directory.join(file) }));
    json!({
        "name": "tls",
        "typed_config": {
            "@type": extension("transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": { "tls_certificates": [
                { "certificate_chain": certificate, "private_key": key }
            ] }
        }
    })
}

/// Returns the manager of HTTP connections: gRPC is led to the service over HTTP/2, all else over HTTP/1.1.
fn manager(name: &str, tracing: Value, access_log: Value, http_filters: Vec<Value>) -> Value {
    json!({
        "name": "http",
        "typed_config": {
            "@type": extension("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": name,
            "tracing": tracing,
            "access_log": access_log,
            "http_filters": http_filters,
            "route_config": { "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [
                    { "match": { "prefix": "/", "grpc": {} }, "route": { "cluster": "service_http2" } },
                    { "match": { "prefix": "/" }, "route": { "cluster": "service" } },
                ]
            }] }
        }
    })
}

fn wasm(module: &Path) -> Value {
    json!({
        "name": "syntrace",
        "typed_config": {
            "@type": extension("filters.http.wasm.v3.Wasm"),
            "config": {
                "name": "syntrace", "root_id": "syntrace", "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "syntrace", "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } }
                }
            }
        }
    })
}

fn tracer() -> Value {
    json!({ "provider": {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "service_name": "gateway",
            "grpc_service": { "envoy_grpc": { "cluster_name": "sink" }, "timeout": "1s" }
        }
    }, "random_sampling": { "value": 100 } })
}

fn grpc_access_log() -> Value {
    json!({
        "name": "envoy.access_loggers.http_grpc",
        "typed_config": {
            "@type": extension("access_loggers.grpc.v3.HttpGrpcAccessLogConfig"),
            "common_config": {
                "log_name": "bench", "transport_api_version": "V3",
                "grpc_service": { "envoy_grpc": { "cluster_name": "sink" } }
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
            "@type": extension("filters.network.set_filter_state.v3.Config"),
            "on_new_connection": [{
                "object_key": "syntrace.addresses", "factory_key": "envoy.string",
                "format_string": { "text_format_source": { "inline_string": text } }
            }]
        }
    })
}

fn router() -> Value {
    json!({ "name": "router", "typed_config": { "@type": extension("filters.http.router.v3.Router") } })
}

fn extension(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn cluster(name: &str, address: &Value, http2: bool) -> Value {
    let protocol = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": extension("upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": { "http2_protocol_options": {} }
    } });
    json!({
        "name": name, "connect_timeout": "5s", "type": "STATIC",
        // As many requests at once as the growth of connections asks for, over a pool as it may be.
        "circuit_breakers": { "thresholds": [{ "max_connections": 256, "max_pending_requests": 20000, "max_requests": 20000 }] },
        "typed_extension_protocol_options": if http2 { protocol } else { Value::Null },
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": address } }
        ] }] }
    })
}
