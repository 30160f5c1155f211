//! The engines, each with an empty catalogue for a test.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sc_metadata::Catalog;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Makes tests of claims about a catalogue, `async fn claim(catalog: Catalog)`, one for each engine.
macro_rules! on_every_engine {
    ($($claim:ident),* $(,)?) => {
        mod in_memory {
            $(#[test] fn $claim() { $crate::engines::in_memory(super::$claim); })*
        }
        mod in_a_file {
            $(#[test] fn $claim() { $crate::engines::in_a_file(super::$claim); })*
        }
        mod on_postgres {
            $(#[test] fn $claim() { $crate::engines::on_postgres(super::$claim); })*
        }
    };
}
pub(crate) use on_every_engine;

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn in_memory<F: Future>(claim: impl FnOnce(Catalog) -> F) -> F::Output {
    runtime().block_on(claim(Catalog::sqlite_in_memory().unwrap()))
}

/// A folder whose file `catalogue` a test opens.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("catalogue");
    (folder, path)
}

pub(crate) fn in_a_file<F: Future>(claim: impl FnOnce(Catalog) -> F) -> F::Output {
    let (_folder, path) = folder();
    runtime().block_on(async { claim(Catalog::sqlite(&path).await.unwrap()).await })
}

pub(crate) fn on_postgres<F: Future>(claim: impl FnOnce(Catalog) -> F) -> F::Output {
    with_schema(async |url| claim(Catalog::postgres(&url).await.unwrap()).await)
}

/// Runs a test with the URL of an empty schema.
pub(crate) fn with_schema<T>(test: impl AsyncFnOnce(String) -> T) -> T {
    runtime().block_on(async {
        let schema = Schema::create().await;
        let result = test(schema.url.clone()).await;
        schema.drop().await;
        result
    })
}

/// A connection to the server as a plain client has it.
pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

struct Schema {
    name: String,
    url: String,
}

impl Schema {
    async fn create() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let admin = client(server()).await;
        let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        admin.batch_execute(&sql).await.unwrap();
        let join = if server().contains('?') { '&' } else { '?' };
        let url = format!("{}{join}options=-csearch_path%3D{name}", server());
        Self { name, url }
    }

    async fn drop(self) {
        let admin = client(server()).await;
        let sql = format!(
            "SET client_min_messages = error; DROP SCHEMA {} CASCADE",
            self.name
        );
        admin.batch_execute(&sql).await.unwrap();
    }
}

/// The URL of the server.
fn server() -> &'static str {
    static SERVER: OnceLock<Server> = OnceLock::new();
    &SERVER.get_or_init(Server::of_environment).url
}

struct Server {
    url: String,
    /// Ends, and takes the server with it, when this process does and so closes its input.
    _script: Option<Child>,
}

impl Server {
    fn of_environment() -> Self {
        match std::env::var("SC_TEST_POSTGRES") {
            Ok(url) => Self { url, _script: None },
            Err(_) => Self::start(),
        }
    }

    fn start() -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/services/postgres.sh"
        );
        let mut running = Command::new(script)
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut output = BufReader::new(running.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        assert!(
            !url.is_empty(),
            "no PostgreSQL for the suite: install postgresql-15, or run the tests as root so that they can, or name a server with \
            SC_TEST_POSTGRES=postgresql://user:password@host:port/database; the cause is above"
        );
        Self {
            url: url.trim().to_owned(),
            _script: Some(running),
        }
    }
}
