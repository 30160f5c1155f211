//! `coding`: codes beside each other, in one process and one thread.
//!
//! Invariant: no figure without a check. What an engine decodes is the block; Reed-Solomon parity is the same byte for byte wherever
//! the matrix is; one difference ends the campaign with status 1.

mod cell;
mod engine;
mod isal;
mod ours;
mod peers;
mod repair;
mod table;

use std::fs::File;

use anyhow::Context;
use clap::ValueEnum;
use sc_erasure::{Features, Kernel};

use crate::cli::CodingArgs;
use crate::machine;
use crate::report::{line, note};
use cell::Case;
pub(crate) use engine::CodeName;
use isal::Isal;
use table::Row;

/// The length that network codes are measured at, in bytes.
const RLNC_BYTES: u32 = 1 << 20;

pub(crate) fn run(arguments: &CodingArgs) -> anyhow::Result<()> {
    let kernels = kernels(&arguments.kernel)?;
    if arguments.repair {
        line(&machine::describe());
        return repair::run(kernels[0], arguments.rounds);
    }
    let isal = match Isal::load() {
        Ok(isal) => Some(isal),
        Err(reason) => {
            note(&format!("isa-l is left out: {reason}"));
            None
        }
    };
    line(&machine::describe());
    let mut rows = Vec::new();
    write_csv(arguments, &rows)?;
    let codes = match &*arguments.code {
        [] => CodeName::value_variants(),
        named => named,
    };
    for code in codes {
        for bytes in lengths(*code, &arguments.bytes) {
            note(&format!("{code}: {bytes} bytes"));
            let case = Case {
                code: *code,
                bytes,
                kernels: &kernels,
                isal: isal.as_ref(),
                rounds: arguments.rounds,
            };
            let measured = case.measure();
            rows.extend(measured.with_context(|| format!("{code} with {bytes} bytes"))?);
            write_csv(arguments, &rows)?;
        }
    }
    table::print(&rows, arguments.rounds);
    Ok(())
}

fn kernels(asked: &str) -> anyhow::Result<Vec<Kernel>> {
    match asked {
        "fastest" => Ok(vec![Kernel::fastest(Features::ALL)]),
        "all" => Ok(Kernel::supported(Features::ALL).collect()),
        name => {
            let kernel = Kernel::named(name)
                .with_context(|| format!("this processor cannot run the kernel {name}"))?;
            Ok(vec![kernel])
        }
    }
}

/// The lengths that were asked for; of a network code only the one nearest to [`RLNC_BYTES`].
fn lengths(code: CodeName, asked: &[u32]) -> Vec<usize> {
    let nearest = asked.iter().min_by_key(|bytes| bytes.abs_diff(RLNC_BYTES));
    let lengths = match code.parity() {
        Some(_) => asked.iter().collect(),
        None => Vec::from_iter(nearest),
    };
    lengths.into_iter().map(|bytes| *bytes as usize).collect()
}

fn write_csv(arguments: &CodingArgs, rows: &[Row]) -> anyhow::Result<()> {
    let Some(path) = &arguments.csv else {
        return Ok(());
    };
    let file = File::create(path);
    file.and_then(|file| table::write_csv(rows, file))
        .with_context(|| path.display().to_string())
}
