//! The dashboard's and the rules' queries, asked of a real Prometheus that scraped the bridge of a real stack:
//! each returns data.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{fs, net::TcpListener, process::Command, time::Duration};

use serde_json::Value;
use syntrace_integration::{
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Gateway, PORT},
    paths,
    process::{Process, Program},
    requirements,
    sandbox::Sandbox,
    stack::Stack,
};
use syntrace_test_requirements::Requirement;

/// A few scrapes apart, and the rates have two samples.
const SOON: Duration = Duration::from_secs(90);

/// What Grafana would fill in.
const FILLED_IN: [(&str, &str); 2] = [("$__rate_interval", "30s"), ("$instance", ".+")];

/// Every request is dyed, so that there is something to say of dyes.
const DYE: &str =
    r#"{"dye": {"header": "x-dye", "rules": [{"path_prefix": "/", "set": "gray=v2"}]}}"#;

#[test]
fn every_query_of_the_dashboard_returns_data() {
    if !requirements::are_met() || !is_there() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let gateway = Gateway::shipped().with("'${FILTER_CONFIG}'", format!("'{DYE}'"));
    let stack = Stack::start_with(&sandbox, gateway).unwrap();
    let bridge = stack.bridge.client().base().to_owned();
    let mut prometheus = start(&sandbox, &bridge);
    let address = prometheus.1.clone();
    let paths = ["/hello", "/dead", "/status/500"];
    let mut missing = queries();
    deadline::wait("every query to return data", SOON, || {
        let ended = prometheus.0.wait(Duration::ZERO);
        assert!(ended.is_err(), "prometheus ended: {}", prometheus.0.tail());
        clients::curl(&sandbox, PORT, Version::Http1, &paths)?;
        missing.retain(|query| !has_data(&address, query));
        Ok(if missing.is_empty() {
            Look::Done(())
        } else {
            Look::NotYet(format!("{missing:#?}"))
        })
    })
    .unwrap();
}

/// All queries of the committed dashboard.
fn queries() -> Vec<String> {
    let path = paths::root().join("bridge/dashboards/grafana.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let asked = targets.flatten().map(|target| {
        let expression = target["expr"].as_str().unwrap().to_owned();
        FILLED_IN
            .iter()
            .fold(expression, |text, (name, value)| text.replace(name, value))
    });
    let asked: Vec<String> = asked.collect();
    assert!(asked.len() > 10, "{asked:?}");
    asked
}

/// Starts Prometheus on a free port, scraping the bridge every second.
fn start(sandbox: &Sandbox, bridge: &str) -> (Process, String) {
    let target = bridge.trim_start_matches("http://");
    let configuration = sandbox.directory().join("prometheus.yaml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\n\
         rule_files: [{}]\n\
         scrape_configs: [{{ job_name: syntrace, static_configs: [{{ targets: ['{target}'] }}] }}]\n",
        paths::root()
            .join("bridge/dashboards/alerts.yaml")
            .display()
    );
    fs::write(&configuration, text).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut process = Program::new("prometheus", &sandbox.watching, "prometheus")
        .args([format!("--config.file={}", configuration.display())])
        .args([format!(
            "--storage.tsdb.path={}",
            sandbox.directory().join("prometheus").display()
        )])
        .args([format!("--web.listen-address={address}")])
        .start(sandbox.directory())
        .unwrap();
    process.wait_for_port(address.port(), SOON).unwrap();
    (process, format!("http://{address}"))
}

fn has_data(prometheus: &str, query: &str) -> bool {
    let url = format!("{prometheus}/api/v1/query");
    let answer = ureq::get(&url).query("query", query).call();
    let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
    let Ok(Ok(answer)) = text.map(|text| serde_json::from_str::<Value>(&text)) else {
        return false;
    };
    let results = answer["data"]["result"].as_array();
    results.is_some_and(|results| results.iter().any(|result| result["value"][1] != "NaN"))
}

/// Returns whether there is a Prometheus; otherwise says so, and the test should return.
fn is_there() -> bool {
    let found = Command::new("prometheus").arg("--version").output().is_ok();
    Requirement::Prometheus.is_met(found, "prometheus (scripts/setup page)")
}
