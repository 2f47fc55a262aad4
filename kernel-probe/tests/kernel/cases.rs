//! Every way in which a connection begins and ends, and what is to be told of it. The traffic is in
//! `cases.py`, the run in `table.rs`.

use crate::witnesses::What;

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What happens, where the name does not say it.
    pub(crate) about: &'static str,
    /// A function of `cases.py`.
    pub(crate) name: &'static str,
    /// Begins before the probe does, up to its `step`.
    pub(crate) is_older: bool,
    /// Settings of the namespace.
    pub(crate) sysctl: &'static [&'static str],
    /// Rules for what comes in; PORT is the listener's.
    pub(crate) rules: &'static [&'static str],
    /// The records, in the order in which their connections began.
    pub(crate) ends: &'static [&'static str],
    /// The incidents, each kind at each socket in one line.
    pub(crate) incidents: &'static [&'static str],
    /// Where a witness sees something else.
    pub(crate) except: &'static [Except],
}

/// Of which record, what, how much more than the witness it tells, and why.
pub(crate) type Except = (usize, What, i64, &'static str);

const PLAIN: Case = Case {
    about: "",
    name: "",
    is_older: false,
    sysctl: &[],
    rules: &[],
    ends: &[ACTIVE, PASSIVE],
    incidents: &[],
    except: &[],
};

/// What most connections look like.
const ACTIVE: &str = "active closed: syn<syn_ack=established<closed; 3 out, 5 in";
const PASSIVE: &str = "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 3 in";

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
const RST_IS_LAST: &str = "the RST leaves after the record, and after the counters";
/// `tcp_disconnect` and `tcp_abort` leave nothing to be told of.
const EMPTIED: &str = "the kernel empties the socket before it tells of its end";
const DROPPED: &str = "the rule has dropped one";
const FIN_UNKNOWN: &str = "nothing tells of a connection without hooks whether the FIN came";

pub(crate) const TABLE: &[Case] = &[
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
        except: &[(0, What::SsEmptied, -1, EMPTIED)],
        ..PLAIN
    },
    Case {
        name: "unanswered",
        sysctl: ONE_RETRY,
        rules: &["tcp dport PORT drop"],
        ends: &["active unanswered: syn<closed; 0 out, 0 in; 110 errno; 1 more syn"],
        except: &[(0, What::SsEmptied, -1, EMPTIED)],
        ..PLAIN
    },
    Case {
        name: "given_up",
        rules: &["tcp dport PORT drop"],
        ends: &["active aborted: syn<closed; 0 out, 0 in"],
        ..PLAIN
    },
    Case {
        about: "an ICMP error that finds the socket in use is lost: the second SYN brings another",
        name: "unreachable",
        sysctl: ONE_RETRY,
        rules: &[
            "tcp dport PORT numgen inc mod 99 < 1 drop",
            "tcp dport PORT reject with icmp type host-unreachable",
        ],
        ends: &["active unreachable: syn<closed; 0 out, 0 in; 113 errno; 1 more syn"],
        except: &[(0, What::SsEmptied, -1, EMPTIED)],
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
        except: &[
            (0, What::SegmentsIn, -1, DROPPED),
            (
                1,
                What::SegmentsIn,
                -1,
                "the accepted socket counts one SYN",
            ),
        ],
        ..PLAIN
    },
    Case {
        about: "the final ACK is lost: the data that follow stand for it",
        name: "ipv4",
        rules: &["tcp dport PORT tcp flags == ack numgen inc mod 99 < 1 drop"],
        ends: &[
            ACTIVE,
            "passive closed: syn=syn_ack<established<accepted<closed; 5 out, 3 in; 1 more syn_ack",
        ],
        except: &[(1, What::SegmentsIn, -1, DROPPED)],
        ..PLAIN
    },
    Case {
        name: "slow_accept",
        ..PLAIN
    },
    Case {
        about: "the second connection finds the queue full: its SYN is dropped",
        name: "full_queue",
        is_older: true,
        ends: &[
            ACTIVE_IDLE,
            PASSIVE_IDLE,
            "active closed: syn<syn_ack=established<closed; 3 out, 0 in; 1 more syn",
            PASSIVE_ASKED,
        ],
        incidents: &["listener accept_overflow: 1 of 0"],
        except: &[(
            3,
            What::SegmentsIn,
            -1,
            "the queue had no room for its first SYN",
        )],
        ..PLAIN
    },
    Case {
        about: "the handshake leaves nothing to be found at its end",
        name: "syn_cookies",
        is_older: true,
        sysctl: &["net.ipv4.tcp_syncookies=2"],
        ends: &[
            ACTIVE,
            "passive closed: established<accepted<closed; 5 out, 3 in",
        ],
        incidents: &["listener syn_cookies: 1 of 16"],
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
            "passive closed: syn=syn_ack<established<closed; 5 out, 3 in; owner nobody/nobody",
        ],
        except: &[(1, What::SsEmptied, -1, EMPTIED)],
        ..PLAIN
    },
    Case {
        name: "simultaneous",
        rules: &["tcp flags == syn numgen inc mod 99 < 1 drop"],
        ends: &[
            ACTIVE_ASKS,
            "active closed: syn<syn_ack=established<closed; 0 out, 3 in",
        ],
        except: &[
            (
                0,
                What::SynAckAt,
                1,
                "no SYN-ACK comes: an ACK answers its own",
            ),
            (1, What::SegmentsIn, -1, DROPPED),
        ],
        ..PLAIN
    },
    Case {
        name: "reuse_port",
        sysctl: &["net.ipv4.tcp_migrate_req=1"],
        ..PLAIN
    },
    Case {
        name: "listener_closes",
        ends: &[
            "active reset_by_peer: syn<syn_ack=established<closed; 0 out, 0 in; 104 errno",
            "passive reset_locally: syn=syn_ack<established<closed; 0 out, 0 in; tcp_state; owner nobody/nobody",
        ],
        except: &[
            (1, What::SegmentsOut, -1, RST_IS_LAST),
            (1, What::SsEmptied, -1, EMPTIED),
        ],
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
        except: &[
            (1, What::SegmentsOut, -1, RST_IS_LAST),
            (1, What::SsSegmentsOut, -1, RST_IS_LAST),
        ],
        ..PLAIN
    },
    Case {
        name: "linger",
        ends: &[
            "active reset_locally: syn<syn_ack=established<closed; 0 out, 0 in; tcp_state",
            "passive reset_by_peer: syn=syn_ack<established<accepted<closed; 0 out, 0 in; 104 errno",
        ],
        except: &[
            (0, What::SegmentsOut, -1, RST_IS_LAST),
            (0, What::SsEmptied, -1, EMPTIED),
        ],
        ..PLAIN
    },
    Case {
        name: "keep_alive",
        ends: &[
            "active timed_out: syn<syn_ack=established<closed; 0 out, 0 in; 110 errno; tcp_keepalive_timeout",
            "passive reset_locally: syn=syn_ack<established<accepted<closed; 0 out, 0 in; tcp_state",
        ],
        except: &[
            (0, What::SegmentsIn, -1, "an RST comes when it is gone"),
            (0, What::ResetIn, -1, "an RST comes when it is gone"),
            (1, What::SegmentsOut, -1, RST_IS_LAST),
            (
                1,
                What::SegmentsIn,
                -2,
                "the rule drops the probe and the RST",
            ),
            (1, What::ResetIn, -1, DROPPED),
            (1, What::SsEmptied, -1, EMPTIED),
        ],
        ..PLAIN
    },
    Case {
        name: "zero_window",
        sysctl: &["net.ipv4.tcp_early_retrans=0"],
        ends: &[
            "active closed: syn<syn_ack=established<closed; 20000 out, 0 in",
            "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 20000 in",
        ],
        ..PLAIN
    },
    Case {
        about: "one segment with data is dropped once (by a rule that sees its length)",
        name: "ipv4",
        rules: &["tcp dport PORT meta length 55 numgen inc mod 99 < 1 drop"],
        ends: &[
            "active closed: syn<syn_ack=established<closed; 3 out, 5 in; 1 again",
            PASSIVE,
        ],
        incidents: &["active retransmit: 1"],
        except: &[(1, What::SegmentsIn, -1, DROPPED)],
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
        except: &[
            (0, What::SegmentsOut, -1, RST_IS_LAST),
            (0, What::SsEmptied, -1, EMPTIED),
            (2, What::SegmentsOut, -1, RST_IS_LAST),
            (2, What::SsEmptied, -1, EMPTIED),
        ],
        ..PLAIN
    },
    Case {
        name: "fork",
        ends: &[ACTIVE_ASKS, PASSIVE_ASKED],
        ..PLAIN
    },
    Case {
        name: "worker",
        ends: &[
            ACTIVE_ASKS,
            "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 3 in; owner child/child",
        ],
        ..PLAIN
    },
    Case {
        name: "older",
        is_older: true,
        ends: &[
            "active closed: closed; 3 out, 6 in; backfilled; owner nobody/nobody",
            "passive closed: closed; 5 out, 4 in; backfilled; owner nobody/nobody",
            ACTIVE,
            PASSIVE,
        ],
        except: &[
            (0, What::Received, 1, FIN_UNKNOWN),
            (1, What::Received, 1, FIN_UNKNOWN),
            (0, What::SsReceived, 1, FIN_UNKNOWN),
            (1, What::SsReceived, 1, FIN_UNKNOWN),
            (
                1,
                What::SegmentsOut,
                -1,
                "the kernel does not count SYN-ACKs",
            ),
        ],
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
        ends: &[
            ACTIVE_ASKS,
            "passive closed: syn=syn_ack<established<accepted<closed; 0 out, 3 in; deferred",
        ],
        except: &[(
            1,
            What::SegmentsIn,
            -1,
            "what brings no data is dropped unseen",
        )],
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
