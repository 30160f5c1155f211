//! What is measured: a store under a policy, one bare location, a plain file.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use sc_backend::{Backend as _, FragmentName, Fs, FsSettings};

/// An answer that is being waited for.
pub(crate) type Waited<'t, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 't>>;

/// Something that keeps objects by number.
pub(crate) trait Target: Send + Sync + 'static {
    /// What it is called in tables.
    fn name(&self) -> &'static str;
    /// The storage policy, if it has any.
    fn policy(&self) -> &'static str;
    /// Opens what one client needs.
    fn connect(&self) -> Waited<'_, Box<dyn Client>>;
    /// Processor time of everything behind it so far, in nanoseconds.
    fn processor_ns(&self) -> anyhow::Result<u64>;
}

/// One client, which asks for one thing at a time.
pub(crate) trait Client: Send {
    /// Stores object `number`; it is durable then.
    fn put<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()>;
    /// Reads object `number`, and compares it.
    fn get<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()>;
}

/// Files that are written and synced, and nothing else.
#[derive(Clone)]
pub(crate) struct Plain(PathBuf);

impl Plain {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self(folder.to_owned()))
    }
}

impl Target for Plain {
    fn name(&self) -> &'static str {
        "file"
    }

    fn policy(&self) -> &'static str {
        ""
    }

    fn connect(&self) -> Waited<'_, Box<dyn Client>> {
        let client: Box<dyn Client> = Box::new(self.clone());
        Box::pin(async move { Ok(client) })
    }

    fn processor_ns(&self) -> anyhow::Result<u64> {
        own_processor_ns()
    }
}

impl Client for Plain {
    fn put<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        let (path, content) = (self.0.join(number.to_string()), content.clone());
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                use std::io::Write as _;
                let mut file = std::fs::File::create(path)?;
                file.write_all(&content)?;
                file.sync_all()
            })
            .await??;
            Ok(())
        })
    }

    fn get<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        let path = self.0.join(number.to_string());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await??;
            ensure!(read == *content, "another content came back");
            Ok(())
        })
    }
}

/// One location without a store.
#[derive(Clone)]
pub(crate) struct Bare(Arc<Fs>);

impl Bare {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Fs::open(&FsSettings::new(folder))?)))
    }
}

impl Target for Bare {
    fn name(&self) -> &'static str {
        "backend"
    }

    fn policy(&self) -> &'static str {
        ""
    }

    fn connect(&self) -> Waited<'_, Box<dyn Client>> {
        let client: Box<dyn Client> = Box::new(BareClient(Arc::clone(&self.0)));
        Box::pin(async move { Ok(client) })
    }

    fn processor_ns(&self) -> anyhow::Result<u64> {
        own_processor_ns()
    }
}

struct BareClient(Arc<Fs>);

impl Client for BareClient {
    fn put<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        Box::pin(async move {
            let name = name(number, content)?;
            self.0.put(&name, content.clone()).await?;
            Ok(())
        })
    }

    fn get<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        Box::pin(async move {
            let read = self.0.get(&name(number, content)?).await?;
            ensure!(read == *content, "another content came back");
            Ok(())
        })
    }
}

/// A name for each number and length, as names are never used twice.
fn name(number: u64, content: &Bytes) -> anyhow::Result<FragmentName> {
    Ok(FragmentName::new(&format!(
        "{:016x}-{}",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        content.len()
    ))?)
}

fn own_processor_ns() -> anyhow::Result<u64> {
    let mut meter = crate::processor::Meter::new([std::process::id()]);
    meter.read_ns()
}
