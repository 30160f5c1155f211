//! The configuration file: defaults for arguments, below the environment and the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgAction, ArgMatches, Command};

use crate::wrong_use;

/// Arguments that a file cannot set: they choose the file, or mean something only at this moment.
const NOT_IN_FILES: [&str; 4] = ["config", "print_config", "help", "version"];

/// `command` with the values of the configuration file as defaults, if a file is named.
pub(crate) fn with_file_defaults(mut command: Command) -> anyhow::Result<Command> {
    let Some(path) = file_named() else {
        return Ok(command);
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| wrong_use(format!("{}: {error}", path.display())))?;
    for (role, settings) in &table {
        let settings = settings.as_table().ok_or_else(|| {
            wrong_use(format!(
                "{}: `{role}` is no table: settings stand under a command, e.g. [scbr]",
                path.display()
            ))
        })?;
        if command.find_subcommand(role).is_none() {
            return Err(wrong_use(format!(
                "{}: [{role}] is no command",
                path.display()
            )));
        }
        for (key, value) in settings {
            command = set_default(command, role, key, value)
                .with_context(|| path.display().to_string())
                .map_err(|error| wrong_use(format!("{error:#}")))?;
        }
    }
    Ok(command)
}

/// The file that the command line or the environment names; found before the arguments are parsed, because it changes how.
fn file_named() -> Option<PathBuf> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let named = arguments.iter().enumerate().find_map(|(place, argument)| {
        let text = argument.to_str()?;
        match text.strip_prefix("--config")? {
            "" => arguments.get(place + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        }
    });
    named.or_else(|| std::env::var_os("SECURECLOUD_CONFIG").map(PathBuf::from))
}

fn set_default(
    command: Command,
    role: &str,
    key: &str,
    value: &toml::Value,
) -> anyhow::Result<Command> {
    let id = key.replace('-', "_");
    let known = command.find_subcommand(role).and_then(|command| {
        command.get_arguments().find(|argument| {
            argument.get_long() == Some(key) && !NOT_IN_FILES.contains(&argument.get_id().as_str())
        })
    });
    let id = known
        .map(|argument| argument.get_id().to_string())
        .ok_or_else(|| {
            anyhow::anyhow!("[{role}] has no setting `{key}` (looked for --{key}, {id})")
        })?;
    let values = texts(value).ok_or_else(|| {
        anyhow::anyhow!(
            "[{role}] {key}: expected a string, a number, a truth value or a list of them"
        )
    })?;
    Ok(command.mut_subcommand(role, |command| {
        command.mut_arg(id, |argument| {
            argument.default_values(values).required(false)
        })
    }))
}

fn texts(value: &toml::Value) -> Option<Vec<clap::builder::OsStr>> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Array(values) => {
            return values
                .iter()
                .map(|value| texts(value)?.into_iter().next())
                .collect();
        }
        _ => return None,
    };
    Some(vec![text.into()])
}

/// Prints the settings of the command that was given, as a table of a configuration file.
pub(crate) fn print(matches: &ArgMatches) {
    let Some((role, settings)) = matches.subcommand() else {
        return;
    };
    let command = <crate::cli::Cli as clap::CommandFactory>::command();
    let Some(command) = command.find_subcommand(role) else {
        return;
    };
    let mut table = toml::Table::new();
    for argument in command.get_arguments() {
        let (Some(long), id) = (argument.get_long(), argument.get_id().as_str()) else {
            continue;
        };
        if NOT_IN_FILES.contains(&id) {
            continue;
        }
        let raw = settings
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned());
        let values: Vec<toml::Value> = match argument.get_action() {
            ArgAction::SetTrue => vec![settings.get_flag(id).into()],
            ArgAction::Count => continue,
            _ => raw.map(toml::Value::from).collect(),
        };
        let value = match (argument.get_action(), values) {
            (_, values) if values.is_empty() => continue,
            (ArgAction::Append, values) => toml::Value::Array(values),
            (_, mut values) => values.remove(0),
        };
        table.insert(long.to_owned(), value);
    }
    let file = toml::Table::from_iter([(command.get_name().to_owned(), toml::Value::Table(table))]);
    crate::report::line(&toml::to_string(&file).unwrap_or_default());
}
