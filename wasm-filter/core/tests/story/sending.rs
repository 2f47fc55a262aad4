//! How facts reach the bridge, and what happens while it is away.

use syntrace_filter_core::{Attribute, Config, Filter};

use crate::fake_host::{FakeHost, filter, serve};

#[test]
fn a_worker_is_named_after_its_gateway() {
    for (gateway, node, expected) in [
        (Some("edge"), "gateway-1", "filter/edge/7"),
        (None, "gateway-1", "filter/gateway-1/7"),
        (None, "", "filter/envoy/7"),
        (None, "two\nlines", "filter/envoy/7"),
    ] {
        let config = Config {
            gateway: gateway.map(str::to_owned),
            ..Config::default()
        };
        let mut filter = Filter::new(config, [7; 16]);
        let mut host = FakeHost::routine(1);
        host.set_text(Attribute::NodeId, node);
        serve(&mut filter, &host);
        filter.on_tick(&host);
        let posted = host.posted.borrow();
        assert_eq!(posted[0].sender.as_ref().unwrap().name, expected);
    }
}

#[test]
fn two_workers_have_two_epochs() {
    let host = FakeHost::routine(1);
    for seed in [1, 2] {
        let mut filter = Filter::new(Config::default(), [seed; 16]);
        serve(&mut filter, &host);
        filter.on_tick(&host);
    }
    let posted = host.posted.borrow();
    let epochs: Vec<_> = posted
        .iter()
        .map(|batch| batch.sender.as_ref().unwrap().epoch)
        .collect();
    assert_ne!(epochs[0], epochs[1]);
}

#[test]
fn a_batch_in_flight_is_not_sent_again_by_a_tick() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    filter.on_tick(&host);
    filter.on_tick(&host);
    assert_eq!(host.posted.borrow().len(), 1);
}

#[test]
fn an_absent_bridge_delays_facts_and_loses_none_within_the_bound() {
    let mut filter = filter();
    let mut host = FakeHost::routine(1);
    host.can_post = false;
    for _ in 0..100 {
        serve(&mut filter, &host);
        filter.on_tick(&host);
    }
    host.can_post = true;
    for status in [None, Some(503), Some(200)] {
        filter.on_tick(&host);
        filter.on_call_response(&host, status);
    }
    filter.on_tick(&host);
    filter.on_call_response(&host, Some(200));
    let posted = host.posted.borrow();
    let seqs: Vec<_> = posted
        .iter()
        .map(|batch| (batch.first_seq, batch.facts.len()))
        .collect();
    // The first attempt closed the first batch; it comes three times under the same number.
    assert_eq!(seqs, [(0, 1), (0, 1), (0, 1), (1, 99)]);
}

#[test]
fn beyond_the_bound_each_loss_is_counted() {
    let config = Config {
        max_queue_bytes: 64 << 10,
        ..Config::default()
    };
    let mut filter = Filter::new(config, [7; 16]);
    let host = FakeHost::routine(1);
    for _ in 0..2_000 {
        serve(&mut filter, &host);
    }
    for _ in 0..20 {
        filter.on_tick(&host);
        filter.on_call_response(&host, Some(200));
    }
    let posted = host.posted.borrow();
    let last = posted.last().unwrap();
    let lost: u64 = last.losses.iter().map(|loss| loss.count).sum();
    assert!(lost > 0 && last.losses[0].cause == "queue_full");
    assert_eq!(host.requests().len() as u64 + lost, 2_000);
}

#[test]
fn a_backlog_is_sent_batch_by_batch_without_waiting_for_the_tick() {
    let config = Config {
        max_batch_facts: 10,
        ..Config::default()
    };
    let mut filter = Filter::new(config, [7; 16]);
    let host = FakeHost::routine(1);
    for _ in 0..30 {
        serve(&mut filter, &host);
    }
    filter.on_tick(&host);
    for _ in 0..3 {
        filter.on_call_response(&host, Some(200));
    }
    assert_eq!(host.requests().len(), 30);
}
