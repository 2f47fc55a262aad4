//! Connects that failed, and requests that failed by them.

use syntrace_core::{
    Confidence,
    fact::{Report, Snapshot},
    record::{Join, RequestRecord},
};
use syntrace_model::{ConnectionId, Outcome};

use super::{accepted, failed, from_client, request, tell, to_service, unserved};

const REFUSED: &str = "delayed connect error: 111";

/// The record of a request on the client's connection, which is open all the time.
pub fn told(mut sockets: Vec<Snapshot>, report: Report) -> RequestRecord {
    let client = accepted(1, 0.0, 5_000.0);
    sockets.insert(0, client);
    tell(sockets, vec![report]).requests.remove(0)
}

/// A connect that was refused after 0.25 ms.
pub fn refused(cookie: u64, from: f64) -> Snapshot {
    failed(
        cookie,
        to_service(6_000 + cookie as u16),
        Outcome::Refused,
        from,
        from + 0.25,
    )
}

/// A request that waited 0.4 ms for a connection, and failed.
pub fn fails(from: f64, until: f64) -> Report {
    let mut report = unserved(request(1, from_client(5001), from, until), REFUSED);
    report.upstream.as_mut().unwrap().pool_wait_ns = Some(400_000);
    report
}

/// The cookie of the connect that failed a request, and how sure that is.
pub fn failed_by(record: &RequestRecord) -> Option<(u64, Confidence)> {
    match record.opened.as_ref()? {
        Join::To {
            connection: ConnectionId::Socket { cookie, .. },
            confidence,
            ..
        } => Some((*cookie, *confidence)),
        Join::To { .. } | Join::Missing(_) => None,
    }
}
