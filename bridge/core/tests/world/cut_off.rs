//! Requests that were given to a service, and ended without a whole answer.

use syntrace_core::{answer::Cause, fact::Report};
use syntrace_model::Opening;

use super::{from_client, request, served, socket, to_service, told};

/// A request that was given to a connection to the service at 11 ms, and ended at `until` without a whole answer.
pub fn sent(flags: u64, status: u16, details: &str, until: f64) -> Report {
    let mut report = served(request(1, from_client(5001), 11.0, until), 6001, 0.0, 0.0);
    report.upstream.as_mut().unwrap().first_byte_ns = None;
    report.http.response_flags = flags;
    report.http.status = status;
    report.http.response_details = details.into();
    report
}

/// What is said of a request where both of its connections are known.
pub fn cause(report: Report) -> Cause {
    let sockets = vec![
        socket(1, Opening::Passive, from_client(5001), 10.0, 400_000.0),
        socket(2, Opening::Active, to_service(6001), 5.0, 400_000.0),
    ];
    told(sockets, report).answer.cause
}
