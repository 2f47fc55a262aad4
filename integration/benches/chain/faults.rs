//! One fault after the other, while every tool watches, and what each printed about it: no judgement but whether words,
//! ports and paths are there.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Signal;
use syntrace_integration::{
    api::Request,
    benchmarks::{Sighting, Tool},
    bridge::{self, Bridge},
    clients::{Curl, Version},
    deadline::{self, Look},
    envoy::{Envoy, PORT},
    paths,
    probe::Probe,
    process::{Process, Program},
    sandbox::{SERVICE_HTTP, Sandbox},
    services::{self, FAST_PORT, SINK_PORT},
};

use crate::{
    part::Part,
    telling::{ACCESS_LOG, gateway},
    tools::{Rival, version},
};

const RIVALS: [Rival; 4] = [
    Rival::Tcplife,
    Rival::Tcpconnlat,
    Rival::Tcpretrans,
    Rival::TcpdumpText,
];
const SOON: Duration = Duration::from_secs(60);
/// How long a worker that is stopped lets a connection wait.
const STOPPED: Duration = Duration::from_millis(400);
/// Connections that the gateway's queue takes while nobody accepts: one more than its backlog.
const QUEUE: u64 = 3;
/// Lines that are kept of what a tool printed.
const LINES: usize = 16;
/// Letters that are kept of a line.
const LETTERS: usize = 400;
/// Addresses of the sandbox, without which a line is about something else.
const OURS: [&str; 2] = ["192.0.2.", "198.51.100."];

/// Of the SYNs to the service, the first is dropped.
const LOSE_SYN: &str = "table ip faults { chain in { type filter hook input priority 0; \
    tcp flags & (syn|ack) == syn numgen inc mod 1000 == 0 drop; }; }";
/// Of the service's segments with data, the first is dropped.
const LOSE_DATA: &str = "table ip faults { chain in { type filter hook prerouting priority 0; \
    ip saddr 198.51.100.2 tcp flags & psh == psh numgen inc mod 1000 == 0 drop; }; }";

/// A fault: its name, the path of its request (without a word that could name it), and the words of which one has to be
/// in so many lines.
type Fault = (&'static str, &'static str, &'static [(&'static str, usize)]);

const REFUSED: Fault = (
    "refused connect",
    "/dead/1",
    &[("efused", 1), ("RST", 1), ("[R.]", 1), ("[R]", 1)],
);
/// A capture shows the client's SYN, the gateway's, and that again.
const LOST_SYN: Fault = (
    "lost SYN",
    "/two/2",
    &[("syn_lost", 1), ("SYN_SENT", 1), ("Flags [S],", 3)],
);
const FULL_QUEUE: Fault = (
    "full accept queue",
    "/one/3",
    &[("accept queue", 1), ("accept_overflow", 1)],
);
const SLOW_ACCEPT: Fault = (
    "slow accept",
    "/one/4",
    &[("accept_wait", 1), ("waited for a worker to accept", 1)],
);
/// A capture shows the request and the answer on both sides, and the answer again.
const RETRANSMISSION: Fault = (
    "retransmission in the response",
    "/three/5",
    &[("etransmi", 1), ("R> 1", 1), ("seq 1:", 5)],
);

/// Everything that watches, and what it watches.
struct Scene {
    tools: Vec<(Rival, Process)>,
    envoy: Envoy,
    _service: Process,
    sink: Process,
    _probe: Probe,
    bridge: Bridge,
    sandbox: Sandbox,
}

/// A request to which a fault happened.
struct Hit {
    fault: Fault,
    client_port: u16,
}

pub(crate) fn measure(part: &mut Part) -> anyhow::Result<()> {
    let mut scene = Scene::start()?;
    let hits = [
        scene.ask(REFUSED)?,
        scene.with_rules(LOSE_SYN, |sandbox| &sandbox.service_http, LOST_SYN)?,
        scene.full_queue()?,
        scene.slow_accept()?,
        scene.with_rules(LOSE_DATA, |sandbox| &sandbox.gateway, RETRANSMISSION)?,
    ];
    let requests = scene.settled()?;
    let shown: Vec<_> = hits
        .iter()
        .map(|hit| scene.shown(hit, &requests))
        .collect::<anyhow::Result<_>>()?;
    // Connections that the gateway kept end with it, and are printed by those who print ends.
    scene.envoy.process().end()?;
    for (rival, _) in &scene.tools {
        part.tool(rival.described(&scene.sandbox)?);
    }
    for (hit, shown) in hits.iter().zip(shown) {
        scene.sightings(part, hit, shown)?;
    }
    part.tool(Tool {
        name: "access log".to_owned(),
        version: version(
            &scene.sandbox,
            &paths::envoy()?.display().to_string(),
            &["--version"],
        )?,
        command: ACCESS_LOG.to_owned(),
    });
    Ok(())
}

impl Scene {
    fn start() -> anyhow::Result<Self> {
        let sandbox = Sandbox::new()?;
        let bridge = Bridge::start(&sandbox)?;
        let probe = Probe::start(&sandbox)?;
        let mut sink = Program::new("otlp-text", &sandbox.watching, paths::python()?)
            .inside(&sandbox.gateway)
            .args([paths::own("benches/chain/otlp_text.py")])
            .args(["127.0.0.1", &SINK_PORT.to_string()])
            .start(sandbox.directory())?;
        sink.wait_for_port(SINK_PORT, SOON)?;
        let service = services::fast(&sandbox, &sandbox.service_http, SERVICE_HTTP, FAST_PORT)?;
        let envoy = gateway().start(&sandbox)?;
        let mut tools = Vec::new();
        for rival in RIVALS {
            tools.push((rival, rival.start(&sandbox, &sandbox.watching)?));
        }
        Ok(Self {
            tools,
            envoy,
            _service: service,
            sink,
            _probe: probe,
            bridge,
            sandbox,
        })
    }

    fn curl(&self, path: &str) -> anyhow::Result<Curl> {
        Curl::start(&self.sandbox, PORT, Version::Http1, &[], &[path])
    }

    /// Sends the fault's request and waits for the answer, whatever it is.
    fn ask(&self, fault: Fault) -> anyhow::Result<Hit> {
        answered(self.curl(fault.1)?, fault)
    }

    fn with_rules(
        &self,
        rules: &str,
        of: fn(&Sandbox) -> &syntrace_integration::netns::Namespace,
        fault: Fault,
    ) -> anyhow::Result<Hit> {
        of(&self.sandbox).filter_packets(rules)?;
        let hit = self.ask(fault);
        of(&self.sandbox).filter_packets("")?;
        hit
    }

    /// Stops the gateway, fills its queue, and lets one more come.
    fn full_queue(&mut self) -> anyhow::Result<Hit> {
        self.envoy.process().signal(Signal::STOP)?;
        let fillers: Vec<_> = (0..QUEUE)
            .map(|number| self.curl(&format!("/fill/{number}")))
            .collect::<anyhow::Result<_>>()?;
        self.wait_for("the queue to be full", |id| Ok(queued(id)? >= QUEUE))?;
        let before = overflows(self.envoy.process().id())?;
        let late = self.curl(FULL_QUEUE.1)?;
        self.wait_for("a SYN to find it full", |id| Ok(overflows(id)? > before))?;
        self.envoy.process().signal(Signal::CONT)?;
        let hit = answered(late, FULL_QUEUE)?;
        for filler in fillers {
            filler.finish()?;
        }
        Ok(hit)
    }

    /// Stops the gateway for a while after a connection is there.
    fn slow_accept(&mut self) -> anyhow::Result<Hit> {
        self.envoy.process().signal(Signal::STOP)?;
        let waiting = self.curl(SLOW_ACCEPT.1)?;
        self.wait_for("a connection in the queue", |id| Ok(queued(id)? >= 1))?;
        let begun = Instant::now();
        thread::sleep(STOPPED.saturating_sub(begun.elapsed()));
        self.envoy.process().signal(Signal::CONT)?;
        answered(waiting, SLOW_ACCEPT)
    }

    fn wait_for(
        &mut self,
        what: &str,
        look: impl Fn(u32) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let id = self.envoy.process().id();
        deadline::wait(what, SOON, || {
            Ok(if look(id)? {
                Look::Done(())
            } else {
                Look::NotYet(format!("{} queued", queued(id)?))
            })
        })
    }

    /// Waits until all requests are settled.
    fn settled(&self) -> anyhow::Result<Vec<Request>> {
        let expected = 5 + QUEUE as usize;
        deadline::wait("all requests, settled", SOON, || {
            let requests = self.bridge.client().requests()?;
            let settled = requests.iter().filter(|request| request.settled).count();
            Ok(if settled >= expected {
                Look::Done(requests)
            } else {
                Look::NotYet(format!("{settled}"))
            })
        })
    }

    /// Returns what `syntrace show` prints of a request.
    fn shown(&self, hit: &Hit, requests: &[Request]) -> anyhow::Result<Vec<String>> {
        let request = requests.iter().find(|request| request.path == hit.fault.1);
        let request = request.with_context(|| format!("the bridge has no {}", hit.fault.1))?;
        let printed = Program::new("show", &self.sandbox.watching, paths::program("syntrace")?)
            .args(["--bridge", self.bridge.client().base(), "show", &request.id])
            .start(self.sandbox.directory())?
            .finish(SOON)?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    fn sightings(&self, part: &mut Part, hit: &Hit, shown: Vec<String>) -> anyhow::Result<()> {
        let (fault, path, words) = hit.fault;
        let log = bridge::facts_socket(&self.sandbox).with_extension("sock.access.log");
        let log = fs::read_to_string(log)?;
        let of_path = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|line| line.contains(path))
                .map(str::to_owned)
                .collect()
        };
        let logged = of_path(&log);
        let mut ports = vec![hit.client_port];
        ports.extend(logged.first().and_then(|line| upstream_port(line)));
        let mut judged = |tool: &str, lines: Vec<String>| {
            let mut seen = Sighting::judge((fault, tool), lines, path, &ports, words);
            seen.lines.truncate(LINES);
            for line in &mut seen.lines {
                *line = line.chars().take(LETTERS).collect();
            }
            part.sighting(seen);
        };
        judged("Syntrace: `syntrace show`", shown);
        judged(
            "Envoy's OpenTelemetry tracer",
            of_path(&self.sink.output()?),
        );
        judged(
            "Envoy's access log, all of its fields that may tell",
            logged,
        );
        for (rival, process) in &self.tools {
            let printed = process.output()?;
            let lines = printed.lines().filter(|line| {
                let dead = fault == REFUSED.0 && names_discard(line);
                let ours = OURS.iter().any(|address| line.contains(address));
                dead || ours && ports.iter().any(|&port| has_number(line, port))
            });
            judged(rival.name(), lines.map(str::to_owned).collect());
        }
        Ok(())
    }
}

fn answered(curl: Curl, fault: Fault) -> anyhow::Result<Hit> {
    let exchange = curl.finish()?.pop().context("curl told of no request")?;
    Ok(Hit {
        fault,
        client_port: exchange.local.port(),
    })
}

/// Returns the gateway's own port towards the service, as the access log has it.
fn upstream_port(line: &str) -> Option<u16> {
    let local = line.split(' ').nth(5)?;
    local.rsplit_once(':')?.1.parse().ok()
}

/// Returns whether a line names the address where nothing listens, port 9 of the gateway's own host, as any of the
/// tools writes it.
fn names_discard(line: &str) -> bool {
    let words: Vec<_> = line
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let apart = words.windows(2).any(|pair| pair == ["127.0.0.1", "9"]);
    let together = ["127.0.0.1.9", "127.0.0.1:9"];
    apart
        || words
            .iter()
            .any(|word| together.contains(&word.trim_end_matches(':')))
}

fn has_number(line: &str, number: u16) -> bool {
    let number = number.to_string();
    line.split(|letter: char| !letter.is_ascii_digit())
        .any(|part| part == number)
}

/// Returns how many connections wait for the gateway to accept them: what a listener has as its receive queue.
fn queued(id: u32) -> anyhow::Result<u64> {
    let table = fs::read_to_string(format!("/proc/{id}/net/tcp"))?;
    let port = format!(":{PORT:04X}");
    let listener = table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_listener = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
        if is_listener {
            fields.get(4)?.split_once(':').map(|(_, queue)| queue)
        } else {
            None
        }
    });
    Ok(u64::from_str_radix(
        listener.context("the gateway does not listen")?,
        16,
    )?)
}

/// Returns how often a full queue was met in the gateway's namespace.
fn overflows(id: u32) -> anyhow::Result<u64> {
    let table = fs::read_to_string(format!("/proc/{id}/net/netstat"))?;
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt")?;
    let found = names
        .split(' ')
        .zip(values.split(' '))
        .find(|(name, _)| *name == "ListenOverflows");
    Ok(found.context("no ListenOverflows")?.1.parse()?)
}
