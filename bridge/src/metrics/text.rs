//! The older text format of Prometheus, converted from OpenMetrics, for clients that do not accept the newer one.
//!
//! Counters and infos are named in full there, and there are no exemplars, no units and no end.

use std::collections::BTreeMap;

/// Rewrites a page of OpenMetrics.
pub(super) fn classic(page: &str) -> String {
    let mut classic = String::with_capacity(page.len());
    let mut kinds = BTreeMap::new();
    for line in page.lines() {
        if let Some(("TYPE", name, kind)) = comment(line) {
            kinds.insert(name, kind);
        }
    }
    for line in page.lines() {
        match comment(line) {
            Some((word @ ("HELP" | "TYPE"), name, rest)) => {
                let (suffix, kind) = match kinds.get(name) {
                    Some(&"counter") => ("_total", "counter"),
                    Some(&"info") => ("_info", "gauge"),
                    Some(kind) => ("", *kind),
                    None => ("", "untyped"),
                };
                let rest = if word == "TYPE" { kind } else { rest };
                classic.extend(["# ", word, " ", name, suffix, " ", rest, "\n"]);
            }
            Some(_) => {}
            None if line.starts_with('#') => {}
            None => {
                classic.push_str(without_exemplar(line));
                classic.push('\n');
            }
        }
    }
    classic
}

/// Splits `# WORD name rest`.
fn comment(line: &str) -> Option<(&str, &str, &str)> {
    let (word, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((word, name, rest))
}

/// Cuts a sample where its exemplar begins: at the first ` # ` outside of quotes.
fn without_exemplar(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line.get(..index).unwrap_or(line).trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_in_full_and_exemplars_left_out() {
        let page = "\
# HELP a_requests Requests.
# TYPE a_requests counter
a_requests_total{c=\"x # \\\" y\"} 3 # {trace_id=\"f1\"} 1.0
# HELP a_wait_seconds Waits.
# TYPE a_wait_seconds histogram
# UNIT a_wait_seconds seconds
a_wait_seconds_bucket{le=\"0.1\"} 1 # {trace_id=\"f1\"} 0.05
# HELP a_build Build.
# TYPE a_build info
a_build_info{v=\"1\"} 1
# EOF
";
        let expected = "\
# HELP a_requests_total Requests.
# TYPE a_requests_total counter
a_requests_total{c=\"x # \\\" y\"} 3
# HELP a_wait_seconds Waits.
# TYPE a_wait_seconds histogram
a_wait_seconds_bucket{le=\"0.1\"} 1
# HELP a_build_info Build.
# TYPE a_build_info gauge
a_build_info{v=\"1\"} 1
";
        assert_eq!(classic(page), expected);
    }
}
