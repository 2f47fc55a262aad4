//! The Grafana dashboard and the Prometheus rules: generated, checked, and true to `/metrics`.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod grafana;
mod panels;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{Bridge, facts, place::Place};
use syntrace_proto::fact::Body;
use syntrace_test_requirements::Requirement;

#[test]
fn the_dashboard_is_what_its_panels_say() {
    let generated = serde_json::to_string_pretty(&grafana::dashboard()).unwrap() + "\n";
    let path = folder().join("grafana.json");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert_eq!(
        generated, committed,
        "run the test with UPDATE=1 and read the difference"
    );
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_told() {
    let place = Place::new();
    let bridge = place.start();
    let mut story = facts::story();
    for fact in &mut story.facts {
        if let Some(Body::Request(request)) = &mut fact.body {
            request.dye = "gray=v2".to_owned();
        }
    }
    bridge.accept(&story).await;
    let settled = |answer: &support::Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let told = bridge.get("/metrics").await.text();
    let told: BTreeSet<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let rules = fs::read_to_string(folder().join("alerts.yaml")).unwrap();
    let dashboard = fs::read_to_string(folder().join("grafana.json")).unwrap();
    let asked = [rules, dashboard].concat();
    for name in metrics(&asked) {
        let endings = ["", "_total", "_bucket", "_sum", "_count"];
        let known = endings.iter().any(|ending| {
            let base = name.strip_suffix(ending).unwrap_or_default();
            told.contains(base) || told.contains(format!("{base}_total").as_str())
        });
        assert!(known, "nobody tells {name}: {told:?}");
    }
}

#[test]
fn the_rules_hold_their_tests() {
    promtool(&["check", "rules"], &["alerts.yaml"]);
    promtool(&["test", "rules"], &["alerts_test.yaml"]);
}

#[tokio::test]
async fn the_metrics_are_clean() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let page = bridge.get("/metrics").await;
    let Some(mut promtool) = program() else {
        return;
    };
    let mut checking = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking
        .stdin
        .take()
        .unwrap()
        .write_all(&page.body)
        .unwrap();
    let checked = checking.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

#[test]
fn every_alert_leads_to_the_page_with_a_filter() {
    let rules = fs::read_to_string(folder().join("alerts.yaml")).unwrap();
    let alerts = rules.matches("- alert:").count();
    let links = rules
        .matches("page: 'http://{{ $labels.instance }}/?")
        .count();
    assert_eq!(alerts, links);
    let dashboard = grafana::dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels
            .iter()
            .all(|panel| panel["type"] == "row" || panel["description"] != Value::Null)
    );
}

/// The names of our metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    // The names of the scrape job, of its external label and of the dashboard are no metrics.
    words
        .filter(|word| word.starts_with("syntrace_") && !word.ends_with("_test"))
        .collect()
}

fn promtool(arguments: &[&str], files: &[&str]) {
    let Some(mut promtool) = program() else {
        return;
    };
    let checked = promtool
        .args(arguments)
        .args(files)
        .current_dir(folder())
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Prometheus' own checker; without it says so, and the test should return.
fn program() -> Option<Command> {
    let there = Command::new("promtool")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = there.is_ok_and(|status| status.success());
    Requirement::Prometheus
        .is_met(there, "promtool (scripts/setup bridge)")
        .then(|| Command::new("promtool"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}
