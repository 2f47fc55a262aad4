//! The settings described: as they are in force, as a JSON Schema, as a page of the documentation.
//!
//! All read from the one definition of the command line.

use std::{any::TypeId, fmt::Write as _};

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _};
use serde_json::{Map, json};
use toml::{Table, Value};

use super::Config;

/// Flags that are not settings but actions.
const ORDERS: [&str; 5] = ["config", "print_config", "print_schema", "help", "version"];

/// Returns the settings of a command: what a file may hold.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !ORDERS.contains(&arg.get_id().as_str()))
}

/// Writes the settings in force as a file that would bring them about; what is not set, or secret, is
/// left out.
pub(super) fn in_force(command: &Command, matches: &ArgMatches) -> String {
    let mut table = Table::new();
    for arg in settings(command).filter(|arg| !arg.is_hide_env_values_set()) {
        let raw = matches.get_raw(arg.get_id().as_str());
        let values = raw.into_iter().flatten().map(|text| text.to_string_lossy());
        let mut values: Vec<_> = values.map(|text| value(arg, &text)).collect();
        let value = match (is_list(arg), values.pop()) {
            (_, None) => continue,
            (false, Some(value)) => value,
            (true, Some(last)) => {
                values.push(last);
                Value::Array(values)
            }
        };
        table.insert(name(arg).to_owned(), value);
    }
    table.to_string()
}

/// Returns the JSON Schema of a settings file.
#[must_use]
pub fn schema() -> String {
    let mut properties = Map::new();
    for arg in settings(&Config::command()) {
        let kind = if is_number(arg) { "integer" } else { "string" };
        let mut shape = if is_list(arg) {
            json!({ "type": "array", "items": { "type": kind } })
        } else {
            json!({ "type": kind })
        };
        if let Some(shape) = shape.as_object_mut() {
            shape.insert("description".to_owned(), help(arg).into());
            let names = names(arg);
            if !names.is_empty() {
                shape.insert("enum".to_owned(), json!(names));
            }
            if let Some(value) = default(arg) {
                let value = json!(value);
                shape.insert("default".to_owned(), value);
            }
        }
        properties.insert(name(arg).to_owned(), shape);
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of syntrace-bridge",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    format!("{schema:#}\n")
}

/// Returns the page of the documentation that lists all settings.
#[must_use]
pub fn markdown() -> String {
    let mut page = PREFACE.to_owned();
    for arg in settings(&Config::command()) {
        let env = arg.get_env().map(|env| env.to_string_lossy());
        let default = match default(arg) {
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        let written = writeln!(
            page,
            "| `{}` | `{}` | {default} | {} |",
            name(arg),
            env.unwrap_or_default(),
            help(arg)
        );
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
    page
}

const PREFACE: &str = "\
# Settings of syntrace-bridge

A flag takes precedence over its environment variable, the variable over the file that `--config FILE`
(`SYNTRACE_CONFIG`) names, and the file over the default. The flag of `listen` is `--listen`; in the file, which is
TOML, it is a key. Several values are separated by commas in a variable, and are a list in the file.

`--print-config` prints the settings in force, as such a file; `--print-schema` prints its JSON Schema. On a wrong
value the program prints one line and exits with code 64.

| setting | variable | default | |
| --- | --- | --- | --- |
";

fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

fn help(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let names = names(arg);
    if names.is_empty() {
        return help;
    }
    format!("{help}: `{}`", names.join("` or `"))
}

/// Returns the values of a setting that has only so many.
fn names(arg: &Arg) -> Vec<String> {
    let values = arg.get_possible_values();
    values
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect()
}

fn default(arg: &Arg) -> Option<Value> {
    let values = arg.get_default_values().iter();
    let mut values: Vec<_> = values
        .map(|text| value(arg, &text.to_string_lossy()))
        .collect();
    if is_list(arg) {
        return (!values.is_empty()).then_some(Value::Array(values));
    }
    values.pop()
}

fn value(arg: &Arg, text: &str) -> Value {
    match text.parse() {
        Ok(number) if is_number(arg) => Value::Integer(number),
        Ok(_) | Err(_) => Value::String(text.to_owned()),
    }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_number(arg: &Arg) -> bool {
    let kind = arg.get_value_parser().type_id();
    kind == TypeId::of::<u32>() || kind == TypeId::of::<u64>()
}
