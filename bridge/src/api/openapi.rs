//! `GET /openapi.json`: the endpoints described, from the types and handlers that they are made of; and
//! `GET /docs`, the same for people.

use std::fmt::Write as _;

use axum::{
    http::header,
    response::{Html, IntoResponse},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    Code, causes, connections, coverage, error, facts, health, json::Json, requests, traces,
};

/// What may go wrong everywhere.
const ANYWHERE: [(&str, &str); 3] = [
    ("400", "A parameter is unknown or invalid"),
    (
        "429",
        "Too many at once or in a second; after Retry-After, it may be tried again",
    ),
    ("431", "The head is larger than 32 KiB"),
];

/// The page's own rules: nothing is loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Syntrace bridge",
        description = "What is known of connections and requests. Times are RFC 3339 in UTC, lengths \
                       in nanoseconds. An error is `{\"error\":{\"code\",\"message\"}}`; its code is \
                       stable.",
    ),
    paths(
        causes::list,
        requests::list,
        requests::one,
        connections::list,
        connections::one,
        traces::one,
        coverage::show,
        super::show_metrics,
        health::live,
        health::ready,
        facts::append,
    ),
    components(schemas(error::Body, Code)),
    modifiers(&Failures),
)]
struct Description;

/// Adds what every operation may answer.
struct Failures;

impl Modify for Failures {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut api.paths.paths {
            let guarded = path.starts_with("/v1/") || path == "/metrics";
            for operation in operations(item) {
                for (status, description) in ANYWHERE {
                    add(operation, status, description);
                }
                if path.starts_with("/v1/") {
                    add(
                        operation,
                        "503",
                        "It cannot be told at present; after Retry-After, it may be tried again",
                    );
                }
                if guarded {
                    add(
                        operation,
                        "401",
                        "No token that is known came with the request",
                    );
                    let scheme = SecurityRequirement::new::<_, _, String>("token", []);
                    operation.security = Some(vec![SecurityRequirement::default(), scheme]);
                }
            }
        }
        if let Some(components) = &mut api.components {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
            components.add_security_scheme("token", SecurityScheme::Http(scheme));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    item.get.iter_mut().chain(item.post.iter_mut())
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let body = Content::new(Some(Ref::from_schema_name("Error")));
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", body)
        .build();
    let responses = &mut operation.responses.responses;
    responses
        .entry(status.to_owned())
        .or_insert_with(|| response.into());
}

/// Shows the description.
pub(super) async fn show() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

/// Shows the description as a page.
pub(super) async fn page() -> impl IntoResponse {
    let page = Html(render(&Description::openapi()));
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], page)
}

/// Writes the page. Its text is this program's own; it is escaped all the same.
fn render(api: &utoipa::openapi::OpenApi) -> String {
    let mut page = String::from(HEAD);
    for (path, item) in &api.paths.paths {
        for (method, operation) in [("GET", &item.get), ("POST", &item.post)] {
            if let Some(operation) = operation {
                render_operation(&mut page, method, path, operation);
            }
        }
    }
    page.push_str("<h2>Codes of errors</h2>\n<table>\n");
    for code in Code::ALL {
        let (name, status) = (escape(code.name()), code.status().as_u16());
        let meaning = escape(code.meaning().trim());
        page.push_str(&format!(
            "<tr><td><code>{name}</code></td><td>{status}</td><td>{meaning}</td></tr>\n"
        ));
    }
    page.push_str("</table>\n");
    page.push_str(
        "<p>The shapes of the answers are in <a href=\"/openapi.json\">openapi.json</a>.</p>\n",
    );
    page
}

fn render_operation(page: &mut String, method: &str, path: &str, operation: &Operation) {
    let summary = operation.summary.as_deref().unwrap_or_default();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let written = page.write_fmt(text);
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    };
    line(format_args!(
        "<h2>{method} {}</h2>\n<p>{}</p>\n",
        escape(path),
        escape(summary)
    ));
    line(format_args!("<table>\n"));
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            let name = escape(&parameter.name);
            let text = escape(parameter.description.as_deref().unwrap_or_default());
            line(format_args!(
                "<tr><td><code>{name}</code></td><td>{text}</td></tr>\n"
            ));
        }
    }
    for (status, response) in &operation.responses.responses {
        if let RefOr::T(response) = response {
            let text = escape(&response.description);
            let types: Vec<_> = response.content.keys().map(|name| escape(name)).collect();
            let types = types.join(", ");
            line(format_args!(
                "<tr><td>{status}</td><td>{text} <i>{types}</i></td></tr>\n"
            ));
        }
    }
    line(format_args!("</table>\n"));
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Syntrace bridge: API</title>
<style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
h2{font:bold 1.1em monospace;margin:2em 0 0}td{padding:0 1em 0 0;vertical-align:top}
td:first-child{white-space:nowrap}i{color:#666}</style>
<h1>Syntrace bridge: API</h1>
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
