//! The settings file: its values become the defaults of the flags that they are named after, so that
//! flags and variables take precedence, and all are parsed and validated in the same way.

use std::{fs, path::Path};

use clap::Command;
use toml::{Table, Value};

use super::{Usage, reference};

/// Makes the values of the file at `path` the command's defaults.
///
/// # Errors
///
/// [`Usage::Wrong`], if it cannot be read, is no TOML, or has a key that is no setting.
pub(super) fn apply(mut command: Command, path: &Path) -> Result<Command, Usage> {
    let wrong = |what: String| Usage::of(what).in_file(path);
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        wrong(message)
    })?;
    for (key, value) in table {
        let known = reference::settings(&command).any(|arg| arg.get_long() == Some(&key));
        if !known {
            return Err(wrong(format!("unknown setting '{key}'")));
        }
        let texts = texts(&value).ok_or_else(|| {
            wrong(format!(
                "invalid value for '{key}': expected text, a whole number, or a list of them"
            ))
        })?;
        let id = key.replace('-', "_");
        command = command.mut_arg(id, |arg| arg.default_values(texts));
    }
    Ok(command)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Array(values) => {
            let one = |value| match texts(value)?.as_slice() {
                [text] => Some(text.clone()),
                _ => None,
            };
            values.iter().map(one).collect()
        }
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
