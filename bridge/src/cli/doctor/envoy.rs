//! What Envoy's admin interface reports about the filter and its cluster for the bridge.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::bridge::{AskError, Bridge};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Envoy {
    /// Envoy's clock, to the second, and ours at that moment.
    pub(super) clocks: Option<(Timestamp, Timestamp)>,
    /// Wasm machines that run.
    pub(super) wasm_active: u64,
    /// Whether the configuration names our filter.
    pub(super) configured: bool,
    /// Whether the configuration has the cluster that leads to the bridge.
    pub(super) has_cluster: bool,
    /// Connects to the bridge that failed.
    pub(super) connect_fail: u64,
    /// Connections to the bridge at present.
    pub(super) connected: u64,
    /// Batches that were sent.
    pub(super) sent: u64,
    /// Batches that the bridge took.
    pub(super) taken: u64,
}

/// Looks at Envoy.
pub(super) async fn look(admin: &Bridge, cluster: &str) -> Result<Envoy, AskError> {
    let stats = admin.get("/stats", &[]).await?;
    let now = Timestamp::now();
    let text = String::from_utf8_lossy(&stats.body);
    let counters: BTreeMap<&str, u64> = text.lines().filter_map(counter).collect();
    let of_cluster = |name: &str| {
        let name = format!("cluster.{cluster}.{name}");
        counters.get(name.as_str()).copied()
    };
    let sum = |fits: fn(&str) -> bool| {
        let fitting = counters.iter().filter(|(name, _)| fits(name));
        fitting.map(|(_, value)| value).sum()
    };
    let configuration = admin.get("/config_dump", &[]).await?;
    let configuration = String::from_utf8_lossy(&configuration.body);
    Ok(Envoy {
        clocks: stats.date.map(|date| (date, now)),
        wasm_active: sum(|name| name.starts_with("wasm.") && name.ends_with(".active")),
        configured: configuration.contains("\"root_id\": \"syntrace\""),
        has_cluster: of_cluster("upstream_cx_total").is_some(),
        connect_fail: of_cluster("upstream_cx_connect_fail").unwrap_or(0),
        connected: of_cluster("upstream_cx_active").unwrap_or(0),
        sent: of_cluster("upstream_rq_total").unwrap_or(0),
        taken: of_cluster("upstream_rq_2xx").unwrap_or(0),
    })
}

/// Reads `name: value`; histograms have no number there.
fn counter(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once(": ")?;
    Some((name, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_counters() {
        assert_eq!(
            counter("cluster.a.upstream_cx_total: 3"),
            Some(("cluster.a.upstream_cx_total", 3))
        );
        assert_eq!(counter("cluster.a.upstream_cx_length_ms: P0(nan,2)"), None);
    }
}
