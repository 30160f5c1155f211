//! A headless Chromium, driven over the pipes of its DevTools protocol.
//!
//! Invariant: it resolves no name, so that it reaches this machine alone; and what it asked for is kept.
//! Source: the Chrome DevTools Protocol; with pipes, a message is JSON and ends with a zero byte.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Installs the browser where it is missing, and tells where it is.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/services/chromium.sh");
/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a page.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The browser reads commands at 3 and writes answers to 4.
const WITH_PIPES: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// One page of a browser of its own, which ends with it.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Value,
    last_id: u64,
    /// The URL of everything that the page has asked for.
    pub(crate) asked: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it, with an empty page.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", WITH_PIPES, &program()])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-dev-shm-usage", "--disable-extensions"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let messages = messages(child.stdout.take().unwrap());
        let mut browser = Self {
            commands: child.stdin.take().unwrap(),
            child,
            messages,
            session: Value::Null,
            last_id: 0,
            asked: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let page = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", page)["sessionId"].clone();
        browser.call("Network.enable", json!({}));
        browser
    }

    /// Goes to a page.
    pub(crate) fn open(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{gone}");
    }

    /// What an expression of the page's is.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", what);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// Waits until there is an element that shows a text, and more than that: returns it.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let expression = format!("document.querySelector({selector:?})?.innerText ?? ''");
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.value(&expression).as_str().unwrap().to_owned();
            if !text.is_empty() {
                return text;
            }
            if Instant::now() > until {
                let page = self.value("document.body.innerText");
                panic!("nothing is shown at {selector} of {page}");
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits for an element.
    fn wait(&mut self, selector: &str) {
        if !self.comes(selector, PATIENCE) {
            let page = self.value("document.body.innerText");
            panic!("there is no {selector} in {page}");
        }
    }

    /// Whether there is an element within a time.
    pub(crate) fn comes(&mut self, selector: &str, time: Duration) -> bool {
        let expression = format!("document.querySelector({selector:?}) !== null");
        let until = Instant::now() + time;
        while self.value(&expression) != json!(true) {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }

    /// Clicks on an element, once it is there.
    pub(crate) fn click(&mut self, selector: &str) {
        self.wait(selector);
        self.value(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Types in place of what a field holds.
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        self.wait(selector);
        self.value(&format!(
            "{{ const field = document.querySelector({selector:?}); field.focus(); field.select(); }}"
        ));
        self.call("Input.insertText", json!({ "text": text }));
        // A page may look at a field only once it is left.
        self.value("document.activeElement.blur()");
    }

    /// Chooses a file of this machine's.
    pub(crate) fn choose(&mut self, selector: &str, file: &Path) {
        self.wait(selector);
        let what = json!({ "expression": format!("document.querySelector({selector:?})") });
        let field = self.call("Runtime.evaluate", what);
        let field = &field["result"]["objectId"];
        let files = json!({ "files": [file], "objectId": field });
        self.call("DOM.setFileInputFiles", files);
    }

    /// Sends a command; returns its result.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        write!(self.commands, "{command}\0").unwrap();
        self.commands.flush().unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|_| panic!("no answer to {command}"));
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str().unwrap();
                self.asked.push(url.to_owned());
            }
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{command}: {message}");
                return message["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn messages(output: std::process::ChildStdout) -> Receiver<Value> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let pieces = BufReader::new(output).split(0).map_while(Result::ok);
        for message in pieces {
            let message = serde_json::from_slice(&message).unwrap();
            if send.send(message).is_err() {
                return;
            }
        }
    });
    receive
}

/// The browser of this machine.
///
/// # Panics
/// When there is none: an explorer that no browser has shown is not tested.
fn program() -> String {
    let output = Command::new(SCRIPT).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
