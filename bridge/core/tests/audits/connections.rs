//! Connections.

use syntrace_core::{
    audit::Rule,
    record::{ConnectionRecord, LinkKind, Role},
};
use syntrace_model::Outcome;

use super::super::{of_connection, world::*};

#[test]
fn a_link_that_the_connection_cannot_have_is_found() {
    let rules = of_connection(|record| record.requests[0].kind = LinkKind::ServedBy);
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.role = Some(Role::Upstream));
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.role = None);
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.requests.push(record.requests[0]));
    assert_eq!(rules, [Rule::LinksIntact]);
}

#[test]
fn times_that_run_backwards_are_found_unless_the_record_says_so() {
    let backwards = |record: &mut ConnectionRecord| {
        record.socket.as_mut().unwrap().syn_ack_at = Some(boot(49.0));
    };
    assert_eq!(of_connection(backwards), [Rule::InOrder]);
    let ended_first = |record: &mut ConnectionRecord| {
        let socket = record.socket.as_mut().unwrap();
        socket.established_at = Some(boot(51.0));
    };
    assert_eq!(of_connection(ended_first), [Rule::InOrder]);
    let told = of_connection(|record| {
        backwards(record);
        record.coverage.contradictions.push("out_of_order");
    });
    assert_eq!(told, []);
}

#[test]
fn an_id_that_is_its_own_alias_is_found() {
    let rules = of_connection(|record| record.aliases = vec![record.trace_id]);
    assert_eq!(rules, [Rule::OneId]);
    for twice_or_backwards in [[trace(9), trace(9)], [trace(9), trace(8)]] {
        let rules = of_connection(|record| record.aliases = twice_or_backwards.to_vec());
        assert_eq!(rules, [Rule::OneId]);
    }
    assert_eq!(
        of_connection(|record| record.aliases = vec![trace(8), trace(9)]),
        []
    );
}

#[test]
fn a_settled_connection_without_an_end_is_found_unless_it_says_so() {
    let endless = |record: &mut ConnectionRecord| {
        let socket = record.socket.as_mut().unwrap();
        socket.closed_at = None;
        socket.outcome = Outcome::Closed;
        socket.seen_at = boot(50.0);
    };
    assert_eq!(of_connection(endless), [Rule::EndKnown]);
    let told = of_connection(|record| {
        endless(record);
        record.coverage.close_missing = true;
    });
    assert_eq!(told, []);
    let unsettled = of_connection(|record| {
        endless(record);
        record.settled = false;
    });
    assert_eq!(unsettled, []);
    // One that is open has none either, nor has one of which it is not known how it ended.
    for closed_at in [None, Some(boot(50.0))] {
        let open = |record: &mut ConnectionRecord| {
            endless(record);
            let socket = record.socket.as_mut().unwrap();
            (socket.outcome, socket.closed_at) = (Outcome::Established, closed_at);
        };
        assert_eq!(of_connection(open), [Rule::EndKnown]);
        let told = of_connection(|record| {
            open(record);
            record.coverage.close_missing = true;
        });
        assert_eq!(told, []);
    }
    let there = of_connection(|record| record.coverage.close_missing = true);
    assert_eq!(there, [Rule::EndKnown]);
}
