//! Figures as JSON, by hand: a name that needs escaping is escaped, a number that JSON has not is null.

use crate::{Estimate, Figure};

pub(crate) fn write(figures: &[Figure]) -> String {
    let lines: Vec<_> = figures.iter().map(figure).collect();
    format!("{{\"figures\":[\n{}\n]}}\n", lines.join(",\n"))
}

fn figure(figure: &Figure) -> String {
    let Estimate { value, interval, n } = figure.estimate;
    let interval = interval.map_or_else(null, |(low, high)| {
        format!("[{},{}]", number(Some(low)), number(Some(high)))
    });
    format!(
        "{{\"name\":{},\"value\":{},\"unit\":{},\"budget\":{},\"goal\":{},\"floor\":{},\"interval\":{interval},\"aa\":{},\"n\":{n},\"pass\":{}}}",
        text(&figure.name),
        number(Some(value)),
        text(figure.unit),
        number(figure.budget_value()),
        number(figure.goal),
        number(figure.floor),
        number(figure.aa),
        figure.pass().map_or_else(null, |pass| pass.to_string()),
    )
}

fn null() -> String {
    "null".to_owned()
}

fn number(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(null, |value| value.to_string())
}

/// Rust's escapes of what is printable, quotes and backslashes are JSON's.
fn text(text: &str) -> String {
    format!("{text:?}")
}
