//! Which broken link `syntrace doctor` names.

use std::{fs, process::Command};

use serde_json::Value;
use syntrace_integration::{
    api::Client,
    bridge::{self, Bridge},
    clients::{self, Version},
    deadline::{self, Look},
    envoy::{Gateway, PORT},
    paths,
    process::Program,
    requirements,
    sandbox::Sandbox,
};
use syntrace_test_requirements::Requirement;

use crate::{
    SOON, Said, run,
    stack::{Parts, admin, bare, gateway},
};

#[test]
fn the_doctor_finds_nothing_where_all_is_well() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), Some(&[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.out);
    assert_eq!(broken(&doctor), [""; 0], "{}", doctor.out);
    assert_eq!(state(&doctor, "facts"), "fine", "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_probe_that_is_missing() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), None);
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(doctor.code, Some(2));
    assert_eq!(broken(&doctor), ["probe"], "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_probe_on_a_lower_rung_with_what_it_lacks() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let without = ["--without", "tag,accept-wait"];
    let parts = Parts::start(&sandbox, gateway(&sandbox), Some(&without));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(broken(&doctor), [""; 0], "{}", doctor.out);
    assert_eq!(state(&doctor, "probe"), "limited", "{}", doctor.out);
    let lacks = |what| doctor.out.contains(what);
    assert!(lacks("accept wait") && lacks("tag"), "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_filter_that_is_not_loaded() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let template = sandbox.directory().join("bare.yaml");
    fs::write(&template, bare(&sandbox)).unwrap();
    let gateway = Gateway::configured_by(template);
    let parts = Parts::start(&sandbox, gateway, Some(&[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = examine(&sandbox, &parts.bridge, &[]);
    assert_eq!(broken(&doctor)[0], "filter", "{}", doctor.out);
}

#[test]
fn the_doctor_names_a_filter_that_cannot_reach_the_bridge() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let gateway = gateway(&sandbox).with("${BRIDGE_SOCKET}", "/nowhere/bridge.sock");
    let parts = Parts::start(&sandbox, gateway, Some(&[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = eventually(&sandbox, &parts.bridge, "facts");
    assert_eq!(broken(&doctor), ["facts"], "{}", doctor.out);
    assert!(
        doctor.out.contains("cannot reach the bridge"),
        "{}",
        doctor.out
    );
}

#[test]
fn the_doctor_names_clocks_that_are_apart() {
    if !requirements::are_met() || !is_installed("faketime") {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let parts = Parts::start(&sandbox, gateway(&sandbox), Some(&[]));
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    parts.wait_until_settled(1);
    // This host's clock goes wrong, for the doctor's eyes.
    let doctor = examine(&sandbox, &parts.bridge, &["faketime", "-f", "+90s"]);
    assert_eq!(broken(&doctor), ["clocks"], "{}", doctor.out);
}

#[test]
fn the_doctor_names_an_export_that_fails() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let mut parts = Parts::start(&sandbox, gateway(&sandbox), Some(&[]));
    parts.bridge.process().end().unwrap();
    let mut exporting = Program::new(
        "exporting-bridge",
        &sandbox.watching,
        paths::program("syntrace-bridge").unwrap(),
    )
    .args(["--facts", &bridge::facts_url(&sandbox)])
    .args(["--listen", "127.0.0.1:0"])
    // Where nobody listens.
    .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    .env("NO_COLOR", "1")
    .start(sandbox.directory())
    .unwrap();
    let line = exporting.wait_for_line("Listening", SOON).unwrap();
    let (_, address) = line.split_once("address=").unwrap();
    let address = address.split_whitespace().next().unwrap();
    let bridge = Client::new(address.parse().unwrap());
    clients::curl(&sandbox, PORT, Version::Http1, &["/hello"]).unwrap();
    let doctor = deadline::wait("the doctor to see the export fail", SOON, || {
        let doctor = doctor(&sandbox, &bridge, &[]);
        Ok(match broken(&doctor).as_slice() {
            [link] if link == "export" => Look::Done(doctor),
            _ => Look::NotYet(doctor.out),
        })
    });
    assert_eq!(doctor.unwrap().code, Some(2));
}

fn examine(sandbox: &Sandbox, bridge: &Bridge, through: &[&str]) -> Said {
    doctor(sandbox, bridge.client(), through)
}

/// Lets the doctor look until a link is broken: some faults show with the next flush.
fn eventually(sandbox: &Sandbox, bridge: &Bridge, link: &str) -> Said {
    let waited = deadline::wait("the doctor to see it", SOON, || {
        let doctor = examine(sandbox, bridge, &[]);
        Ok(if broken(&doctor).iter().any(|broken| broken == link) {
            Look::Done(doctor)
        } else {
            Look::NotYet(doctor.out)
        })
    });
    waited.unwrap()
}

fn doctor(sandbox: &Sandbox, bridge: &Client, through: &[&str]) -> Said {
    let admin = format!("unix:{}", admin(sandbox).display());
    run(
        bridge,
        through,
        &["doctor", "--json", "--envoy-admin", &admin],
    )
}

/// The links that the doctor calls broken, in the order of the chain.
pub(crate) fn broken(doctor: &Said) -> Vec<String> {
    let checks = checks(doctor);
    let broken = checks.iter().filter(|check| check["state"] == "broken");
    broken
        .map(|check| check["link"].as_str().unwrap().to_owned())
        .collect()
}

fn state(doctor: &Said, link: &str) -> String {
    let checks = checks(doctor);
    let check = checks.iter().find(|check| check["link"] == link).unwrap();
    check["state"].as_str().unwrap().to_owned()
}

fn checks(doctor: &Said) -> Vec<Value> {
    serde_json::from_str(&doctor.out).unwrap_or_else(|_| panic!("{}{}", doctor.out, doctor.err))
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    Requirement::Kernel.is_met(found, &format!("`{program}`"))
}
