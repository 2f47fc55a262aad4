//! The page at `/`: its files, which are part of the program, and the headers that keep it harmless.
//!
//! It holds no data: everything that it shows it fetches from [`crate::api`], with the reader's token. So it is served
//! to everyone who may connect, with or without a token.

use axum::{
    Json, Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;

/// What the browser may do: only what comes from here, and no text may become markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Goes with every file.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    // A new version of the program brings new files under the same names.
    (header::CACHE_CONTROL, "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file, with the path under which it is served and its type.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../page/index.html")),
    ("/page/style.css", CSS, include_str!("../page/style.css")),
    ("/page/icon.svg", SVG, include_str!("../page/icon.svg")),
    ("/page/api.js", SCRIPT, include_str!("../page/api.js")),
    ("/page/causes.js", SCRIPT, include_str!("../page/causes.js")),
    ("/page/chart.js", SCRIPT, include_str!("../page/chart.js")),
    (
        "/page/coverage.js",
        SCRIPT,
        include_str!("../page/coverage.js"),
    ),
    ("/page/dom.js", SCRIPT, include_str!("../page/dom.js")),
    ("/page/list.js", SCRIPT, include_str!("../page/list.js")),
    ("/page/lists.js", SCRIPT, include_str!("../page/lists.js")),
    ("/page/main.js", SCRIPT, include_str!("../page/main.js")),
    ("/page/record.js", SCRIPT, include_str!("../page/record.js")),
    ("/page/rows.js", SCRIPT, include_str!("../page/rows.js")),
    ("/page/search.js", SCRIPT, include_str!("../page/search.js")),
    ("/page/states.js", SCRIPT, include_str!("../page/states.js")),
    (
        "/page/timeline.js",
        SCRIPT,
        include_str!("../page/timeline.js"),
    ),
    ("/page/words.js", SCRIPT, include_str!("../page/words.js")),
];

/// What an operator sets about the page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Settings {
    /// Where a trace is shown in the tracing backend, with `{trace_id}` in its place.
    pub trace_url: Option<String>,
}

/// Returns the routes of the page, for a router with any state.
pub fn routes<S: Clone + Send + Sync + 'static>(settings: Settings) -> Router<S> {
    let with_settings = Router::new().route(
        "/page/settings.json",
        get(async move || (HEADERS, Json(settings))),
    );
    FILES
        .iter()
        .fold(with_settings, |router, &(path, kind, text)| {
            router.route(path, get(async move || file(kind, text)))
        })
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (HEADERS, [(header::CONTENT_TYPE, kind)], text)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("/page/{name}");
            let served = name == "index.html" || FILES.iter().any(|(known, ..)| *known == path);
            assert!(served, "{name} is not served");
        }
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere() {
        for (path, _, text) in FILES {
            let elsewhere = text.match_indices("//").filter(|&(at, _)| {
                let before = text.get(..at).unwrap_or_default();
                before.ends_with("http:") || before.ends_with("https:")
            });
            for (at, _) in elsewhere {
                let link = text
                    .get(at..)
                    .unwrap_or_default()
                    .get(..14)
                    .unwrap_or_default();
                // A namespace is a name, and the bridge's own address is an example in words.
                assert!(
                    link.starts_with("//www.w3.org/") || link.starts_with("//127.0.0.1"),
                    "{path}: {link}"
                );
            }
        }
    }

    #[test]
    fn no_text_becomes_markup() {
        for (path, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!text.contains(way), "{path}: {way}");
            }
        }
    }
}
