//! Sockets that are told of again by a run of the probe that knows other things of them.

use syntrace_core::fact::{Fact, Origin, Snapshot, Tag, TagState};
use syntrace_model::{BootNanos, TraceId};

use super::{Sender, random::Random, worker::US};

/// Adds, to a fourth of the words about sockets, another one: some of it the same, some not told, some told
/// differently, at the same moment or shortly after. Not another owner: which worker a thread is, is learnt from
/// owners as they become known, and two owners of one socket contradict each other.
pub fn echo(senders: &mut [Sender], seed: u64) {
    let mut random = Random::new(seed ^ 0xec0e);
    for sender in senders {
        let mut echoes = Vec::new();
        for seen in &sender.facts {
            let Fact::Connection(told) = &seen.fact else {
                continue;
            };
            if random.below(4) > 0 {
                continue;
            }
            let mut again = told.clone();
            let later = *random.pick(&[0, 0, 1, 20 * US]);
            again.seen_at = BootNanos(told.seen_at.0 + later);
            for _ in 0..=random.below(3) {
                change(&mut again, &mut random);
            }
            let mut echo = seen.clone();
            echo.at += later;
            echo.fact = Fact::Connection(again);
            echoes.push(echo);
        }
        sender.facts.extend(echoes);
        sender.facts.sort_by_key(|seen| seen.at);
    }
}

fn change(told: &mut Snapshot, random: &mut Random) {
    let cookie = u128::from(told.cookie);
    let id = |kind: u128| TraceId::new((kind << 120 | cookie).to_be_bytes()).unwrap();
    match random.below(8) {
        0 => told.owner_tid = 0,
        1 => (told.owner_pid, told.owner_tid) = (0, 0),
        2 | 3 => {
            let state = *random.pick(&[TagState::Sent, TagState::Answered]);
            told.tag = Some(Tag {
                id: id(0x7a),
                state,
            });
        }
        4 => told.minted = id(0xea + random.below(2) as u128 * 2),
        5 => told.counters.retransmits = random.below(3) as u32,
        6 => told.watch.accept_deferred = true,
        _ => {
            told.watch.origin = Origin::Backfilled;
            told.minted = id(0xed);
            (told.syn_at, told.syn_ack_at) = (None, None);
            (told.established_at, told.accepted_at) = (None, None);
            told.counters.syn_ack_retransmits = 0;
        }
    }
}
