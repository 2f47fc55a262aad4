//! A stack, each part of which may be missing or wrong.

use std::path::PathBuf;

use syntrace_integration::{
    bridge::{self, Bridge},
    deadline::{self, Look},
    envoy::{Envoy, Gateway},
    probe::Probe,
    sandbox::Sandbox,
    services::Services,
};

use crate::SOON;

/// Where the gateway's admin page is in the shipped configuration.
const ADMIN: &str = "socket_address: { address: 127.0.0.1, port_value: ${ADMIN_PORT} }";

/// Its parts; they end when dropped.
pub(crate) struct Parts {
    pub(crate) bridge: Bridge,
    _probe: Option<Probe>,
    _services: Services,
    _envoy: Envoy,
}

impl Parts {
    /// Starts them all; the probe with `options`, or none.
    pub(crate) fn start(sandbox: &Sandbox, gateway: Gateway, options: Option<&[&str]>) -> Self {
        let bridge = Bridge::start(sandbox).unwrap();
        let probe = options.map(|options| {
            let facts = bridge::facts_url(sandbox);
            Probe::start_on(sandbox, &sandbox.watched, &facts, options).unwrap()
        });
        Self {
            bridge,
            _probe: probe,
            _services: Services::start(sandbox).unwrap(),
            _envoy: gateway.start(sandbox).unwrap(),
        }
    }

    /// Waits until there are so many requests, and of each all is known.
    pub(crate) fn wait_until_settled(&self, expected: usize) {
        deadline::wait("all requests, settled", SOON, || {
            let requests = self.bridge.client().requests()?;
            let all = requests.len() == expected && requests.iter().all(|request| request.settled);
            Ok(if all {
                Look::Done(())
            } else {
                Look::NotYet(format!("{requests:?}"))
            })
        })
        .unwrap();
    }
}

/// The shipped gateway; its admin page is at a path that every network namespace reaches.
pub(crate) fn gateway(sandbox: &Sandbox) -> Gateway {
    let pipe = format!("pipe: {{ path: {} }}", admin(sandbox).display());
    Gateway::shipped().with(ADMIN, pipe)
}

/// A gateway that knows nothing of us.
pub(crate) fn bare(sandbox: &Sandbox) -> String {
    let admin = admin(sandbox);
    format!(
        r#"
admin: {{ address: {{ pipe: {{ path: "{}" }} }} }}
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: ${{LISTEN}}, port_value: ${{LISTEN_PORT}} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: bare
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: "/" }}, direct_response: {{ status: 200 }} }}]
"#,
        admin.display()
    )
}

pub(crate) fn admin(sandbox: &Sandbox) -> PathBuf {
    sandbox.directory().join("admin.sock")
}
