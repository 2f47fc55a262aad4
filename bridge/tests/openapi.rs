//! The served description of the API: complete, and true by the word of a tool that tries it.

mod support;

use std::{env, fs, path::PathBuf, process::Command};

use support::{Answer, Bridge, facts};
use syntrace_test_requirements::Requirement;
use tokio::{net::TcpListener, task::spawn_blocking};

/// What Schemathesis looks for. That schema-valid questions are always taken is not promised: an
/// address, for one, has more rules than a schema can say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,\
    unsupported_method";

#[tokio::test]
async fn every_path_is_described() {
    let bridge = Bridge::start();
    let api = bridge.get("/openapi.json").await.json();
    let described: Vec<_> = api["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        described,
        [
            "/livez",
            "/metrics",
            "/readyz",
            "/v1/causes",
            "/v1/connections",
            "/v1/connections/{id}",
            "/v1/coverage",
            "/v1/facts",
            "/v1/requests",
            "/v1/requests/{id}",
            "/v1/traces/{id}",
        ]
    );
    for path in described {
        let answer = bridge.get(&path).await;
        assert!(!answer.text().contains("unknown_path"), "{path}");
    }
}

#[tokio::test]
async fn every_code_of_an_error_is_described_with_its_status() {
    let bridge = Bridge::start();
    let api = bridge.get("/openapi.json").await.json();
    let schemas = &api["components"]["schemas"];
    let of_error = &schemas["ErrorInner"]["properties"]["code"]["$ref"];
    assert_eq!(of_error, "#/components/schemas/Code", "{of_error}");
    let codes = schemas["Code"]["enum"].as_array().unwrap();
    for code in ["unauthorised", "newer_schema", "too_fast", "head_too_large"] {
        assert!(codes.iter().any(|described| described == code), "{code}");
    }
    let (status, code) = bridge.get("/v1/requests?since=noon").await.error();
    let page = bridge.get("/docs").await.text();
    let row = format!("<td><code>{code}</code></td><td>{status}</td>");
    assert!(page.contains(&row), "{row}");
}

#[tokio::test]
async fn the_page_of_the_description_has_all_parameters_and_loads_nothing() {
    let bridge = Bridge::start();
    let page = bridge.get("/docs").await;
    let text = page.text();
    for word in [
        "GET /v1/connections/{id}",
        "min_retransmits",
        "Last-Event-ID",
        "POST /v1/facts",
        "newer_schema",
    ] {
        assert!(text.contains(word), "{word}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!text.contains("http://") && !text.contains("https://"));
}

/// `SCHEMATHESIS` names the program.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_server_error_and_no_undescribed_answer() {
    let program = env::var_os("SCHEMATHESIS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin/schemathesis"),
        PathBuf::from,
    );
    let what = format!("{} (scripts/setup bridge)", program.display());
    if !Requirement::Schemathesis.is_met(program.exists(), &what) {
        return;
    }
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/openapi.json", listener.local_addr().unwrap());
    let app = bridge.router.clone();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let directory = tempfile::tempdir().unwrap();
    let hooks = directory.path().join("schemathesis_hooks.py");
    fs::write(hooks, include_str!("schemathesis.py")).unwrap();
    let running = spawn_blocking(move || {
        Command::new(program)
            .current_dir(directory.path())
            .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
            .env("PYTHONPATH", directory.path())
            .args(["run", &url, "--checks", CHECKS, "--max-examples", "30"])
            .args(["--request-timeout", "10", "--seed", "1", "--no-color"])
            .output()
    });
    let output = running.await.unwrap().unwrap();
    serving.abort();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
}
