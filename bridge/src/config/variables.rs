//! OpenTelemetry's variables, by its specification: the one for traces takes precedence over the one for all
//! signals, and an empty one counts as unset.

use std::{env, ffi::OsString};

use clap::{Arg, Command};

const ALL_SIGNALS: &str = "OTEL_EXPORTER_OTLP_";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_";

/// Makes the flags read the variables that count.
pub(super) fn settle(command: Command) -> Command {
    settle_by(command, |name| env::var_os(name))
}

fn settle_by(command: Command, read: impl Fn(&str) -> Option<OsString>) -> Command {
    let given = |name: &str| read(name).is_some_and(|value| !value.is_empty());
    command.mut_args(|arg| {
        let Some(name) = variable(&arg) else {
            return arg;
        };
        let of_traces = name
            .strip_prefix(ALL_SIGNALS)
            .filter(|_| !name.starts_with(TRACES) && arg.get_id() != "otlp_endpoint")
            .map(|rest| format!("{TRACES}{rest}"));
        match of_traces.filter(|name| given(name)) {
            Some(name) => arg.env(name),
            None if name.starts_with("OTEL_") && !given(&name) => arg.env(None),
            None => arg,
        }
    })
}

fn variable(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?.to_str()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_variable_for_traces_goes_before_the_one_for_all_signals() {
        let set = [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ];
        let command = settle_by(Config::command(), |name| {
            set.contains(&name).then(|| "value".into())
        });
        let variable = |id: &str| {
            let mut args = command.get_arguments();
            variable(args.find(|arg| arg.get_id() == id).unwrap())
        };
        assert_eq!(variable("otlp_protocol").as_deref(), Some(set[0]));
        assert_eq!(variable("otlp_timeout").as_deref(), Some(set[1]));
        assert_eq!(variable("otlp_endpoint"), None);
        assert_eq!(variable("listen").as_deref(), Some("SYNTRACE_LISTEN"));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let command = settle_by(Config::command(), |_| Some(OsString::new()));
        let mut args = command.get_arguments();
        let protocol = args.find(|arg| arg.get_id() == "otlp_protocol").unwrap();
        assert_eq!(variable(protocol), None);
    }
}
