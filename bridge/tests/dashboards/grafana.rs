//! Turns the panels into Grafana's JSON (schema 39, Grafana 10 and later), laid out three in a row.

use serde_json::{Value, json};

use crate::panels::{Panel, ROWS};

/// Grafana's grid is 24 wide.
const WIDTH: usize = 8;
const HEIGHT: usize = 8;
const IN_A_ROW: usize = 24 / WIDTH;

/// Returns the dashboard.
pub(crate) fn dashboard() -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in ROWS {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        }));
        y += 1;
        for (n, panel) in row.panels.iter().enumerate() {
            let (x, below) = (n % IN_A_ROW * WIDTH, n / IN_A_ROW * HEIGHT);
            let place = json!({"h": HEIGHT, "w": WIDTH, "x": x, "y": y + below});
            panels.push(graph(panels.len() + 1, panel, &place));
        }
        y += row.panels.len().div_ceil(IN_A_ROW) * HEIGHT;
    }
    json!({
        "uid": "syntrace",
        "title": "Syntrace",
        "description": "Was it the network, the kernel's queues, the proxy or the service?",
        "tags": ["syntrace", "envoy"],
        "schemaVersion": 39,
        "editable": false,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance", "label": "Bridge", "type": "query", "datasource": datasource(),
                "query": {"query": "label_values(syntrace_build_info, instance)", "refId": "instances"},
                "multi": true, "includeAll": true, "allValue": ".+", "refresh": 2,
                "current": {"text": "All", "value": "$__all"},
            },
            {
                "name": "page", "label": "Address of the page", "type": "textbox",
                "query": "http://127.0.0.1:4390", "current": {"text": "http://127.0.0.1:4390", "value": "http://127.0.0.1:4390"},
            },
        ]},
        "links": [{"title": "The page", "type": "link", "url": "${page}/", "targetBlank": true}],
        "panels": panels,
    })
}

fn graph(id: usize, panel: &Panel, place: &Value) -> Value {
    let targets: Vec<Value> = ('A'..)
        .zip(panel.queries)
        .map(|(name, query)| {
            json!({
                "refId": name.to_string(), "datasource": datasource(), "editorMode": "code", "range": true,
                "expr": query.expression, "legendFormat": query.legend,
            })
        })
        .collect();
    json!({
        "id": id, "type": "timeseries", "title": panel.title, "description": panel.description,
        "gridPos": place, "datasource": datasource(), "targets": targets,
        "links": [{
            "title": "On the page", "targetBlank": true,
            "url": format!("${{page}}/?{}", panel.page),
        }],
        "fieldConfig": {"overrides": colours(panel), "defaults": {
            "unit": panel.unit, "min": 0,
            "custom": {
                "lineWidth": 1, "fillOpacity": if panel.stacked { 40 } else { 0 }, "showPoints": "never",
                "stacking": {"mode": if panel.stacked { "normal" } else { "none" }},
            },
        }},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    })
}

/// The parties have the same hues here as on the page.
fn colours(panel: &Panel) -> Vec<Value> {
    if panel
        .queries
        .iter()
        .all(|query| query.legend != "{{party}}")
    {
        return Vec::new();
    }
    let parties = [
        ("client", "#9d3f86"),
        ("network", "#2c6fbb"),
        ("kernel", "#b97700"),
        ("proxy", "#0e8a6d"),
        ("service", "#c2410c"),
        ("unknown", "#868e9b"),
    ];
    let colour = |(name, colour)| {
        json!({
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        })
    };
    parties.into_iter().map(colour).collect()
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}
