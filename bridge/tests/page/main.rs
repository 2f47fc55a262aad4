//! The page in a real browser, in front of a real bridge that was told what is rare: nothing at all, a
//! great many records, and strings of an attacker in every field.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bridge;
#[path = "../browser/mod.rs"]
mod browser;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use bridge::Running;
use support::{facts, traffic};
use syntrace_proto::{Outcome, fact::Body};

/// Connections in the list.
const CONNECTIONS: u64 = 10_000;

/// Requests on one connection.
const REQUESTS: u64 = 10_000;

/// From one record of a list that is followed to the next.
const MOMENT: Duration = Duration::from_millis(100);

/// What an attacker would like to run, to show and to hide.
const HOSTILE: &str = "<img src=x onerror=\"window.hit=1\">'\"><script>window.hit=1</script>\
    javascript:window.hit=1\u{7}\u{1b}[31m\u{202e}{{7*7}}${window.hit=1}";

#[test]
fn an_empty_bridge_says_what_to_start() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    browser::run("states.py", &bridge.base(), &["case=empty"]);
}

#[test]
fn a_bridge_with_a_token_asks_for_it() {
    if !browser::is_there() {
        return;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "the-right-token-here").unwrap();
    let only_ours = fs::Permissions::from_mode(0o600);
    file.as_file().set_permissions(only_ours).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let bridge = Running::start(&[("SYNTRACE_LISTEN_TOKEN_FILE", &path)]);
    browser::run(
        "states.py",
        &bridge.base(),
        &["case=token", "token=the-right-token-here"],
    );
}

#[test]
fn connections_without_the_filters_view_are_listed_and_the_page_says_so() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    let mut batch = facts::story();
    batch.sender.as_mut().unwrap().name = "probe".to_owned();
    batch
        .facts
        .retain(|fact| !matches!(fact.body, Some(Body::Request(_))));
    bridge.post(&batch);
    bridge.wait_until_settled("connections", 3);
    browser::run("states.py", &bridge.base(), &["case=no-filter"]);
}

#[test]
fn a_bridge_that_dies_leaves_what_was_shown_and_says_that_it_is_gone() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    bridge.post(&facts::story());
    bridge.wait_until_settled("connections", 3);
    let pid = format!("pid={}", bridge.id());
    browser::run("states.py", &bridge.base(), &["case=gone", &pid]);
}

#[test]
fn ten_thousand_connections_and_a_record_with_as_many_requests_are_drawn_in_part() {
    if !browser::is_there() {
        return;
    }
    // What comes later than the grace period is another record: on a busy machine the requests alone may take that long.
    let bridge = Running::start(&[("SYNTRACE_GRACE_MS", "6000")]);
    bridge.post(&traffic::opening());
    for n in 0..4 {
        let quarter = CONNECTIONS / 4;
        let first = traffic::OPENING + n * 2 * quarter;
        bridge.post(&traffic::batch(first, quarter));
    }
    let busy = bridge.post_busy(REQUESTS);
    bridge.wait_until_settled("connections", CONNECTIONS + 1);
    let told = [
        format!("connections={}", CONNECTIONS + 1),
        format!("busy={busy}"),
        format!("requests={REQUESTS}"),
    ];
    let told = told.each_ref().map(String::as_str);
    let figures = browser::run("large.py", &bridge.base(), &told);
    writeln!(std::io::stderr(), "{figures}").unwrap_or_default();
}

#[test]
fn trouble_that_no_request_shows_is_said_where_nothing_failed() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    let mut batch = traffic::whole_batch(0, 0, 2);
    let mut of_connections = batch
        .facts
        .iter_mut()
        .filter_map(|fact| match &mut fact.body {
            Some(Body::Connection(connection)) => Some(connection),
            _ => None,
        });
    let lossy = of_connections.next().unwrap();
    lossy.retransmits = 2;
    let id = format!("{}.{}", "b0".repeat(16), lossy.socket_cookie);
    bridge.post(&batch);
    bridge.wait_until_settled("requests", 2);
    bridge.wait_until_settled("connections", 2);
    let connection = format!("connection={id}");
    browser::run(
        "states.py",
        &bridge.base(),
        &["case=unattributed", &connection],
    );
}

#[test]
fn lists_and_causes_say_what_they_leave_out() {
    if !browser::is_there() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("view"), "in the way").unwrap();
    let data_dir = data.path().to_str().unwrap();
    let bridge = Running::start(&[
        ("SYNTRACE_DATA_DIR", data_dir),
        ("SYNTRACE_SETTLED_RECORDS", "20"),
    ]);
    bridge.post(&traffic::opening());
    bridge.post(&traffic::batch(traffic::OPENING, 50));
    bridge.wait_until_settled("requests", 50);
    browser::run("states.py", &bridge.base(), &["case=incomplete"]);
}

#[test]
fn a_list_is_told_of_what_settles_and_leaves_nothing_out_while_nobody_looks() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    bridge.post(&traffic::opening());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = traffic::OPENING;
            while !is_over.load(Ordering::Relaxed) {
                bridge.post(&traffic::batch(next, 1));
                next += 2;
                thread::sleep(MOMENT);
            }
        });
        bridge.wait_until_any("requests");
        // The traffic must end, whatever the browser says.
        let looked = panic::catch_unwind(AssertUnwindSafe(|| {
            browser::run("follows.py", &bridge.base(), &[]);
        }));
        is_over.store(true, Ordering::Relaxed);
        looked.unwrap_or_else(|said| panic::resume_unwind(said));
    });
}

#[test]
fn a_record_leads_to_the_tracing_backend_where_the_operator_says() {
    if !browser::is_there() {
        return;
    }
    let template = "https://tracing.example/trace/{trace_id}?from=syntrace";
    let bridge = Running::start(&[("SYNTRACE_TRACE_URL", template)]);
    bridge.post(&traffic::opening());
    bridge.post(&traffic::batch(traffic::OPENING, 1));
    bridge.wait_until_settled("requests", 1);
    let request = bridge.ask("/v1/requests")["requests"][0].take();
    let trace_id = request["trace_id"].as_str().unwrap();
    let link = format!("link={}", template.replace("{trace_id}", trace_id));
    let id = format!("request={}", request["id"].as_str().unwrap());
    browser::run("states.py", &bridge.base(), &["case=backend", &id, &link]);
}

#[test]
fn strings_of_an_attacker_are_shown_and_do_nothing() {
    if !browser::is_there() {
        return;
    }
    let bridge = Running::start(&[]);
    let mut batch = facts::story();
    batch.sender.as_mut().unwrap().name = HOSTILE.chars().take(100).collect();
    // Nobody waits for what else its probe may tell.
    batch.goodbye = true;
    let hostile = || HOSTILE.to_owned();
    for fact in &mut batch.facts {
        match &mut fact.body {
            Some(Body::Request(request)) => {
                let long = HOSTILE.repeat(400);
                (request.path, request.method) = (format!("/{long}"), hostile());
                (request.authority, request.protocol) = (hostile(), hostile());
                (request.request_id, request.response_details) = (hostile(), hostile());
                (request.dye, request.baggage) = (hostile(), hostile());
                (request.route, request.server_name) = (hostile(), hostile());
                request.tracestate = hostile();
                if let Some(upstream) = &mut request.upstream {
                    (upstream.cluster, upstream.failure) = (hostile(), hostile());
                }
            }
            Some(Body::Connection(connection)) => {
                connection.reset_reason = hostile();
                connection.outcome = Outcome::ResetByPeer.into();
            }
            Some(Body::Rung(rung)) => {
                (rung.name, rung.missing) = (hostile(), vec![hostile()]);
            }
            Some(Body::Clock(_) | Body::Incident(_) | Body::Sampling(_)) | None => {}
        }
    }
    bridge.post(&batch);
    bridge.wait_until_settled("requests", 2);
    let request = format!("request={}", "51".repeat(8));
    let connection = format!("connection={}.1", "b0".repeat(16));
    browser::run("hostile.py", &bridge.base(), &[&request, &connection]);
}
