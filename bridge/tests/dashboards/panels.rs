//! What the dashboard shows: each panel's question, its unit and its queries.

/// A row of the dashboard.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) panels: &'static [Panel],
}

/// One graph.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// What it answers, and what to do with the answer.
    pub(crate) description: &'static str,
    /// Grafana's name of the unit.
    pub(crate) unit: &'static str,
    pub(crate) queries: &'static [Query],
    /// Areas on top of each other instead of lines.
    pub(crate) stacked: bool,
    /// The query of the page that lists what the graph counts.
    pub(crate) page: &'static str,
}

/// One query, and how its series are called.
pub(crate) struct Query {
    pub(crate) expression: &'static str,
    pub(crate) legend: &'static str,
}

const fn query(expression: &'static str, legend: &'static str) -> Query {
    Query { expression, legend }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        title: "Requests",
        panels: &[
            Panel {
                title: "Requests per second",
                description: "Settled requests by Envoy's cluster.",
                unit: "reqps",
                queries: &[query(
                    r#"sum by (cluster) (rate(syntrace_requests_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{cluster}}",
                )],
                stacked: true,
                page: "view=requests",
            },
            Panel {
                title: "Latency, 95th percentile",
                description: "Of the record: with the handshake and the accept wait, where the request waited for them.",
                unit: "s",
                queries: &[query(
                    r#"histogram_quantile(0.95, sum by (le, cluster) (rate(syntrace_request_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                    "{{cluster}}",
                )],
                stacked: false,
                page: "view=requests&min_duration_ms=100",
            },
            Panel {
                title: "Trouble by party",
                description: "Share of requests that failed or were slow, by who did it. The page has the causes with examples.",
                unit: "percentunit",
                queries: &[query(
                    r#"sum by (party) (rate(syntrace_requests_total{instance=~"$instance",code!="completed"}[$__rate_interval])) / scalar(sum(rate(syntrace_requests_total{instance=~"$instance"}[$__rate_interval])))"#,
                    "{{party}}",
                )],
                stacked: true,
                page: "",
            },
            Panel {
                title: "Dye success",
                description: "Share of requests with a dye that did not fail, by dye.",
                unit: "percentunit",
                queries: &[query(
                    r#"sum by (dye) (rate(syntrace_dyed_requests_total{instance=~"$instance",failed="false"}[$__rate_interval])) / sum by (dye) (rate(syntrace_dyed_requests_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{dye}}",
                )],
                stacked: false,
                page: "view=requests&status=5xx",
            },
        ],
    },
    Row {
        title: "Connections",
        panels: &[
            Panel {
                title: "Handshake",
                description: "From the SYN to the end of the handshake, by role. Steps of a second are lost SYNs.",
                unit: "s",
                queries: &[
                    query(
                        r#"histogram_quantile(0.5, sum by (le, role) (rate(syntrace_handshake_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                        "{{role}}, median",
                    ),
                    query(
                        r#"histogram_quantile(0.99, sum by (le, role) (rate(syntrace_handshake_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                        "{{role}}, 99th percentile",
                    ),
                ],
                stacked: false,
                page: "view=connections",
            },
            Panel {
                title: "Accept wait",
                description: "How long established connections waited in the accept queue; exact with eBPF, where the server asks for the peer's address in `accept`; an upper bound otherwise.",
                unit: "s",
                queries: &[
                    query(
                        r#"histogram_quantile(0.5, sum by (le) (rate(syntrace_accept_wait_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                        "median",
                    ),
                    query(
                        r#"histogram_quantile(0.99, sum by (le) (rate(syntrace_accept_wait_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                        "99th percentile",
                    ),
                ],
                stacked: false,
                page: "view=connections&min_wait_ms=10",
            },
            Panel {
                title: "Connections by outcome",
                description: "Settled connections per second, by how they ended.",
                unit: "ops",
                queries: &[query(
                    r#"sum by (outcome) (rate(syntrace_connections_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{outcome}}",
                )],
                stacked: true,
                page: "view=connections",
            },
            Panel {
                title: "Connects that failed",
                description: "Connections per second that were never established, by cause.",
                unit: "ops",
                queries: &[query(
                    r#"sum by (code) (rate(syntrace_connections_failed_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{code}}",
                )],
                stacked: true,
                page: "view=connections&outcome=refused",
            },
            Panel {
                title: "Retransmissions",
                description: "Segments per second that were retransmitted, by role.",
                unit: "ops",
                queries: &[query(
                    r#"sum by (role, segment) (rate(syntrace_retransmits_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{role}}, {{segment}}",
                )],
                stacked: false,
                page: "view=connections&min_retransmits=1",
            },
        ],
    },
    Row {
        title: "What is seen",
        panels: &[
            Panel {
                title: "Requests that were joined",
                description: "Share of settled requests that were assigned to the connection they came in on, by method and confidence.",
                unit: "percentunit",
                queries: &[query(
                    r#"sum by (method, confidence) (rate(syntrace_joins_total{instance=~"$instance",link="received_on"}[$__rate_interval])) / scalar(sum(rate(syntrace_joins_total{instance=~"$instance",link="received_on"}[$__rate_interval])))"#,
                    "{{method}}, {{confidence}}",
                )],
                stacked: true,
                page: "view=coverage",
            },
            Panel {
                title: "Facts that were lost",
                description: "Facts per second that senders numbered and that did not arrive. Every one makes a record less than whole.",
                unit: "ops",
                queries: &[query(
                    r#"sum by (instance) (rate(syntrace_facts_missing_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{instance}}",
                )],
                stacked: false,
                page: "view=coverage",
            },
            Panel {
                title: "Views that are missing",
                description: "1 while nothing of the kernel's or of the proxy's view has come.",
                unit: "bool_yes_no",
                queries: &[query(
                    r#"max by (instance, view) (syntrace_view_missing{instance=~"$instance"})"#,
                    "{{instance}}, {{view}}",
                )],
                stacked: false,
                page: "view=coverage",
            },
            Panel {
                title: "Live records",
                description: "Connections and requests of which more is expected: what the bridge holds in memory.",
                unit: "short",
                queries: &[
                    query(
                        r#"sum(syntrace_connections_live{instance=~"$instance"})"#,
                        "connections",
                    ),
                    query(
                        r#"sum(syntrace_requests_live{instance=~"$instance"})"#,
                        "requests",
                    ),
                ],
                stacked: false,
                page: "view=coverage",
            },
            Panel {
                title: "Export",
                description: "Spans per second that the collector took, and that were lost.",
                unit: "ops",
                queries: &[
                    query(
                        r#"sum(rate(syntrace_spans_exported_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "taken",
                    ),
                    query(
                        r#"sum(rate(syntrace_spans_refused_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "refused",
                    ),
                ],
                stacked: false,
                page: "view=coverage",
            },
        ],
    },
];
