//! `attest`: what protects the trusted programs, shown, judged and acted on.

pub(crate) mod cli;
mod evidence;
mod measure;
mod policy;
mod serve;

pub(crate) use policy::{evidence_policy, read_policy};

use cli::AttestCommand;

pub(crate) async fn run(command: AttestCommand) -> anyhow::Result<()> {
    match command {
        AttestCommand::Show(arguments) => evidence::show(&arguments).await,
        AttestCommand::Verify(arguments) => evidence::verify(&arguments).await,
        AttestCommand::Policy { file } => policy::run(file.as_deref()),
        AttestCommand::Measure(arguments) => measure::run(&arguments),
        AttestCommand::Serve(arguments) => serve::run(arguments).await,
    }
}

/// Bytes as people compare them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
