//! A running `securecloud up`, and requests to it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::process::Role;

fn arguments<'a>(data: &'a Path, flags: &[&'a str]) -> Vec<&'a str> {
    let folder = data.to_str().unwrap();
    let arguments = ["--data", folder, "--port", "0", "--router-port", "0"];
    [&arguments[..], flags].concat()
}

/// Everything of one folder, ended when it goes out of scope.
pub(crate) struct System {
    pub(crate) ready: Value,
    pub(crate) http: Http,
    pub(crate) token: String,
    role: Role,
}

impl System {
    /// Starts everything in `data`, as threads or, with `--processes`, as processes.
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Self {
        Self::ready(data, Role::start(data, "up", &arguments(data, flags)))
    }

    /// The same by a program that becomes it.
    pub(crate) fn start_by(program: Command, data: &Path, flags: &[&str]) -> Self {
        let role = Role::start_by(program, data, "up", &arguments(data, flags));
        Self::ready(data, role)
    }

    fn ready(data: &Path, mut role: Role) -> Self {
        let ready = role.event("ready");
        let base = ready["urls"]["base"].as_str().unwrap();
        let token = std::fs::read_to_string(data.join("token")).unwrap();
        Self {
            http: Http::new(base.split_once("://").unwrap().1),
            token: token.trim().to_owned(),
            ready,
            role,
        }
    }

    /// The URL that every path is behind.
    pub(crate) fn base(&self) -> &str {
        self.ready["urls"]["base"].as_str().unwrap()
    }

    /// A request with the token.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let headers = [&[authorization.as_str()], headers].concat();
        self.http.ask(method, path, &headers, body)
    }

    /// Makes a datastore.
    pub(crate) fn datastore(&self, name: &str, policy: &str) {
        let body = json!({ "name": name, "policy": policy }).to_string();
        let json = ["Content-Type: application/json"];
        let answer = self.ask("POST", "/v1/datastores", &json, body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// Reads an object as often as it takes for a location to be found again.
    pub(crate) fn get_until_well(&self, path: &str, body: &[u8]) {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let got = self.ask("GET", path, &[], &[]);
            if got.status == 200 {
                assert!(got.body == body);
                return;
            }
            assert!(Instant::now() < until, "{}", got.text());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The process of a role.
    pub(crate) fn pid(&self, role: &str) -> u32 {
        let pid = self.ready["processes"][role].as_u64().unwrap();
        u32::try_from(pid).unwrap()
    }

    /// Ends it as ^C does, and waits.
    pub(crate) fn end(self) {
        self.role.end();
    }

    /// Waits for an end that nobody asks for; whether it was a good one.
    pub(crate) fn ended_well(self) -> bool {
        self.role.wait()
    }

    /// Ends it as a power cut does, and waits.
    pub(crate) fn kill(self) {
        drop(self.role);
    }
}
