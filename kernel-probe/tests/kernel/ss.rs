//! What `ss -i` says of each socket when the kernel destroys it: a witness that knows nothing of
//! hooks.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{netns::Netns, waiting::wait_for};

/// How long the kernel may take from the end of a connection to that of its socket.
const DEADLINE: Duration = Duration::from_secs(5);

/// `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: &str = "4";

/// Listens until dropped.
pub(crate) struct Destroyed {
    ss: Child,
    lines: mpsc::Receiver<String>,
    sockets: BTreeMap<u64, Socket>,
}

/// One socket: `key:value` of its line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Socket {
    fields: BTreeMap<String, String>,
}

// === impl Destroyed ===

impl Destroyed {
    /// Listens for the ends of TCP sockets in the namespace.
    pub(crate) fn begin(netns: &Netns) -> Self {
        let mut ss = Command::new("ip")
            .args(["netns", "exec", netns.name()])
            // To a pipe, it would write at its end only.
            .args(["stdbuf", "-oL", "ss", "-E", "-tinOeH"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        let out = BufReader::new(ss.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The test may have heard enough.
                drop(tell.send(line));
            }
        });
        let process = ss.id().to_string();
        wait_for("the subscription of ss", || {
            let sockets = fs::read_to_string(format!("/proc/{process}/net/netlink")).ok()?;
            let mut sockets = sockets.lines().map(|line| line.split_whitespace());
            // Family, owner, groups.
            sockets.find_map(|mut fields| {
                let is_its = fields.nth(1)? == SOCK_DIAG && fields.next()? == process;
                (is_its && fields.next()? != "00000000").then_some(())
            })
        });
        Self {
            ss,
            lines,
            sockets: BTreeMap::new(),
        }
    }

    /// Waits for the socket `cookie` to be destroyed; `None` at the deadline.
    pub(crate) fn socket(&mut self, cookie: u64) -> Option<Socket> {
        while !self.sockets.contains_key(&cookie) {
            let line = self.lines.recv_timeout(DEADLINE).ok()?;
            let fields = line.split_whitespace();
            let fields = fields.filter_map(|field| field.split_once(':'));
            let fields: BTreeMap<_, _> = fields
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let cookie = u64::from_str_radix(fields.get("sk")?, 16).ok()?;
            self.sockets.insert(cookie, Socket { fields });
        }
        self.sockets.get(&cookie).cloned()
    }
}

impl Drop for Destroyed {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.ss.kill());
        drop(self.ss.wait());
    }
}

// === impl Socket ===

impl Socket {
    /// Returns a number; 0 where `ss` leaves it out.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.fields
            .get(key)
            .map_or(0, |value| value.parse().unwrap())
    }

    /// Returns how many segments were sent again, SYNs among them: `retrans:0/1`.
    pub(crate) fn retransmits(&self) -> u64 {
        let total = self
            .fields
            .get("retrans")
            .and_then(|value| value.split('/').nth(1));
        total.map_or(0, |value| value.parse().unwrap())
    }

    /// Returns a time in microseconds: `0.027/0.016`, in milliseconds; 0 where `ss` leaves it out.
    pub(crate) fn micros(&self, key: &str) -> u64 {
        let millis = self
            .fields
            .get(key)
            .and_then(|value| value.split('/').next());
        millis.map_or(0, |value| {
            (value.parse::<f64>().unwrap() * 1000.0).round() as u64
        })
    }
}
