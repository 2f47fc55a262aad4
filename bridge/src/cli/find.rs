//! `syntrace find`: what is known of an address, a pair, a network, or an id.

use std::{io::Write, net::SocketAddr};

use super::{
    CliError, Exit,
    bridge::{AskError, Bridge},
    list::{self, Kind, Row},
    show,
    text::FAINT,
};

/// Records that are listed.
const LIMIT: &str = "100";

/// What the words ask for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    End(String),
    Pair(String, String),
    Network(String),
    Id(String),
}

/// Lists what fits, the newest first.
pub(super) async fn run(
    bridge: &Bridge,
    words: &[String],
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, CliError> {
    let rows = match wanted(words) {
        Wanted::Id(id) => return show::run(bridge, &id, json, out).await,
        Wanted::Network(network) => connections(bridge, &[("network", &network)]).await?,
        Wanted::End(end) => either(bridge, &[("peer", &end)], &[("local", &end)]).await?,
        Wanted::Pair(one, other) => {
            let there = [("local", one.as_str()), ("peer", other.as_str())];
            let back = [("local", other.as_str()), ("peer", one.as_str())];
            either(bridge, &there, &back).await?
        }
    };
    for row in &rows {
        list::write(out, row, json)?;
    }
    if rows.is_empty() && !json {
        writeln!(out, "{FAINT}No connection that is kept fits.{FAINT:#}")?;
    }
    Ok(if rows.is_empty() {
        Exit::NotFound
    } else {
        Exit::Done
    })
}

async fn either(
    bridge: &Bridge,
    one: &[(&str, &str)],
    other: &[(&str, &str)],
) -> Result<Vec<Row>, AskError> {
    let mut rows = connections(bridge, one).await?;
    rows.extend(connections(bridge, other).await?);
    Ok(rows)
}

async fn connections(bridge: &Bridge, query: &[(&str, &str)]) -> Result<Vec<Row>, AskError> {
    let mut query = query.to_vec();
    query.push(("limit", LIMIT));
    let (rows, _) = list::page(bridge, Kind::Connections, &query).await?;
    Ok(rows)
}

fn wanted(words: &[String]) -> Wanted {
    let text = words.join(" ").replace("->", " ").replace('→', " ");
    let mut words = text
        .split([' ', ','])
        .filter(|word| !word.is_empty() && *word != "to");
    match (words.next(), words.next(), words.next()) {
        (Some(one), Some(other), None) => Wanted::Pair(one.to_owned(), other.to_owned()),
        (Some(one), None, None) if one.parse::<SocketAddr>().is_ok() => Wanted::End(one.to_owned()),
        (Some(one), None, None) if is_network(one) => Wanted::Network(one.to_owned()),
        _ => Wanted::Id(text.trim().to_owned()),
    }
}

fn is_network(text: &str) -> bool {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_log_is_understood() {
        let of = |text: &str| wanted(&[text.to_owned()]);
        let pair = Wanted::Pair("192.0.2.2:1".to_owned(), "192.0.2.1:2".to_owned());
        assert_eq!(of("192.0.2.2:1 -> 192.0.2.1:2"), pair);
        assert_eq!(of("192.0.2.2:1 → 192.0.2.1:2"), pair);
        assert_eq!(of("192.0.2.2:1 to 192.0.2.1:2"), pair);
        assert_eq!(
            of("[2001:db8::1]:80"),
            Wanted::End("[2001:db8::1]:80".to_owned())
        );
        assert_eq!(
            of("192.0.2.0/24"),
            Wanted::Network("192.0.2.0/24".to_owned())
        );
        assert_eq!(of("2001:db8::1"), Wanted::Network("2001:db8::1".to_owned()));
        assert_eq!(
            of("5151515151515151"),
            Wanted::Id("5151515151515151".to_owned())
        );
    }
}
