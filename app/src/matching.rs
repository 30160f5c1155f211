//! `match`: which subscriptions each publication satisfies, offline.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sc_matching::ascii::{Line, parse_numbered};
use sc_matching::bound::LINE_BYTES_MAX;
use sc_matching::{Index, Kernel, Matches, Publication, Subscription, SubscriptionId};
use sc_program::Choice;

use crate::cli::MatchArgs;
use crate::platform::kernel;
use crate::report::{note, quit_unless_written};
use crate::wrong_use;

pub(crate) fn run(arguments: &MatchArgs) -> anyhow::Result<ExitCode> {
    if is_stdin(&arguments.subscriptions) && is_stdin(&arguments.publications) {
        return Err(wrong_use(
            "standard input (-) can be read once: name a file for the subscriptions or for the publications",
        ));
    }
    let choice = Choice {
        kernel: arguments.kernel.clone(),
        ..Choice::default()
    };
    let (index, ids) = read_index(&arguments.subscriptions, kernel(&choice)?)?;
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    let progress = progress(&arguments.publications);
    let mut matched = Matches::new();
    let mut found = Vec::new();
    let mut total = 0_u64;
    for_each_publication(&arguments.publications, |_, publication, bytes| {
        progress.inc(bytes as u64);
        index.matches_publication(&publication, &mut matched);
        total += matched.count() as u64;
        if arguments.count {
            return Ok(());
        }
        found.clear();
        found.extend(matched.ids().map(|id| ids[id.0 as usize]));
        found.sort_unstable();
        quit_unless_written(write_ids(&mut out, &found, arguments.json));
        Ok(())
    })?;
    progress.finish_and_clear();
    if arguments.count {
        quit_unless_written(writeln!(out, "{total}"));
    }
    quit_unless_written(out.flush());
    Ok(ExitCode::SUCCESS)
}

fn write_ids(out: &mut impl Write, ids: &[u64], json: bool) -> io::Result<()> {
    let (begin, between, end) = if json { ("[", ",", "]") } else { ("", " ", "") };
    out.write_all(begin.as_bytes())?;
    for (place, id) in ids.iter().enumerate() {
        let before = if place == 0 { "" } else { between };
        write!(out, "{before}{id}")?;
    }
    writeln!(out, "{end}")
}

/// All subscriptions of a file; a row's id is its place in the list of subscription ids.
fn read_index(path: &Path, kernel: Kernel) -> anyhow::Result<(Index, Vec<u64>)> {
    let mut index = Index::with_kernel(0, kernel);
    let mut ids = Vec::new();
    for (id, subscription) in read_subscriptions(path)? {
        index.insert(SubscriptionId(ids.len() as u32), &subscription);
        ids.push(id);
    }
    Ok((index, ids))
}

/// The subscriptions of a file, in its order. An id given again replaces, as it does at a router, and is mentioned.
pub(crate) fn read_subscriptions(path: &Path) -> anyhow::Result<Vec<(u64, Subscription)>> {
    let mut subscriptions: Vec<(u64, Subscription)> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for_each_line(path, |number, line, _| match line {
        Line::Subscription { id, subscription } => {
            match places.entry(id) {
                Entry::Occupied(place) => {
                    note(&format!(
                        "{}: line {number}: subscription {id} is given again and replaces the earlier one",
                        name(path)
                    ));
                    subscriptions[*place.get()].1 = subscription;
                }
                Entry::Vacant(place) => {
                    place.insert(subscriptions.len());
                    subscriptions.push((id, subscription));
                }
            }
            Ok(())
        }
        Line::Publication(_) => Err(at(
            path,
            number,
            "expected a subscription (S), found a publication (P)",
        )),
    })?;
    Ok(subscriptions)
}

/// The publications of a file, one after another, each with the number and the length of its line.
pub(crate) fn for_each_publication(
    path: &Path,
    mut take: impl FnMut(usize, Publication, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for_each_line(path, |number, line, bytes| match line {
        Line::Publication(publication) => take(number, publication, bytes),
        Line::Subscription { .. } => Err(at(
            path,
            number,
            "expected a publication (P), found a subscription (S)",
        )),
    })
}

fn for_each_line(
    path: &Path,
    mut take: impl FnMut(usize, Line, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let failed = |error: io::Error| wrong_use(format!("{}: {error}", name(path)));
    let file: Box<dyn Read> = if is_stdin(path) {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        // One byte more than a line and its end may have, so that a longer one is seen and never held.
        let read = (&mut input)
            .take(LINE_BYTES_MAX as u64 + 3)
            .read_until(b'\n', &mut bytes)
            .map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        if without_end(&bytes).len() > LINE_BYTES_MAX {
            return Err(at(
                path,
                number,
                format_args!("the line is longer than {LINE_BYTES_MAX} bytes: make several of it"),
            ));
        }
        let text = str::from_utf8(without_end(&bytes)).map_err(|error| {
            at(
                path,
                number,
                format_args!(
                    "byte {} is no UTF-8 text: convert the file",
                    error.valid_up_to() + 1
                ),
            )
        })?;
        let text = match number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        };
        match parse_numbered(number, text) {
            Ok(Some(line)) => take(number, line, read)?,
            Ok(None) => {}
            Err(error) => return Err(wrong_use(format!("{}: {error}", name(path)))),
        }
    }
    Ok(())
}

/// A line without the `\n` or `\r\n` that ends it.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// What people call a file of lines.
fn name(path: &Path) -> String {
    if is_stdin(path) {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

/// An error of whoever wrote line `line` of a file.
pub(crate) fn at(path: &Path, line: usize, what: impl std::fmt::Display) -> anyhow::Error {
    wrong_use(format!("{}: line {line}: {what}", name(path)))
}

/// A bar over the bytes of a file, on a terminal alone and only when results go elsewhere.
fn progress(path: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let target = if stdout().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style = ProgressStyle::with_template("{bar:40} {percent}% {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), target).with_style(style)
}
