//! Every way in which a connection begins and ends, on the real kernel: the whole record of each
//! end, and what two witnesses of the same run say, a packet capture and `ss`.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    thread,
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use syntrace_proto::{Connection, Opening};

use crate::{
    capture::{Capture, End, Sent},
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::Receiver,
    told::told,
    turn,
};

/// The traffic of the cases.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/cases.py");

/// How far a time may lie from the capture's, nanoseconds: the machine may be busy between both.
const TIME_TOLERANCE_NS: u64 = 50_000_000;

/// What most connections look like.
const ACTIVE: &str = "active closed: syn<syn_ack=established<closed; 3 out, 5 in";
const PASSIVE: &str = "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 3 in";

/// One case.
#[derive(Clone, Copy)]
struct Case {
    /// What happens, where the name does not say it.
    about: &'static str,
    /// A function of `cases.py`.
    name: &'static str,
    /// Settings of the namespace.
    sysctl: &'static [&'static str],
    /// Rules for what comes in.
    rules: &'static [&'static str],
    /// The records, in the order in which their connections began.
    ends: &'static [&'static str],
    /// In what the witnesses see something else, and why.
    except: &'static [(Except, &'static str)],
}

/// What is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Except {
    /// The number of segments.
    Segments,
    /// Segments sent again.
    Again,
    /// SYNs and SYN-ACKs sent again.
    Handshake,
    /// RSTs.
    Resets,
    /// When the handshake began.
    Times,
}

const PLAIN: Case = Case {
    about: "",
    name: "",
    sysctl: &[],
    rules: &[],
    ends: &[ACTIVE, PASSIVE],
    except: &[],
};

/// The connection that carries nothing.
const ACTIVE_IDLE: &str = "active closed: syn<syn_ack=established<closed; 0 out, 0 in";
const PASSIVE_IDLE: &str = "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 0 in";

/// One that carries the request alone.
const ACTIVE_ASKS: &str = "active closed: syn<syn_ack=established<closed; 3 out, 0 in";
const PASSIVE_ASKED: &str = "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 3 in";

const ONE_RETRY: &[&str] = &[
    "net.ipv4.tcp_syn_retries=1",
    "net.ipv4.tcp_syn_linear_timeouts=0",
];

/// The RST leaves when the counters were read.
const RESET_IS_LAST: &[(Except, &str)] = &[(
    Except::Segments,
    "the RST leaves after the socket has closed, and its counters were read",
)];

const TABLE: &[Case] = &[
    Case {
        name: "ipv4",
        ..PLAIN
    },
    Case {
        name: "ipv6",
        ..PLAIN
    },
    Case {
        name: "mapped",
        ..PLAIN
    },
    Case {
        name: "refused",
        ends: &["active refused: syn<closed; 0 out, 0 in; 111 errno"],
        ..PLAIN
    },
    Case {
        name: "unanswered",
        sysctl: ONE_RETRY,
        rules: &["tcp dport 4000 drop"],
        ends: &["active unanswered: syn<closed; 0 out, 0 in; 110 errno; 1 more syn"],
        ..PLAIN
    },
    Case {
        name: "given_up",
        rules: &["tcp dport 4000 drop"],
        ends: &["active aborted: syn<closed; 0 out, 0 in"],
        ..PLAIN
    },
    Case {
        about: "an ICMP error that finds the socket in use is lost: the second SYN brings another",
        name: "unreachable",
        sysctl: ONE_RETRY,
        rules: &[
            "tcp dport 4000 numgen inc mod 99 < 1 drop",
            "tcp dport 4000 reject with icmp type host-unreachable",
        ],
        ends: &["active unreachable: syn<closed; 0 out, 0 in; 113 errno; 1 more syn"],
        ..PLAIN
    },
    Case {
        about: "the first SYN-ACK is lost: the SYN is sent again, and the answer with it",
        name: "ipv4",
        rules: &["tcp flags == syn|ack numgen inc mod 99 < 1 drop"],
        ends: &[
            "active closed: syn<syn_ack=established<closed; 3 out, 5 in; 1 more syn",
            "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 3 in; 2 more syn_ack",
        ],
        ..PLAIN
    },
    Case {
        about: "the final ACK is lost: the data that follow stand for it",
        name: "ipv4",
        rules: &["tcp dport 4000 tcp flags == ack numgen inc mod 99 < 1 drop"],
        ends: &[
            ACTIVE,
            "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 3 in; 1 more syn_ack",
        ],
        ..PLAIN
    },
    Case {
        name: "slow_accept",
        ..PLAIN
    },
    Case {
        about: "the second connection finds the queue full: its SYN is dropped",
        name: "full_queue",
        ends: &[
            ACTIVE_IDLE,
            PASSIVE_IDLE,
            "active closed: syn<syn_ack=established<closed; 3 out, 0 in; 1 more syn",
            PASSIVE_ASKED,
        ],
        ..PLAIN
    },
    Case {
        about: "SYN cookies: the handshake leaves nothing to be found at its end",
        name: "ipv4",
        sysctl: &["net.ipv4.tcp_syncookies=2"],
        ends: &[
            ACTIVE,
            "passive closed: established<accepted<closed; 5 out, 3 in",
        ],
        except: &[(Except::Times, "the handshake was not observed")],
        ..PLAIN
    },
    Case {
        name: "fast_open",
        sysctl: &["net.ipv4.tcp_fastopen=3"],
        ends: &[ACTIVE, PASSIVE, ACTIVE, PASSIVE],
        ..PLAIN
    },
    Case {
        about: "an MPTCP socket is accepted, not the connection below it",
        name: "mptcp",
        ends: &[
            ACTIVE,
            "passive closed: syn=syn_ack<established<closed; 5 out, 3 in; owner 0/0",
        ],
        ..PLAIN
    },
    Case {
        name: "simultaneous",
        rules: &["tcp flags == syn numgen inc mod 99 < 1 drop"],
        ends: &[
            ACTIVE_ASKS,
            "active closed: syn<syn_ack=established<closed; 0 out, 3 in",
        ],
        ..PLAIN
    },
    Case {
        name: "reuse_port",
        sysctl: &["net.ipv4.tcp_migrate_req=1"],
        ..PLAIN
    },
    Case {
        name: "half_close",
        ends: &[
            "active closed: syn<syn_ack=established<closed; 0 out, 5 in",
            "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 0 in",
        ],
        ..PLAIN
    },
    Case {
        name: "unread_data",
        ends: &[
            "active reset_by_peer: syn<syn_ack=established<closed; 3 out, 0 in; 104 errno",
            "passive reset_locally: syn=syn_ack<established<accepted<closed; 0 out, 3 in; tcp_abort_on_close",
        ],
        except: RESET_IS_LAST,
        ..PLAIN
    },
    Case {
        name: "linger",
        ends: &[
            "active reset_locally: syn<syn_ack=established<closed; 0 out, 0 in; tcp_state",
            "passive reset_by_peer: syn=syn_ack<established<accepted<closed; 0 out, 0 in; 104 errno",
        ],
        except: RESET_IS_LAST,
        ..PLAIN
    },
    Case {
        name: "keep_alive",
        ends: &[
            "active timed_out: syn<syn_ack=established<closed; 0 out, 0 in; 110 errno; tcp_keepalive_timeout",
            "passive reset_locally: syn=syn_ack<established<accepted<closed; 0 out, 0 in; tcp_state",
        ],
        except: RESET_IS_LAST,
        ..PLAIN
    },
    Case {
        name: "zero_window",
        sysctl: &["net.ipv4.tcp_early_retrans=0"],
        ends: &[
            "active closed: syn<syn_ack=established<closed; 20000 out, 0 in",
            "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 20000 in",
        ],
        except: &[(
            Except::Segments,
            "loopback carries several segments as one packet",
        )],
        ..PLAIN
    },
    Case {
        name: "data_loss",
        rules: &["tcp dport 4000 meta length 55 numgen inc mod 99 < 1 drop"],
        ends: &[
            "active closed: syn<syn_ack=established<closed; 3 out, 5 in; 1 again",
            PASSIVE,
        ],
        ..PLAIN
    },
    Case {
        name: "port_reuse",
        ends: &[
            "active reset_locally: syn<syn_ack=established<closed; 0 out, 0 in; tcp_state",
            "passive reset_by_peer: syn=syn_ack<established<accepted<closed; 0 out, 0 in; 104 errno",
            "active reset_locally: syn<syn_ack=established<closed; 0 out, 0 in; tcp_state",
            "passive reset_by_peer: syn=syn_ack<established<accepted<closed; 0 out, 0 in; 104 errno",
        ],
        except: RESET_IS_LAST,
        ..PLAIN
    },
    Case {
        name: "fork",
        ends: &[ACTIVE_ASKS, PASSIVE_ASKED],
        ..PLAIN
    },
    Case {
        name: "same_socket",
        ends: &[
            "active refused: syn<closed; 0 out, 0 in; 111 errno",
            "active closed: syn<syn_ack=established<closed; 3 out, 5 in; 1 earlier connections",
            PASSIVE,
        ],
        ..PLAIN
    },
    Case {
        about: "the listener waits for data: the connection is established by them",
        name: "deferred",
        ends: &[ACTIVE_ASKS, PASSIVE_ASKED],
        ..PLAIN
    },
    Case {
        name: "marked",
        ends: &[
            "active closed: syn<syn_ack=established<closed; 3 out, 5 in; 77 mark",
            PASSIVE,
        ],
        ..PLAIN
    },
];

#[test]
fn each_way_to_begin_and_end_is_told_exactly() {
    let Some(_turn) = turn(&["ip", "nft", "tcpdump", "ss", "python3"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let _member = cgroup.join();
    let wrong: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = TABLE
            .iter()
            .map(|case| scope.spawn(|| run(case, &receiver)))
            .collect();
        let ended = running.into_iter().map(|case| case.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Returns what is wrong in this case.
fn run(case: &Case, receiver: &Receiver) -> Vec<String> {
    let netns = Netns::new();
    for setting in case.sysctl {
        netns.sysctl(setting);
    }
    for rule in case.rules {
        netns.nft(rule);
    }
    let capture = Capture::begin(&netns);
    let traffic = Command::new("ip")
        .args(["netns", "exec", netns.name(), "python3", CASES, case.name])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let process = traffic.id();
    let output = traffic.wait_with_output().unwrap();
    if !output.status.success() {
        return vec![format!("{}: the traffic failed", case.name)];
    }
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ends = receiver.ended_in(
        said["netns"].as_u64().unwrap(),
        |end| told(end, process),
        case.ends,
    );
    let lines: Vec<_> = ends.iter().map(|(_, line)| line.as_str()).collect();
    let mut wrong = Vec::new();
    if lines != case.ends {
        wrong.push(format!("told     {lines:#?}\nexpected {:#?}", case.ends));
    }
    let ends: Vec<_> = ends.into_iter().map(|(end, _)| end).collect();
    wrong.extend(by_capture(case, &ends, &capture.end()));
    wrong.extend(by_ss(&ends, &said["ends"]));
    let title = format!("{} {}", case.name, case.about);
    let named = |wrong| format!("{}: {wrong}", title.trim());
    wrong.iter().map(named).collect()
}

/// Compares with the capture, which cannot tell connections with the same four numbers apart.
fn by_capture(case: &Case, ends: &[Connection], flows: &BTreeMap<(End, End), Sent>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut grouped = BTreeMap::<_, Vec<&Connection>>::new();
    for end in ends {
        let name = |end: &Option<syntrace_proto::Endpoint>| {
            let end = end.clone().unwrap();
            (end.address, end.port as u16)
        };
        grouped
            .entry((name(&end.local), name(&end.peer)))
            .or_default()
            .push(end);
    }
    for ((local, peer), group) in grouped {
        let nothing = Sent::default();
        let sent = flows
            .get(&(local.clone(), peer.clone()))
            .unwrap_or(&nothing);
        let sum = |field: fn(&Connection) -> u32| group.iter().map(|end| field(end)).sum::<u32>();
        let first = group[0];
        let is_active = first.opening() == Opening::Active;
        let n_groups = group.len() as u32;
        let syns = if is_active { sent.syns } else { sent.syn_acks };
        let resets = group.iter().filter(|end| resets(end)).count() as u32;
        let syn_at = if is_active {
            first.syn_at_ns
        } else {
            first.syn_ack_at_ns
        };
        let apart = (syn_at + wall_offset_ns()).abs_diff(sent.first_at_ns);
        let counts = [
            (Except::Segments, sum(|end| end.segments_out), sent.segments),
            (Except::Again, sum(|end| end.retransmits), sent.again),
            (
                Except::Handshake,
                n_groups + sum(|end| end.syn_retransmits + end.syn_ack_retransmits),
                syns,
            ),
            (
                Except::Resets,
                resets,
                u32::from(sent.resets > 0) * resets.max(1),
            ),
            (Except::Times, u32::from(apart > TIME_TOLERANCE_NS), 0),
        ];
        for (what, told, seen) in counts {
            let is_excepted = case.except.iter().any(|(except, _)| *except == what);
            if told != seen && !is_excepted {
                wrong.push(format!(
                    "{what:?} of the {:?} end: told {told}, captured {seen}",
                    first.opening()
                ));
            }
        }
    }
    wrong
}

/// Compares with what `ss` said while the connection was open.
fn by_ss(ends: &[Connection], said: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for end in ends.iter().filter(|end| end.established_at_ns != 0) {
        let name = if end.opening() == Opening::Active {
            "active"
        } else {
            "passive"
        };
        let Some(said) = said.get(name) else {
            continue;
        };
        let said = |field: &str| said.get(field).and_then(Value::as_u64).unwrap_or(0);
        // `ss` counts our SYN as a byte.
        let acked = said("bytes_acked") - u64::from(name == "active");
        let pairs = [
            ("acknowledged", end.bytes_acked, acked),
            ("received", end.bytes_received, said("bytes_received")),
            (
                "sent again",
                u64::from(end.retransmits + end.syn_retransmits.max(end.syn_ack_retransmits)),
                said("retrans"),
            ),
        ];
        for (what, told, said) in pairs {
            if told != said {
                wrong.push(format!(
                    "{what} by the {name} end: told {told}, `ss` said {said}"
                ));
            }
        }
        // The segments of the end are still to come.
        if u64::from(end.segments_out) < said("segs_out") {
            wrong.push(format!("segments of the {name} end: fewer than `ss` said"));
        }
    }
    wrong
}

/// Returns whether this end should have sent an RST.
fn resets(end: &Connection) -> bool {
    !end.reset_reason.is_empty()
}

/// Returns `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
fn wall_offset_ns() -> u64 {
    let now = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    now(ClockId::Realtime) - now(ClockId::Boottime)
}
