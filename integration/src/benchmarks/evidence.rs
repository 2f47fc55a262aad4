//! What stands beside the figures: which tools were run, and what each printed about a fault.

use serde::{Deserialize, Serialize};

/// What one part of a benchmark leaves for the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Everything that was run.
    pub tools: Vec<Tool>,
    /// What was printed about faults.
    pub sightings: Vec<Sighting>,
    /// Sentences that hold for this run only.
    pub notes: Vec<String>,
}

/// A program that took part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tool {
    /// What it is called in the tables.
    pub name: String,
    /// What it says of itself.
    pub version: String,
    /// How it was run, or what configures it.
    pub command: String,
}

/// What one tool printed about one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What was done to the connection.
    pub fault: String,
    /// Who watched.
    pub tool: String,
    /// The lines tell which request it was.
    pub request: bool,
    /// The lines tell which connection it was, by its ports.
    pub connection: bool,
    /// The lines tell what happened, in a word of the fault's own.
    pub cause: bool,
    /// The lines.
    pub lines: Vec<String>,
}

// === impl Evidence ===

impl Evidence {
    /// Adds what another part left; a tool that took part in both is kept once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.tools.extend(other.tools);
        self.tools.sort();
        self.tools.dedup();
        self.sightings.extend(other.sightings);
        self.notes.extend(other.notes);
        self
    }
}

// === impl Sighting ===

impl Sighting {
    /// Judges what `tool` printed: whether it holds the request's `path`, one of the connection's `ports`, and one
    /// of the `words` that name the fault, each in so many lines.
    #[must_use]
    pub fn judge(
        (fault, tool): (&str, &str),
        lines: Vec<String>,
        path: &str,
        ports: &[u16],
        words: &[(&str, usize)],
    ) -> Self {
        let count = |sought: &str| lines.iter().filter(|line| line.contains(sought)).count();
        let holds_number = |number: u16| {
            let number = number.to_string();
            let mut parts = lines
                .iter()
                .flat_map(|line| line.split(|letter: char| !letter.is_ascii_digit()));
            parts.any(|part| part == number)
        };
        Self {
            fault: fault.to_owned(),
            tool: tool.to_owned(),
            request: count(path) > 0,
            connection: ports.iter().any(|&port| holds_number(port)),
            cause: words.iter().any(|&(word, times)| count(word) >= times),
            lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_whole_number_and_not_a_part_of_one() {
        let judged = |line: &str| {
            let lines = vec![line.to_owned()];
            Sighting::judge(("refused", "x"), lines, "/a", &[4123], &[("RST", 1)])
        };
        let seen = judged("GET /a 192.0.2.2:4123 RST");
        assert!(seen.request && seen.connection && seen.cause);
        let twice = vec!["[S]".to_owned(); 2];
        let again =
            |times| Sighting::judge(("lost", "x"), twice.clone(), "/a", &[1], &[("[S]", times)]);
        assert!(again(2).cause && !again(3).cause);
        let seen = judged("GET /b 192.0.2.2:41230 FIN");
        assert!(!seen.request && !seen.connection && !seen.cause);
    }

    #[test]
    fn a_tool_of_two_parts_is_listed_once() {
        let part = || Evidence {
            tools: vec![Tool {
                name: "a".to_owned(),
                version: "1".to_owned(),
                command: "a -b".to_owned(),
            }],
            ..Evidence::default()
        };
        assert_eq!(part().and(part()).tools.len(), 1);
    }
}
