//! The cases of `cases.rs` on the real kernel: the whole record of each end, and what two witnesses
//! of the same run say, a packet capture and `ss`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use serde_json::Value;
use syntrace_proto::{Connection, Endpoint, Incident, IncidentKind};

use crate::{
    capture::Capture,
    cases::{Case, TABLE},
    cgroup::Cgroup,
    conversation::conversations,
    netns::Netns,
    probe::Probe,
    receiver::{self, Receiver},
    say,
    ss::Destroyed,
    told::{Known, told, told_incident},
    turn,
    witnesses::{Calls, Witnesses},
};

/// The traffic of the cases.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/cases.py");

/// The listener's port of the first case, and how far those of two cases are apart.
const FIRST_PORT: u16 = 4000;
const PORTS: u16 = 10;

/// A case whose traffic has begun.
struct Running {
    case: &'static Case,
    port: u16,
    netns: Netns,
    capture: Capture,
    destroyed: Destroyed,
    traffic: Child,
    out: BufReader<ChildStdout>,
}

/// What was told in one case.
struct Told {
    ends: Vec<(Connection, String)>,
    incidents: Vec<String>,
}

#[test]
fn each_way_to_begin_and_end_is_told_exactly() {
    let tools = ["ip", "nft", "tcpdump", "ss", "stdbuf", "python3"];
    let Some(_turn) = turn(&tools) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let ports = (FIRST_PORT..).step_by(PORTS.into());
    let (older, younger): (Vec<_>, Vec<_>) =
        TABLE.iter().zip(ports).partition(|(case, _)| case.is_older);
    let begin = |(case, port)| Running::begin(case, port, &cgroup);
    let older: Vec<_> = older.into_iter().map(begin).collect();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let _member = cgroup.join();
    let (wrong, apart) = thread::scope(|scope| {
        let end = |running: Running| running.end(&cgroup, &receiver);
        let older = older.into_iter().map(|case| scope.spawn(move || end(case)));
        let younger = younger
            .into_iter()
            .map(|case| scope.spawn(move || end(begin(case))));
        let running: Vec<_> = older.chain(younger).collect();
        let ended = running.into_iter().map(|case| case.join().unwrap());
        let (wrong, apart): (Vec<_>, Vec<_>) = ended.unzip();
        (wrong.concat(), apart.into_iter().max().unwrap())
    });
    say(&format!(
        "{} cases; times were at most {} us apart from the capture's",
        TABLE.len(),
        apart / 1000
    ));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// === impl Running ===

impl Running {
    /// Begins the traffic in `cgroup`, in a namespace of its own; waits for its first step.
    fn begin(case: &'static Case, port: u16, cgroup: &Cgroup) -> Self {
        let netns = Netns::new();
        for setting in case.sysctl {
            netns.sysctl(setting);
        }
        for rule in case.rules {
            netns.nft(&rule.replace("PORT", &port.to_string()));
        }
        let capture = Capture::begin(&netns);
        let destroyed = Destroyed::begin(&netns);
        let mut command = Command::new("ip");
        let arguments = ["netns", "exec", netns.name(), "python3", CASES, case.name];
        command.args(arguments).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut traffic = if case.is_older {
            cgroup.within(|| command.spawn().unwrap())
        } else {
            command.spawn().unwrap()
        };
        let mut out = BufReader::new(traffic.stdout.take().unwrap());
        if case.is_older {
            out.read_line(&mut String::new()).unwrap();
        }
        Self {
            case,
            port,
            netns,
            capture,
            destroyed,
            traffic,
            out,
        }
    }

    /// Lets it go on to its end; returns what is wrong, and how far times were apart, nanoseconds.
    fn end(mut self, cgroup: &Cgroup, receiver: &Receiver) -> (Vec<String>, u64) {
        let mut stdin = self.traffic.stdin.take().unwrap();
        if self.case.is_older {
            stdin.write_all(b"\n").unwrap();
        }
        let title = format!("{} {}", self.case.name, self.case.about);
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            return (vec![format!("{title}: the traffic failed")], 0);
        };
        let known = known(&said, self.port, cgroup);
        let told = Told::of(self.case, receiver, &known);
        drop(stdin);
        self.traffic.wait().unwrap();
        let mut wrong = told.differs(self.case);
        let mut witnesses = Witnesses {
            conversations: conversations(&self.capture.end(&self.netns)),
            destroyed: self.destroyed,
            calls: Calls::of(&said["calls"]),
            furthest_ns: 0,
        };
        let ends: Vec<_> = told.ends.into_iter().map(|(end, _)| end).collect();
        wrong.extend(witnesses.disagree(&ends, self.case.except));
        drop(self.netns);
        let wrong = wrong
            .iter()
            .map(|wrong| format!("{}: {wrong}", title.trim()));
        (wrong.collect(), witnesses.furthest_ns)
    }
}

// === impl Told ===

impl Told {
    /// Waits for what the case expects, or for the deadline.
    fn of(case: &Case, receiver: &Receiver, known: &Known) -> Self {
        receiver.settled(
            |batches| {
                let ends = ends(receiver::connections(batches), known.port);
                let lines = ends.into_iter().map(|end| {
                    let line = told(&end, known);
                    (end, line)
                });
                Self {
                    ends: lines.collect(),
                    incidents: incidents(receiver::incidents(batches), known),
                }
            },
            |told| told.differs(case).is_empty(),
        )
    }

    fn differs(&self, case: &Case) -> Vec<String> {
        let ends: Vec<_> = self.ends.iter().map(|(_, line)| line.as_str()).collect();
        let mut wrong = Vec::new();
        if ends != case.ends {
            wrong.push(format!("told     {ends:#?}\nexpected {:#?}", case.ends));
        }
        if self.incidents != case.incidents {
            let (told, expected) = (&self.incidents, case.incidents);
            wrong.push(format!("incidents {told:#?}\nexpected {expected:#?}"));
        }
        wrong
    }
}

/// Returns the last record of each connection with this port, or the next, in the order in which
/// they began.
fn ends<'a>(all: impl Iterator<Item = &'a Connection>, port: u16) -> Vec<Connection> {
    let mut last = BTreeMap::new();
    for end in all.filter(|end| has_port(&end.local, port) || has_port(&end.peer, port)) {
        last.insert(end.socket_cookie, end.clone());
    }
    let mut ends: Vec<_> = last.into_values().collect();
    // The kernel sends the SYN before it receives it.
    ends.sort_by_key(|end| {
        let began = [end.syn_at_ns, end.established_at_ns, 0];
        let began = began.into_iter().find(|at| *at != 0);
        (began, end.opening)
    });
    ends
}

/// Returns the lines of incidents at sockets with this port: those of a kind at a socket in one.
fn incidents<'a>(all: impl Iterator<Item = &'a Incident>, known: &Known) -> Vec<String> {
    let mut each = BTreeMap::<(u64, IncidentKind), Incident>::new();
    let ours = all.filter(|incident| {
        has_port(&incident.local, known.port) || has_port(&incident.peer, known.port)
    });
    for incident in ours {
        let key = (incident.socket_cookie, incident.kind());
        let count = each.get(&key).map_or(0, |earlier| earlier.count);
        let mut sum = incident.clone();
        sum.count += count;
        each.insert(key, sum);
    }
    each.values()
        .map(|incident| told_incident(incident, known))
        .collect()
}

fn has_port(end: &Option<Endpoint>, port: u16) -> bool {
    end.as_ref().is_some_and(|end| end.port == u32::from(port))
}

/// Returns what the records should say of where they were taken.
fn known(said: &Value, port: u16, cgroup: &Cgroup) -> Known {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let digits = boot_id.trim().replace('-', "");
    let processes = said["processes"].as_object().unwrap().iter();
    let named = |(process, name): (&String, &Value)| {
        (process.parse().unwrap(), name.as_str().unwrap().to_owned())
    };
    Known {
        boot_id: u128::from_str_radix(&digits, 16)
            .unwrap()
            .to_be_bytes()
            .into(),
        cgroup_id: fs::metadata(cgroup.path()).unwrap().ino(),
        netns_cookie: said["netns"].as_u64().unwrap(),
        processes: processes.map(named).collect(),
        port,
    }
}
