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
    fact::{IncidentKind, Origin, TraceLinkKind},
    record::{IdSource, LinkKind, Method, Missing, PhaseKind, Role, Sharing},
};
use syntrace_model::SpanId;

#[test]
fn everything_that_a_record_names_has_a_name_of_its_own() {
    let kinds: [&[&str]; 14] = [
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
            Missing::TimeDiffers.name(),
            Missing::NumberDiffers.name(),
            Missing::ProcessUnknown.name(),
            Missing::FactsLost.name(),
            Missing::NoConnection.name(),
            Missing::NotSought.name(),
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
        &[
            Origin::Watched.name(),
            Origin::Backfilled.name(),
            Origin::Polled.name(),
        ],
        &[
            IncidentKind::Retransmit.name(),
            IncidentKind::ZeroWindow.name(),
            IncidentKind::AcceptOverflow.name(),
            IncidentKind::SynOverflow.name(),
            IncidentKind::SynCookies.name(),
        ],
        &[
            TraceLinkKind::Restarted.name(),
            TraceLinkKind::Rotated.name(),
        ],
        &[
            Sharing::Nobody.name(),
            Sharing::Exclusive(SpanId::new([1; 8]).unwrap()).name(),
            Sharing::Shared { streams: 2 }.name(),
        ],
    ];
    for names in kinds {
        let letters = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(|name| !name.is_empty() && letters(name)));
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
