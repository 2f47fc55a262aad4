//! The names that records show: each thing has one of its own, in small letters.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

use std::collections::BTreeSet;

use syntrace_core::{
    Confidence,
    answer::{Code, Party},
    audit::Rule,
    record::{IdSource, LinkKind, Method, Missing, PhaseKind, Role},
};

#[test]
fn everything_that_a_record_names_has_a_name_of_its_own() {
    let kinds: [&[&str]; 10] = [
        &[
            Method::Exact.name(),
            Method::Peer.name(),
            Method::Failure.name(),
        ],
        &[
            Missing::NoKernelView.name(),
            Missing::NoClock.name(),
            Missing::NoAddress.name(),
            Missing::AddressHidden.name(),
            Missing::ProcessUnknown.name(),
            Missing::FactsLost.name(),
            Missing::NoConnection.name(),
        ],
        &[
            LinkKind::ReceivedOn.name(),
            LinkKind::Opened.name(),
            LinkKind::ServedBy.name(),
        ],
        &[Role::Downstream.name(), Role::Upstream.name()],
        &[
            IdSource::Filter.name(),
            IdSource::Tag.name(),
            IdSource::Kernel.name(),
            IdSource::Request.name(),
        ],
        &[
            Confidence::Certain.name(),
            Confidence::Likely.name(),
            Confidence::Ambiguous { candidates: 2 }.name(),
        ],
        &[Party::Client.name(), Party::Network.name()],
        &[Code::SlowService.name(), Code::SlowClient.name()],
        &[PhaseKind::Handshake.name(), PhaseKind::Open.name()],
        &[Rule::InOrder.name(), Rule::OneId.name()],
    ];
    for names in kinds {
        let letters = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(|name| !name.is_empty() && letters(name)));
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
