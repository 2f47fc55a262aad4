//! The recommendations on propagation, sentence by sentence, each shown by requests through Envoy.
//!
//! `wasm-filter/CONFORMANCE.md` is written from it: `UPDATE=1` writes it, otherwise it has to be what it was.

mod b3;
mod baggage;
mod case;
mod page;
mod traceparent;
mod tracestate;

use std::fs;

use syntrace_integration::{paths, requirements, sandbox::Sandbox};

use crate::gateway::{self, Connection, Gateway, Request, Setup};
use case::{Case, Sentence, Settings, Shown};

/// A recommendation.
struct Recommendation {
    title: &'static str,
    sentences: Vec<Sentence>,
}

#[test]
fn every_sentence_that_concerns_a_participant_holds() {
    if !requirements::are_met() {
        return;
    }
    let recommendations = [
        Recommendation {
            title: "W3C Trace Context, level 2: traceparent",
            sentences: traceparent::sentences(),
        },
        Recommendation {
            title: "W3C Trace Context, level 2: tracestate",
            sentences: tracestate::sentences(),
        },
        Recommendation {
            title: "W3C Baggage",
            sentences: baggage::sentences(),
        },
        Recommendation {
            title: "B3",
            sentences: b3::sentences(),
        },
    ];
    let cases = || {
        let sentences = recommendations.iter().flat_map(|one| &one.sentences);
        sentences.flat_map(|sentence| sentence.cases().iter().map(move |case| (sentence, case)))
    };

    let module = paths::filter().unwrap();
    let setups = Settings::ALL.map(|settings| Setup {
        module: &module,
        settings: settings.text(),
        capabilities: None,
        failure_policy: "FAIL_RELOAD",
        pause: "1s",
        vm_id: "syntrace",
    });
    let sandbox = Sandbox::new().unwrap();
    let envoy = Gateway::start(&sandbox, &setups, 1).unwrap();
    let plan: Vec<_> = cases().flat_map(|(_, case)| plan(case)).collect();
    let answers = envoy.ask(&sandbox, &plan).unwrap();
    let mut received = answers.iter().map(|answers| {
        assert!(answers.iter().all(|answer| answer.status == 200));
        gateway::received(answers.first().unwrap()).unwrap()
    });
    let failures: Vec<_> = cases()
        .filter_map(|(sentence, case)| {
            let received: Vec<_> = received.by_ref().take(case.connections).collect();
            let error = case.check(&received).err()?;
            Some(format!("{}: {}: {error}", sentence.section, case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let path = paths::root().join("wasm-filter/CONFORMANCE.md");
    let page = page::write(&recommendations);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == page,
        "UPDATE=1 writes {} anew",
        path.display()
    );
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let sentences = [
        traceparent::sentences(),
        tracestate::sentences(),
        baggage::sentences(),
        b3::sentences(),
    ];
    for sentences in sentences {
        let mut names: Vec<_> = sentences
            .iter()
            .flat_map(|sentence| sentence.cases().iter().map(|case| case.name.as_str()))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

/// Returns the connections of a case, each with one request.
fn plan(case: &Case) -> impl Iterator<Item = Connection> {
    let index = Settings::ALL
        .iter()
        .position(|settings| *settings == case.settings)
        .unwrap();
    let connection = Connection {
        port: gateway::port(index),
        requests: vec![Request {
            path: "/".to_owned(),
            headers: case.sent.clone(),
        }],
    };
    std::iter::repeat_n(connection, case.connections)
}

impl Sentence {
    fn cases(&self) -> &[Case] {
        match &self.shown {
            Shown::By(cases) => cases,
            Shown::Not(_) => &[],
        }
    }
}
