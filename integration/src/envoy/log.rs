//! What Envoy's own debug log says of the connects of its pools: the truth against which the bridge's joins
//! are held, because a failed connect leaves no other trace of which requests it failed.
//!
//! Reads the lines of `pool`, `connection`, `client`, `router` and `http` at level debug. A worker handles
//! one event at a time: the streams that it resets after a connection failed are those that waited for it.

use std::collections::BTreeMap;

/// Envoy's `--log-format`: seconds, nanoseconds, thread, message.
pub const FORMAT: &str = "%E.%F %t %v";

/// The components and levels that [`read`] needs.
pub const LEVELS: &str = "http:debug,router:debug,pool:debug,connection:debug,client:debug";

/// What the pools did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connects {
    /// Every connect that was started, in order.
    pub started: Vec<Connect>,
    /// By path: which of [`Self::started`] failed the request's last attempt.
    pub failed: BTreeMap<String, usize>,
}

/// One connect of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The worker's thread id.
    pub thread: u32,
    /// How many connects this thread had started towards the same address before.
    pub nth: usize,
    /// Where to, as `address:port`.
    pub to: String,
}

/// Reads a log that was written in [`FORMAT`] at [`LEVELS`].
#[must_use]
pub fn read(log: &str) -> Connects {
    let mut connects = Connects::default();
    let mut before: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    let mut by_connection: BTreeMap<&str, usize> = BTreeMap::new();
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    let mut failing: BTreeMap<u32, usize> = BTreeMap::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(3, ' ');
        let (Some(_at), Some(Ok(thread)), Some(message)) = (
            words.next(),
            words.next().map(str::parse::<u32>),
            words.next(),
        ) else {
            continue;
        };
        let connection = tag(message, "ConnectionId");
        let stream = tag(message, "StreamId");
        let said = message.rsplit_once("] ").map_or(message, |(_, said)| said);
        if let (Some(connection), Some(to)) = (connection, said.strip_prefix("connecting to ")) {
            let nth = before.entry((thread, to)).or_default();
            by_connection.insert(connection, connects.started.len());
            connects.started.push(Connect {
                thread,
                nth: *nth,
                to: to.to_owned(),
            });
            *nth += 1;
        } else if let (Some(connection), true) =
            (connection, said.starts_with("client disconnected, failure"))
        {
            if let Some(&started) = by_connection.get(connection) {
                failing.insert(thread, started);
            }
        } else if let (Some(stream), true) = (stream, said.starts_with("request headers complete"))
        {
            while let Some(header) = lines.next_if(|line| line.starts_with('\'')) {
                if let Some(path) = header.strip_prefix("':path', '") {
                    paths.insert(stream, path.trim_end_matches('\''));
                }
            }
        } else if let (Some(stream), true) = (stream, is_failed_connect(said))
            && let (Some(path), Some(&started)) = (paths.get(stream), failing.get(&thread))
        {
            connects.failed.insert((*path).to_owned(), started);
        }
    }
    connects
}

fn is_failed_connect(said: &str) -> bool {
    said.starts_with("upstream reset:")
        && (said.contains("connection failure") || said.contains("connection timeout"))
}

/// Returns the value of `"name":"value"` among the message's tags.
fn tag<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"1.1 7 [Tags: "ConnectionId":"0","StreamId":"9"] request headers complete (end_stream=true):
':authority', 'a'
':path', '/abc'

1.2 7 [Tags: "ConnectionId":"1"] connecting to 127.0.0.1:9
1.2 8 [Tags: "ConnectionId":"2"] connecting to 127.0.0.1:9
1.3 7 [Tags: "ConnectionId":"1"] client disconnected, failure reason: delayed connect error: Connection refused
1.3 7 [Tags: "ConnectionId":"0","StreamId":"9"] upstream reset: reset reason: remote connection failure, transport failure reason: x
1.3 7 [Tags: "ConnectionId":"4"] connecting to /run/bridge.sock
1.4 7 [Tags: "ConnectionId":"3"] connecting to 127.0.0.1:9
1.5 8 [Tags: "ConnectionId":"2"] client disconnected, failure reason: delayed connect error: Connection refused
1.6 7 [Tags: "ConnectionId":"3"] client disconnected, failure reason: delayed connect error: Connection refused
1.6 7 [Tags: "ConnectionId":"0","StreamId":"9"] upstream reset: reset reason: remote connection failure, transport failure reason: x
"#;

    #[test]
    fn a_request_is_failed_by_the_connect_of_its_last_attempt_on_its_own_thread() {
        let connects = read(LOG);
        let threads: Vec<_> = connects.started.iter().map(|c| (c.thread, c.nth)).collect();
        assert_eq!(threads, [(7, 0), (8, 0), (7, 0), (7, 1)]);
        assert_eq!(connects.failed, [("/abc".to_owned(), 3)].into());
    }
}
