//! `syntrace doctor`: checks every link of the chain, and names the one that is broken.
//!
//! The evidence is gathered here; [`judge`] decides what it means, and is pure.

mod envoy;
mod evidence;
mod host;
mod judge;

use std::io::Write;

use serde::Serialize;

use self::evidence::Evidence;
use super::{
    CliError, Exit,
    bridge::Bridge,
    line::{self, To},
    text::{self, BAD, BOLD, FAINT, GOOD, WARN},
};

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    link: &'static str,
    state: State,
    /// What was found, in words.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It works.
    Fine,
    /// It works, and something is less than it may be.
    Limited,
    /// It could not be looked at from here.
    Unknown,
    /// It does not work.
    Broken,
}

/// Checks, and prints the findings; broken links have an exit code of their own.
pub(super) async fn run(
    to: &To,
    options: &line::Doctor,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let bridge = Bridge::new(to)?;
    let admin = Bridge::without_token(&options.envoy_admin)?;
    let evidence = Evidence {
        host: host::look(),
        bridge: evidence::of_bridge(&bridge).await,
        bridge_address: bridge.address().to_string(),
        envoy: envoy::look(&admin, &options.bridge_cluster).await,
        envoy_address: admin.address().to_string(),
        bridge_cluster: options.bridge_cluster.clone(),
    };
    let checks = judge::judge(&evidence);
    if json {
        serde_json::to_writer_pretty(&mut *out, &checks).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        for check in &checks {
            say(out, check)?;
        }
    }
    let broken = checks.iter().any(|check| check.state == State::Broken);
    Ok(if broken { Exit::Broken } else { Exit::Done })
}

fn say(out: &mut impl Write, check: &Check) -> std::io::Result<()> {
    let (style, sign) = match check.state {
        State::Fine => (GOOD, "✓ fine   "),
        State::Limited => (WARN, "! limited"),
        State::Unknown => (FAINT, "? unknown"),
        State::Broken => (BAD, "✗ broken "),
    };
    let found = text::visible(&check.found);
    writeln!(
        out,
        "{style}{sign}{style:#}  {BOLD}{:<8}{BOLD:#}  {found}",
        check.link
    )?;
    if let Some(remedy) = &check.remedy {
        writeln!(out, "{:21}{FAINT}→ {}{FAINT:#}", "", text::visible(remedy))?;
    }
    Ok(())
}
