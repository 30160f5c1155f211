//! `securecloud up` as it is delivered, and a client of its REST interface.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::target::{Client, Target, Waited};
use crate::processor::{Meter, children};
use crate::role::{Binaries, Role};

/// So long everything may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running store.
pub(crate) struct System {
    role: Role,
    address: String,
    token: Arc<str>,
    meter: Arc<Mutex<Meter>>,
}

impl System {
    pub(crate) fn start(binaries: &Binaries, folder: &Path, threads: bool) -> anyhow::Result<Self> {
        Self::start_with(binaries, folder, threads, &[], PATIENCE)
    }

    /// The same, its catalogue made again of what lies at the locations first.
    pub(crate) fn rebuild(
        binaries: &Binaries,
        folder: &Path,
        threads: bool,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        Self::start_with(binaries, folder, threads, &["--rebuild"], patience)
    }

    fn start_with(
        binaries: &Binaries,
        folder: &Path,
        threads: bool,
        more: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let data = folder.display().to_string();
        let mut arguments = vec!["--data", &data, "--port", "0", "--router-port", "0"];
        if !threads {
            arguments.push("--processes");
        }
        arguments.extend(more);
        let mut role = Role::start(binaries, folder, "up", arguments)?;
        let ready = role.event("ready", patience)?;
        let base = ready["urls"]["base"].as_str().context("an address")?;
        let mut processes = vec![role.process()];
        let roles = ready["processes"].as_object().context("processes")?;
        for pid in roles.values().filter_map(serde_json::Value::as_u64) {
            let pid = u32::try_from(pid)?;
            processes.push(pid);
            processes.extend(children(pid)?);
        }
        let token = std::fs::read_to_string(folder.join("token"))?;
        Ok(Self {
            role,
            address: base.trim_start_matches("http://").to_owned(),
            token: token.trim().into(),
            meter: Arc::new(Mutex::new(Meter::new(processes))),
        })
    }

    /// Makes a datastore for a policy, named after it.
    pub(crate) async fn datastore(&self, policy: &'static str) -> anyhow::Result<()> {
        let body = Bytes::from(json!({ "name": policy, "policy": policy }).to_string());
        let mut http = Http::connect(&self.address, Arc::clone(&self.token), policy).await?;
        let json = "Content-Type: application/json\r\n";
        let (status, said) = http.ask("POST", "/v1/datastores", json, &body).await?;
        ensure!(status == 201, "{}", String::from_utf8_lossy(&said));
        Ok(())
    }

    /// Asks for something that is JSON and answered with JSON.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<serde_json::Value> {
        let mut http = Http::connect(&self.address, Arc::clone(&self.token), "").await?;
        let json = "Content-Type: application/json\r\n";
        let (headers, body) = match body {
            serde_json::Value::Null => ("", Bytes::new()),
            body => (json, Bytes::from(body.to_string())),
        };
        let (status, said) = http.ask(method, path, headers, &body).await?;
        ensure!(
            (200..300).contains(&status),
            "{status}: {}",
            String::from_utf8_lossy(&said)
        );
        Ok(serde_json::from_slice(&said)?)
    }

    /// Begins a job and waits for its end; what it has done.
    pub(crate) async fn job(
        &self,
        definition: &serde_json::Value,
    ) -> anyhow::Result<serde_json::Value> {
        let begun = self.ask("POST", "/v1/jobs", definition).await?;
        let id = begun["id"].as_u64().context("a job's id")?;
        loop {
            let path = format!("/v1/jobs/{id}");
            let job = self.ask("GET", &path, &serde_json::Value::Null).await?;
            if job["state"] != "running" {
                ensure!(job["done"]["failed"] == 0, "a job failed: {job}");
                return Ok(job["done"].clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Processor time of all its processes so far, in nanoseconds.
    pub(crate) fn processor_ns(&self) -> anyhow::Result<u64> {
        let meter = self.meter.lock();
        meter.expect("no holder of this lock panics").read_ns()
    }

    pub(crate) fn target(&self, policy: &'static str) -> Stored {
        Stored {
            address: self.address.clone(),
            token: Arc::clone(&self.token),
            meter: Arc::clone(&self.meter),
            policy,
        }
    }

    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.role.interrupt()?;
        self.role.end()
    }
}

/// The store under one policy.
pub(crate) struct Stored {
    address: String,
    token: Arc<str>,
    meter: Arc<Mutex<Meter>>,
    policy: &'static str,
}

impl Target for Stored {
    fn name(&self) -> &'static str {
        "securecloud"
    }

    fn policy(&self) -> &'static str {
        self.policy
    }

    fn connect(&self) -> Waited<'_, Box<dyn Client>> {
        Box::pin(async move {
            let http = Http::connect(&self.address, Arc::clone(&self.token), self.policy).await?;
            Ok(Box::new(http) as Box<dyn Client>)
        })
    }

    fn processor_ns(&self) -> anyhow::Result<u64> {
        let meter = self.meter.lock();
        meter.expect("no holder of this lock panics").read_ns()
    }
}

/// One connection that is kept: as little of HTTP as this needs, so that what is measured is the server.
struct Http {
    stream: TcpStream,
    buffer: BytesMut,
    token: Arc<str>,
    datastore: &'static str,
}

impl Http {
    async fn connect(
        address: &str,
        token: Arc<str>,
        datastore: &'static str,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(1 << 20),
            token,
            datastore,
        })
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.token,
            body.len()
        );
        if body.len() < 16 << 10 {
            let whole = [head.as_bytes(), body].concat();
            self.stream.write_all(&whole).await?;
        } else {
            self.stream.write_all(head.as_bytes()).await?;
            self.stream.write_all(body).await?;
        }
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<(u16, Bytes)> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.fill().await?;
        };
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head)?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("an answer without a length")?;
        let length: usize = length.trim().parse()?;
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok((status, self.buffer.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(256 << 10);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server has closed the connection");
        }
        Ok(())
    }

    fn path(&self, number: u64, bytes: usize) -> String {
        format!("/v1/datastores/{}/objects/{bytes}/{number}", self.datastore)
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

impl Client for Http {
    fn put<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        Box::pin(async move {
            let path = self.path(number, content.len());
            let (status, said) = self.ask("PUT", &path, "", content).await?;
            ensure!(
                status == 201 || status == 200,
                "{status}: {}",
                String::from_utf8_lossy(&said)
            );
            Ok(())
        })
    }

    fn get<'c>(&'c mut self, number: u64, content: &'c Bytes) -> Waited<'c, ()> {
        Box::pin(async move {
            let path = self.path(number, content.len());
            let (status, said) = self.ask("GET", &path, "", &Bytes::new()).await?;
            ensure!(
                status == 200,
                "{status}: {}",
                String::from_utf8_lossy(&said)
            );
            ensure!(said == *content, "another content came back");
            Ok(())
        })
    }
}
