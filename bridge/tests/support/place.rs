//! A data directory for one bridge after the other, and what a bridge answers of everything that it knows.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use syntrace_bridge::{pipeline::Settings, store};
use syntrace_core::Limits;
use tempfile::TempDir;

use super::{Answer, Bridge, DEADLINE, traffic};

/// Connections, with a request each, in each half of the traffic.
pub const HALF: u64 = 50;

/// Sends the traffic, and returns what is answered of it when it has settled.
pub async fn play(bridge: &Bridge) -> Value {
    send(bridge).await;
    answers(bridge).await
}

/// Sends the traffic, and waits until it has settled.
pub async fn send(bridge: &Bridge) {
    bridge.accept(&traffic::opening()).await;
    for first in [0, 2 * HALF] {
        bridge
            .accept(&traffic::batch(traffic::OPENING + first, HALF))
            .await;
    }
    let settled = |answer: &Answer| {
        let coverage = answer.json();
        coverage["requests"]["settled"] == 2 * HALF
            && coverage["connections"]["settled"] == 2 * HALF
    };
    bridge.eventually("/v1/coverage", settled).await;
}

/// What a bridge says of everything that it knows.
pub async fn answers(bridge: &Bridge) -> Value {
    try_answers(bridge).await.unwrap()
}

/// The same; `None` while the view says that it cannot be read, or a record is not found.
pub async fn try_answers(bridge: &Bridge) -> Option<Value> {
    let mut by_id = Vec::new();
    for kind in ["requests", "connections"] {
        for record in try_list(bridge, kind).await? {
            let id = record["id"].as_str().unwrap();
            let answer = try_get(bridge, &format!("/v1/{kind}/{id}")).await?;
            assert_eq!(answer, record);
            let trace = record["trace_id"].as_str().unwrap();
            by_id.push(try_get(bridge, &format!("/v1/traces/{trace}")).await?);
        }
    }
    let ends = "/v1/connections?local=192.0.2.1:8080&limit=1000";
    Some(json!({
        "by_id": by_id,
        "causes": try_get(bridge, "/v1/causes").await?,
        "ends": try_get(bridge, ends).await?,
    }))
}

/// An answer, unless it is not there or the view cannot be read: never a part of it.
pub async fn try_get(bridge: &Bridge, path: &str) -> Option<Value> {
    let answer = bridge.get(path).await;
    match answer.status {
        StatusCode::OK => Some(answer.json()).filter(|answer| answer.get("incomplete").is_none()),
        StatusCode::NOT_FOUND => None,
        _ => {
            let (status, code) = answer.error();
            assert_eq!(status, 503);
            assert!(
                ["database_failed", "rebuilding"].contains(&&*code),
                "{code}"
            );
            None
        }
    }
}

/// All records of one kind, from page to page.
pub async fn list(bridge: &Bridge, kind: &str) -> Vec<Value> {
    try_list(bridge, kind).await.unwrap()
}

pub async fn try_list(bridge: &Bridge, kind: &str) -> Option<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/{kind}?limit=30{cursor}");
        let mut page = try_get(bridge, &path).await?;
        found.append(page[kind].as_array_mut().unwrap());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(found),
        }
    }
}

/// The texts, each with a space behind it.
pub fn in_words<'a>(texts: impl Iterator<Item = &'a Value>) -> String {
    let words = texts.map(|text| text.as_str().unwrap().to_owned() + " ");
    words.collect()
}

/// A data directory for one bridge after the other.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub fn view(&self) -> PathBuf {
        self.path().join("view")
    }

    pub fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    pub fn settings(&self) -> Settings {
        Settings {
            limits: Limits {
                grace_ns: 200_000_000,
                ..Limits::default()
            },
            data_dir: Some(self.path()),
            view: store::Bounds {
                chunk_records: 70,
                ..store::Bounds::default()
            },
            ..Settings::default()
        }
    }

    pub fn start(&self) -> Bridge {
        Bridge::start_with(&self.settings())
    }

    /// Sends the traffic to a bridge, ends it when all is stored, and returns what it answered.
    pub async fn after_the_traffic(&self) -> Value {
        let bridge = self.start();
        let answers = play(&bridge).await;
        self.eventually_stored(&bridge).await;
        bridge.pipeline.finish().await.unwrap();
        answers
    }

    pub fn chunks(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.view()) else {
            return Vec::new();
        };
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path: &PathBuf| Path::extension(path).is_some_and(|is| is == "db"))
            .collect()
    }

    /// What `sqlite3` shows of one column of all files of the view.
    pub fn rows(&self, table: &str, column: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for chunk in self.chunks() {
            let chunk = rusqlite::Connection::open(chunk).unwrap();
            let query = format!("SELECT {column} FROM {table}");
            let mut query = chunk.prepare(&query).unwrap();
            let found = query.query_map([], |row| row.get(0)).unwrap();
            rows.extend(found.map(Result::unwrap));
        }
        rows
    }

    /// Waits until memory has given everything to the database.
    pub async fn eventually_stored(&self, bridge: &Bridge) {
        let deadline = Instant::now() + DEADLINE;
        let view = bridge.pipeline.view();
        while view.stored_number() != view.settled_number() || self.chunks().is_empty() {
            assert!(Instant::now() < deadline, "{:?}", view.database_status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
