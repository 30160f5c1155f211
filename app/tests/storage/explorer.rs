//! The explorer, in a browser, as a person uses it.

use std::time::Duration;

use crate::browser::Browser;
use crate::system::System;

/// Clicks on a button, at most, until something comes of them: the page sometimes waits for ever for a request that it has not sent.
const CLICKS: usize = 5;
/// So long an operation may take to be drawn,
const DRAWN: Duration = Duration::from_secs(20);
/// and a request to be answered, before it is clicked again.
const ANSWERED: Duration = Duration::from_secs(12);
const CONTENT: &str = "what the explorer has stored";

/// One operation of the page.
struct Operation {
    block: String,
}

impl Operation {
    /// Opens its block.
    fn open(browser: &mut Browser, tag: &str, id: &str) -> Self {
        let block = format!("#operations-{tag}-{id}");
        browser.click(&format!("{block} .opblock-summary-control"));
        // Before it is drawn whole the page takes a click and sends nothing.
        browser.comes(&format!("{block} .responses-table .response"), DRAWN);
        Self { block }
    }

    fn fill(&self, browser: &mut Browser, parameter: &str, value: &str) {
        let row = format!("{} tr[data-param-name='{parameter}']", self.block);
        browser.fill(&format!("{row} input"), value);
    }

    /// Executes it; returns the status and all that is shown of the answer.
    fn execute(&self, browser: &mut Browser) -> (String, String) {
        let Self { block } = self;
        let answer = format!("{block} .live-responses-table tbody");
        for _ in 0..CLICKS {
            browser.click(&format!("{block} button.execute"));
            if browser.comes(&answer, ANSWERED) {
                break;
            }
        }
        let status = browser.text(&format!("{answer} .response-col_status"));
        (status, browser.text(&answer))
    }
}

fn authorise(browser: &mut Browser, token: &str) {
    browser.click("button.authorize");
    browser.fill(".auth-container input", token);
    browser.click(".auth-btn-wrapper button.authorize");
    browser.click(".auth-btn-wrapper button.btn-done");
}

#[test]
fn a_person_makes_a_datastore_and_stores_and_reads_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::start(folder.path(), &[]);
    let file = folder.path().join("content.txt");
    std::fs::write(&file, CONTENT).unwrap();
    let browser = &mut Browser::start();
    browser.open(&format!("{}/explorer", system.base()));

    let list = Operation::open(browser, "datastores", "listDatastores");
    let (refused, _) = list.execute(browser);
    authorise(browser, &system.token);
    let create = Operation::open(browser, "datastores", "createDatastore");
    let new = r#"{"name": "album", "policy": "cold"}"#;
    browser.fill(&format!("{} textarea.body-param__text", create.block), new);
    let (created, datastore) = create.execute(browser);
    let put = Operation::open(browser, "objects", "putObject");
    put.fill(browser, "datastore", "album");
    put.fill(browser, "key", "trip/first");
    browser.choose(&format!("{} input[type=file]", put.block), &file);
    let (stored, head) = put.execute(browser);
    let get = Operation::open(browser, "objects", "getObject");
    get.fill(browser, "datastore", "album");
    get.fill(browser, "key", "trip/first");
    let (read, content) = get.execute(browser);

    assert_eq!(
        [&*refused, &*created, &*stored, &*read].map(|it| it.lines().next().unwrap()),
        ["401", "201", "201", "200"],
        "{datastore}\n{head}\n{content}"
    );
    assert!(datastore.contains("\"name\": \"album\""), "{datastore}");
    assert!(head.contains("\"key\": \"trip/first\""), "{head}");
    // Bytes of no particular type are offered as a file.
    assert!(content.contains("Download file"), "{content}");
    let length = format!("content-length: {}", CONTENT.len());
    assert!(content.contains(&length), "{content}");
    let object = "/v1/datastores/album/objects/trip/first";
    assert_eq!(system.ask("GET", object, &[], &[]).text(), CONTENT);
    assert_nothing_from_elsewhere(&browser.asked, system.base());
    system.end();
}

fn assert_nothing_from_elsewhere(asked: &[String], base: &str) {
    let document = format!("{base}/openapi.json");
    assert!(asked.contains(&document), "{asked:?}");
    for url in asked {
        let is_own = url.starts_with(&format!("{base}/"));
        assert!(is_own || url.starts_with("data:"), "{url}");
    }
}
