//! An event stream, read as it comes
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::{collections::VecDeque, time::Duration};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{task::JoinHandle, time::timeout};

/// A bridge that sends nothing for so long is gone: it sends a keep-alive every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Longest line that is read: a record with all its requests has some megabytes.
const LINE_BYTES_MAX: usize = 64 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Told {
    /// Its kind; empty for a record.
    pub(in crate::cli) event: String,
    /// What it says.
    pub(in crate::cli) data: String,
    /// Where to resume after it.
    pub(in crate::cli) id: Option<String>,
}

/// A stream that is open.
#[derive(Debug)]
pub(in crate::cli) struct Follow {
    body: Incoming,
    conversation: JoinHandle<()>,
    reader: Reader,
}

/// Cuts bytes into lines, and lines into events.
#[derive(Debug, Default)]
struct Reader {
    line: Vec<u8>,
    event: Told,
    told: VecDeque<Told>,
}

// === impl Follow ===

impl Follow {
    pub(super) fn new(body: Incoming, conversation: JoinHandle<()>) -> Self {
        Self {
            body,
            conversation,
            reader: Reader::default(),
        }
    }

    /// Returns the next event; `None` when the stream has ended, broken or fallen silent.
    pub(in crate::cli) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.reader.told.pop_front() {
                return Some(told);
            }
            let frame = timeout(SILENCE_MAX, self.body.frame()).await.ok()??.ok()?;
            if let Some(bytes) = frame.data_ref() {
                self.reader.read(bytes)?;
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.conversation.abort();
    }
}

// === impl Reader ===

impl Reader {
    /// Takes what has come; `None` if a line has no end.
    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                self.take(line.trim_end_matches(['\r', '\n']));
            }
        }
        (self.line.len() <= LINE_BYTES_MAX).then_some(())
    }

    fn take(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                self.told.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment says that the stream is there; a time to come again is ours to choose.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_wherever_they_are_cut() {
        let text = ": here\n\nid: 7\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent:missed\ndata:{}\n\n";
        let expected = [
            told("", "{\"a\":\n1}", Some("7")),
            told("missed", "{}", None),
        ];
        for at in 0..text.len() {
            let (one, other) = text.as_bytes().split_at(at);
            let mut reader = Reader::default();
            reader.read(one).unwrap();
            reader.read(other).unwrap();
            assert_eq!(reader.told, expected, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_ends_the_stream() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&vec![b'x'; LINE_BYTES_MAX + 1]), None);
    }

    fn told(event: &str, data: &str, id: Option<&str>) -> Told {
        Told {
            event: event.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        }
    }
}
