//! The configuration file: defaults for arguments, below the environment and the command line.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli::Cli;
use crate::wrong_use;

/// Arguments that a file cannot set: they choose the file, or mean something only at this moment.
const NOT_IN_FILES: [&str; 4] = ["config", "print_config", "help", "version"];

/// The arguments that a file has set, by command and id.
pub(crate) type FromFile = BTreeSet<(String, String)>;

/// `command` with the values of the configuration file as defaults, if a file is named.
pub(crate) fn with_file_defaults(mut command: Command) -> anyhow::Result<(Command, FromFile)> {
    let mut from_file = FromFile::new();
    let Some(path) = file_named() else {
        return Ok((command, from_file));
    };
    let failed = |what: String| wrong_use(format!("{}: {what}", path.display()));
    let table = read(&path).map_err(failed)?;
    for (role, settings) in &table {
        let settings = settings.as_table().ok_or_else(|| {
            failed(format!(
                "`{role}` is no table: settings stand under a command, e.g. [scbr]"
            ))
        })?;
        let Some(found) = command.find_subcommand(role) else {
            return Err(failed(format!("[{role}] is no command")));
        };
        // The table may be called by an alias.
        let name = found.get_name().to_owned();
        for (key, value) in settings {
            let (changed, id) = set_default(command, &name, role, key, value).map_err(failed)?;
            command = changed;
            from_file.insert((name.clone(), id));
        }
    }
    Ok((command, from_file))
}

fn read(path: &Path) -> Result<toml::Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse()
        .map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())
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

/// `command` with one default more, and the id of the argument that has it.
fn set_default(
    command: Command,
    name: &str,
    table: &str,
    key: &str,
    value: &toml::Value,
) -> Result<(Command, String), String> {
    let id = command
        .find_subcommand(name)
        .and_then(|command| setting(command, key))
        .map(|argument| argument.get_id().to_string())
        .ok_or_else(|| {
            format!("[{table}] has no setting `{key}`: see `securecloud {name} --help`")
        })?;
    let values = texts(value).ok_or_else(|| {
        format!(
            "[{table}] {key}: expected a string, a number, a truth value or a list of such values"
        )
    })?;
    let command = command.mut_subcommand(name, |command| {
        command.mut_arg(&id, |argument| {
            argument.default_values(values).required(false)
        })
    });
    let subcommand = command
        .find_subcommand(name)
        .expect("it was just changed")
        .clone();
    check_defaults(subcommand).map_err(|what| format!("[{table}] {key}: {what}"))?;
    Ok((command, id))
}

fn setting<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        argument.get_long() == Some(key) && !NOT_IN_FILES.contains(&argument.get_id().as_str())
    })
}

/// Parses the defaults alone, without the command line and the environment, so that an error is theirs.
fn check_defaults(command: Command) -> Result<(), String> {
    let alone = |argument: Arg| argument.required(false).env(Resettable::Reset);
    let parsed = command
        .mut_args(alone)
        .no_binary_name(true)
        .try_get_matches_from(std::iter::empty::<&str>());
    let Err(error) = parsed else { return Ok(()) };
    let text = error.to_string();
    let first = text.lines().take_while(|line| !line.is_empty());
    let words: Vec<_> = first.map(|line| line.trim()).collect();
    let words = words.join(" ");
    Err(words.strip_prefix("error: ").unwrap_or(&words).to_owned())
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

/// Where a setting comes from, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Nowhere,
    File,
    Environment,
    CommandLine,
}

/// Which of `--address` and `--connect` was set from the higher source, and whether both were from the same.
///
/// # Errors
/// Both were set at the same place: a role binds or connects, never both.
pub(crate) fn binds_by_choice(matches: &ArgMatches, from_file: &FromFile) -> anyhow::Result<bool> {
    let Some((role, settings)) = matches.subcommand() else {
        return Ok(false);
    };
    let source = |id: &str| match settings.try_contains_id(id) {
        Ok(true) => match settings.value_source(id) {
            Some(ValueSource::CommandLine) => Source::CommandLine,
            Some(ValueSource::EnvVariable) => Source::Environment,
            _ if from_file.contains(&(role.to_owned(), id.to_owned())) => Source::File,
            _ => Source::Nowhere,
        },
        _ => Source::Nowhere,
    };
    let (address, connect) = (source("address"), source("connect"));
    if address == connect && address != Source::Nowhere {
        return Err(wrong_use(
            "--address cannot be used with --connect: a role binds or connects, never both",
        ));
    }
    Ok(address > connect)
}

/// Prints the settings of the command that was given, as a table of a configuration file.
pub(crate) fn print(matches: &ArgMatches, binds: bool) -> anyhow::Result<()> {
    let Some((role, settings)) = matches.subcommand() else {
        return Err(wrong_use(
            "--print-config prints the settings of a command: name one, e.g. `securecloud scbr --print-config`",
        ));
    };
    let command = <Cli as clap::CommandFactory>::command();
    let command = command.find_subcommand(role).expect("it was parsed");
    let passed_over = if binds { "connect" } else { "address" };
    let connects = !binds && settings.try_contains_id("connect").unwrap_or(false);
    let mut table = toml::Table::new();
    for argument in command.get_arguments() {
        let (Some(long), id) = (argument.get_long(), argument.get_id().as_str()) else {
            continue;
        };
        let is_passed_over = id == passed_over && (binds || connects);
        if NOT_IN_FILES.contains(&id) || is_passed_over {
            continue;
        }
        if let Some(value) = in_force(argument, settings) {
            table.insert(long.to_owned(), value);
        }
    }
    let file = toml::Table::from_iter([(role.to_owned(), toml::Value::Table(table))]);
    crate::report::line(toml::to_string(&file).unwrap_or_default().trim_end());
    Ok(())
}

fn in_force(argument: &Arg, settings: &ArgMatches) -> Option<toml::Value> {
    let id = argument.get_id().as_str();
    match argument.get_action() {
        ArgAction::SetTrue => return Some(settings.get_flag(id).into()),
        ArgAction::Count => return Some(settings.get_count(id).into()),
        _ => {}
    }
    let parser = argument.get_value_parser().type_id();
    let is_number = [
        TypeId::of::<u64>(),
        TypeId::of::<u32>(),
        TypeId::of::<usize>(),
    ]
    .into_iter()
    .any(|number| parser == number);
    let value = |raw: &std::ffi::OsStr| {
        let text = raw.to_string_lossy().into_owned();
        match text.parse::<i64>() {
            Ok(number) if is_number => number.into(),
            _ => toml::Value::from(text),
        }
    };
    let mut values = settings.get_raw(id)?.map(value);
    match argument.get_action() {
        ArgAction::Append => Some(toml::Value::Array(values.collect())),
        _ => values.next(),
    }
}
