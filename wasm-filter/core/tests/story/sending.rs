//! How facts reach the bridge, and what happens while it is away.

use syntrace_filter_core::{Attribute, Filter};

use crate::fake_host::{FakeHost, filter, filter_with, serve};

#[test]
fn a_worker_is_named_after_its_gateway() {
    for (gateway, node, expected) in [
        (r#"{"gateway": "edge"}"#, "gateway-1", "filter/edge/7"),
        ("", "gateway-1", "filter/gateway-1/7"),
        ("", "", "filter/envoy/7"),
        ("", "two\nlines", "filter/envoy/7"),
    ] {
        let mut filter = filter_with(gateway);
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
        let mut filter = Filter::new([seed; 16]);
        filter.configure(&host, 1, b"").unwrap();
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

/// Lets ticks pass until something is posted; returns how many that took.
fn ticks_until_a_post(filter: &mut Filter, host: &FakeHost) -> usize {
    let before = host.posted.borrow().len();
    let mut ticks = (1..100).take_while(|_| {
        let is_over = host.posted.borrow().len() > before;
        if !is_over {
            filter.on_tick(host);
        }
        !is_over
    });
    ticks.by_ref().count()
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
        ticks_until_a_post(&mut filter, &host);
        filter.on_call_response(&host, status);
    }
    ticks_until_a_post(&mut filter, &host);
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
fn a_call_that_the_proxy_does_not_even_try_is_told_once_until_one_is_tried_again() {
    let mut filter = filter();
    let mut host = FakeHost::routine(1);
    for can_post in [false, false, true, false] {
        host.can_post = can_post;
        serve(&mut filter, &host);
        (0..20).for_each(|_| filter.on_tick(&host));
        filter.on_call_response(&host, Some(200));
    }
    let warnings = host.warnings.borrow();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("`syntrace_bridge`"), "{warnings:?}");
}

#[test]
fn the_more_often_the_bridge_fails_the_longer_it_is_left_alone() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        pauses.push(ticks_until_a_post(&mut filter, &host));
        filter.on_call_response(&host, Some(503));
    }
    assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 16]);
    ticks_until_a_post(&mut filter, &host);
    filter.on_call_response(&host, Some(200));
    serve(&mut filter, &host);
    assert_eq!(ticks_until_a_post(&mut filter, &host), 1);
}

#[test]
fn a_call_whose_answer_is_lost_does_not_hold_up_the_rest() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    filter.on_tick(&host);
    host.now_unix_ns.set(host.now_unix_ns.get() + 5_000_000_001);
    assert_eq!(ticks_until_a_post(&mut filter, &host), 1);
    let posted = host.posted.borrow();
    assert_eq!((posted[0].first_seq, posted[1].first_seq), (0, 0));
}

#[test]
fn the_proxys_metrics_say_what_became_of_each_report() {
    let mut filter = filter_with(r#"{"max_queue_bytes": 65536}"#);
    let host = FakeHost::routine(1);
    for _ in 0..2_000 {
        serve(&mut filter, &host);
    }
    filter.on_tick(&host);
    let metric = |name: &str| host.metrics.borrow().get(name).copied().unwrap_or_default();
    assert!(metric("syntrace.queue_bytes") > 0);
    for _ in 0..20 {
        filter.on_call_response(&host, Some(200));
        filter.on_tick(&host);
    }
    assert_eq!(metric("syntrace.reports_total"), 2_000);
    let (delivered, lost) = (
        metric("syntrace.delivered_total"),
        metric("syntrace.dropped_total"),
    );
    assert_eq!(delivered, host.requests().len() as u64);
    assert_eq!(delivered + lost, 2_000);
    assert_eq!(
        metric("syntrace.batches_total"),
        host.posted.borrow().len() as u64
    );
    assert_eq!(metric("syntrace.queue_bytes"), 0);
}

#[test]
fn workers_that_share_a_metric_add_up_and_growth_counts_from_the_configuration_on() {
    let host = FakeHost::routine(1);
    let mut workers = [filter(), filter()];
    for (grown, filter) in workers.iter_mut().enumerate() {
        serve(filter, &host);
        host.memory_pages.set(20 + grown as u64);
        filter.on_tick(&host);
        filter.on_tick(&host);
    }
    let metric = |name: &str| host.metrics.borrow().get(name).copied().unwrap_or_default();
    assert_eq!(metric("syntrace.memory_grown_pages_total"), 3 + 4);
    let waiting = metric("syntrace.queue_bytes");
    workers[0].on_call_response(&host, Some(200));
    workers[0].on_tick(&host);
    assert!(metric("syntrace.queue_bytes") > 0 && metric("syntrace.queue_bytes") < waiting);
    workers[1].on_call_response(&host, Some(200));
    workers[1].on_tick(&host);
    assert_eq!(metric("syntrace.queue_bytes"), 0);
}

#[test]
fn beyond_the_bound_each_loss_is_counted() {
    let mut filter = filter_with(r#"{"max_queue_bytes": 65536}"#);
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
    let mut filter = filter_with(r#"{"max_batch_facts": 10}"#);
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
