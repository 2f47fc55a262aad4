//! What the queue sends, keeps and counts, answer by answer.

use prost::Message as _;
use syntrace_proto::{Batch, Loss, SCHEMA, fact::Body};

use super::*;

const LIMITS: Limits = Limits {
    batch_facts: 4,
    queue_bytes: 64 << 10,
};

fn queue() -> Queue {
    Queue::new(LIMITS)
}

/// A fact that names itself, of about `len` bytes.
fn fact(number: u64, len: usize) -> Message {
    let mut request = Message::default();
    request.uint(wire::request::DOWNSTREAM_CONNECTION, number);
    request.bytes(wire::request::PATH, "x".repeat(len).as_bytes());
    request
}

fn poll(queue: &mut Queue) -> Option<Batch> {
    let body = queue.poll_batch(&Message::default())?;
    Some(Batch::decode(body).unwrap())
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch
        .facts
        .iter()
        .map(|fact| match &fact.body {
            Some(Body::Request(request)) => request.downstream_connection,
            _ => panic!("not a request"),
        })
        .collect()
}

fn lost(batch: &Batch) -> u64 {
    batch.losses.iter().map(|loss| loss.count).sum()
}

#[test]
fn nothing_is_sent_when_there_is_nothing_to_say() {
    assert_eq!(queue().poll_batch(&Message::default()), None);
}

#[test]
fn facts_arrive_in_order_under_consecutive_numbers() {
    let mut queue = queue();
    (0..6).for_each(|n| queue.push(&fact(n, 0)));
    for (first_seq, expected) in [(0, vec![0, 1, 2, 3]), (4, vec![4, 5])] {
        let batch = poll(&mut queue).unwrap();
        assert_eq!(
            (batch.schema, batch.first_seq, numbers(&batch)),
            (SCHEMA, first_seq, expected)
        );
        queue.handle_answer(Answer::Accepted);
    }
    assert_eq!(poll(&mut queue), None);
}

#[test]
fn one_batch_at_a_time_is_on_its_way() {
    let mut queue = queue();
    (0..8).for_each(|n| queue.push(&fact(n, 0)));
    assert!(poll(&mut queue).is_some());
    assert_eq!(poll(&mut queue), None);
}

#[test]
fn a_batch_that_was_not_taken_comes_again_unchanged() {
    let mut queue = queue();
    queue.push(&fact(0, 0));
    let first = poll(&mut queue);
    queue.handle_answer(Answer::Unavailable);
    queue.push(&fact(1, 0));
    assert_eq!(poll(&mut queue), first);
    queue.handle_answer(Answer::Accepted);
    assert_eq!(poll(&mut queue).unwrap().first_seq, 1);
}

#[test]
fn a_full_queue_gives_up_the_oldest_and_counts_it_exactly() {
    let mut queue = queue();
    let mut kept = 0;
    (0..1_000).for_each(|n| queue.push(&fact(n, 1_000)));
    assert!(queue.encoded.len() <= LIMITS.queue_bytes);
    let mut next_seq = None;
    while let Some(batch) = poll(&mut queue) {
        kept += batch.facts.len() as u64;
        assert_eq!(batch.first_seq, numbers(&batch)[0]);
        assert_eq!(next_seq.unwrap_or(batch.first_seq), batch.first_seq);
        next_seq = Some(batch.first_seq + batch.facts.len() as u64);
        assert_eq!(lost(&batch), queue.losses.queue_full);
        queue.handle_answer(Answer::Accepted);
    }
    assert_eq!(next_seq, Some(1_000));
    assert_eq!(kept + queue.losses.queue_full, 1_000);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn what_is_on_its_way_is_never_given_up() {
    let mut queue = queue();
    queue.push(&fact(0, 0));
    let sent = poll(&mut queue);
    (1..1_000).for_each(|n| queue.push(&fact(n, 1_000)));
    queue.handle_answer(Answer::Unavailable);
    let again = poll(&mut queue).unwrap();
    assert_eq!(numbers(&again), numbers(&sent.unwrap()));
}

#[test]
fn once_the_bound_is_set_nothing_that_is_held_back_or_sent_takes_more_memory() {
    let mut queue = queue();
    queue.limit(LIMITS);
    let taken = |queue: &Queue| (queue.encoded.capacity(), queue.body.capacity());
    let before = taken(&queue);
    for round in 0..1_000 {
        for number in 0..round % 97 {
            queue.push(&fact(number, 700));
        }
        let answer = match round % 5 {
            0 => Answer::Unavailable,
            _ => Answer::Accepted,
        };
        if poll(&mut queue).is_some() {
            queue.handle_answer(answer);
        }
    }
    assert!(queue.losses.queue_full > 0 && queue.n_delivered > 0);
    assert_eq!(taken(&queue), before);
}

#[test]
fn a_fact_that_fits_nowhere_is_lost_and_leaves_a_gap() {
    let mut queue = queue();
    queue.push(&fact(0, 0));
    queue.push(&fact(1, LIMITS.queue_bytes));
    queue.push(&fact(2, 0));
    let mut seen = Vec::new();
    while let Some(batch) = poll(&mut queue) {
        seen.push((batch.first_seq, numbers(&batch), lost(&batch)));
        queue.handle_answer(Answer::Accepted);
    }
    assert_eq!(seen, [(0, vec![0], 1), (2, vec![2], 1)]);
}

#[test]
fn a_refused_batch_is_not_sent_again_and_the_next_one_says_so() {
    let mut queue = queue();
    (0..3).for_each(|n| queue.push(&fact(n, 0)));
    assert!(poll(&mut queue).is_some());
    queue.handle_answer(Answer::Refused);
    let batch = poll(&mut queue).unwrap();
    assert_eq!((batch.first_seq, batch.facts.len()), (3, 0));
    assert_eq!(
        batch.losses,
        [Loss {
            cause: "refused".to_owned(),
            count: 3
        }]
    );
    queue.handle_answer(Answer::Accepted);
    assert_eq!(poll(&mut queue), None);
}

#[test]
fn an_answer_without_a_question_changes_nothing() {
    let mut queue = queue();
    queue.push(&fact(0, 0));
    queue.handle_answer(Answer::Accepted);
    assert_eq!(numbers(&poll(&mut queue).unwrap()), [0]);
}

#[test]
fn answers_are_read_as_http_means_them() {
    for (status, answer) in [
        (Some(200), Answer::Accepted),
        (Some(202), Answer::Accepted),
        (Some(400), Answer::Refused),
        (Some(413), Answer::Refused),
        (Some(429), Answer::Unavailable),
        (Some(503), Answer::Unavailable),
        (None, Answer::Unavailable),
    ] {
        assert_eq!(Answer::from_status(status), answer, "{status:?}");
    }
}
