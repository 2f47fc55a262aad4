//! `syntrace.v1.Incident` to [`Incident`]: what a probe reports of one moment of a socket or listener.

use syntrace_core::fact::{Incident, IncidentKind, Queue};
use syntrace_model::BootNanos;
use syntrace_proto as wire;

use super::{Meaningless, boot_id, meaningless, translate_endpoint};

pub(super) fn translate(from: wire::Incident) -> Result<Incident, Meaningless> {
    if from.at_ns == 0 {
        return Err(meaningless("incident.at_ns", 0, "the time of the incident"));
    }
    if from.count == 0 {
        return Err(meaningless("incident.count", 0, "1 or more"));
    }
    let Some(local) = &from.local else {
        return Err(meaningless(
            "incident.local",
            "absent",
            "an address and a port",
        ));
    };
    let peer = from.peer.as_ref();
    Ok(Incident {
        at: BootNanos(from.at_ns),
        boot: boot_id(&from.boot_id, "incident.boot_id")?,
        cookie: from.socket_cookie,
        netns: from.netns_cookie,
        local: translate_endpoint(local, "incident.local")?,
        peer: peer
            .map(|peer| translate_endpoint(peer, "incident.peer"))
            .transpose()?,
        kind: kind(from.kind)?,
        count: from.count,
        queue: (from.queue_max != 0).then_some(Queue {
            length: from.queue,
            max: from.queue_max,
        }),
    })
}

fn kind(number: i32) -> Result<IncidentKind, Meaningless> {
    match wire::IncidentKind::try_from(number) {
        Ok(wire::IncidentKind::Retransmit) => Ok(IncidentKind::Retransmit),
        Ok(wire::IncidentKind::ZeroWindow) => Ok(IncidentKind::ZeroWindow),
        Ok(wire::IncidentKind::AcceptOverflow) => Ok(IncidentKind::AcceptOverflow),
        Ok(wire::IncidentKind::SynOverflow) => Ok(IncidentKind::SynOverflow),
        Ok(wire::IncidentKind::SynCookies) => Ok(IncidentKind::SynCookies),
        Ok(wire::IncidentKind::Unspecified) | Err(_) => {
            Err(meaningless("incident.kind", number, "a known kind"))
        }
    }
}
