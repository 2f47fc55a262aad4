//! Incidents.

use syntrace_core::{
    audit::Rule,
    fact::IncidentKind,
    record::{ChargedIncident, ConnectionIncident, ConnectionRecord, LinkKind, Sharing},
};
use syntrace_model::BootNanos;

use super::super::{of_connection, of_request, sound, world::*};

#[test]
fn an_incident_of_another_request_or_connection_is_found() {
    let charged = |sharing| {
        let incident = ConnectionIncident {
            at: BootNanos(11_000_000),
            kind: IncidentKind::Retransmit,
            count: 1,
            queue: None,
            listener: false,
            sharing,
        };
        let (request, connections) = sound();
        let connection = connections[0].id;
        assert_eq!(request.received_on.connection(), Some(connection));
        ChargedIncident {
            connection,
            link: LinkKind::ReceivedOn,
            incident,
        }
    };
    let own = of_request(|record| record.incidents = vec![charged(Sharing::Exclusive(span(1)))]);
    assert_eq!(own, []);
    let other = of_request(|record| record.incidents = vec![charged(Sharing::Exclusive(span(2)))]);
    assert_eq!(other, [Rule::IncidentsPlaced]);
    let nobody = of_request(|record| record.incidents = vec![charged(Sharing::Nobody)]);
    assert_eq!(nobody, [Rule::IncidentsPlaced]);
    let elsewhere = of_request(|record| {
        let mut charged = charged(Sharing::Exclusive(span(1)));
        charged.link = LinkKind::ServedBy;
        record.incidents = vec![charged];
    });
    assert_eq!(elsewhere, [Rule::IncidentsPlaced]);
    let own_at = |at: [u64; 2]| {
        at.map(|ms| {
            let mut charged = charged(Sharing::Exclusive(span(1)));
            charged.incident.at = BootNanos(ms * 1_000_000);
            charged
        })
    };
    for (at, breaks) in [([12, 11], true), ([11, 12], false)] {
        let placed = [Rule::IncidentsPlaced];
        let breaks = if breaks { &placed[..] } else { &[] };
        let told = of_request(|record| record.incidents = own_at(at).to_vec());
        assert_eq!(told, breaks);
        let incidents = own_at(at).map(|charged| charged.incident).to_vec();
        assert_eq!(of_connection(|record| record.incidents = incidents), breaks);
    }
    let by_none = charged(Sharing::Shared { streams: 0 });
    let shared = of_request(|record| record.incidents = vec![by_none]);
    assert_eq!(shared, [Rule::IncidentsPlaced]);
    let shared = of_connection(|record| record.incidents = vec![by_none.incident]);
    assert_eq!(shared, [Rule::IncidentsPlaced]);
    let unlisted = |evicted| {
        of_connection(|record| {
            record.incidents = vec![charged(Sharing::Exclusive(span(2))).incident];
            record.requests_evicted = evicted;
        })
    };
    assert_eq!(unlisted(0), [Rule::IncidentsPlaced]);
    assert_eq!(unlisted(1), []);
}

#[test]
fn an_incident_of_the_listener_after_the_accept_is_found() {
    let happened = |listener, at, accepted_at| {
        of_connection(|record| {
            record.socket.as_mut().unwrap().accepted_at = accepted_at;
            record.incidents = vec![ConnectionIncident {
                at,
                kind: IncidentKind::AcceptOverflow,
                count: 1,
                queue: None,
                listener,
                sharing: Sharing::Nobody,
            }];
        })
    };
    let socket = sound().1.remove(0).socket.unwrap();
    let opened_at = socket.established_at.unwrap();
    let later = opened_at.plus_ns(1);
    // The listener may have dropped the client's first SYN before it took another one.
    for at in [BootNanos(0), opened_at] {
        assert_eq!(happened(true, at, None), []);
    }
    assert_eq!(happened(true, later, None), [Rule::IncidentsPlaced]);
    assert_eq!(happened(true, later, Some(later)), []);
    assert_eq!(happened(false, later, None), []);
    let of_listener = |spoil: fn(&mut ConnectionRecord)| {
        let found = of_connection(|record| {
            spoil(record);
            record.incidents = vec![ConnectionIncident {
                at: opened_at,
                kind: IncidentKind::AcceptOverflow,
                count: 1,
                queue: None,
                listener: true,
                sharing: Sharing::Nobody,
            }];
        });
        found.contains(&Rule::IncidentsPlaced)
    };
    let never_opened = |record: &mut ConnectionRecord| {
        record.socket.as_mut().unwrap().established_at = None;
    };
    assert!(of_listener(never_opened));
    assert!(!of_listener(|record| record.socket = None));
}
