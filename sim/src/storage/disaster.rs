//! The disaster after the end: catalogue, stores and coder are gone, and all is made again of the locations and the owner's root.

use super::history::Object;
use super::operator::last_job;
use super::oracle::{Remains, Version, Violation};
use super::scenario::AFTERMATH;
use super::simulation::Running;
use super::surroundings::note;

impl Running {
    /// Loses all but the locations, has the catalogue made again, and judges whether it says what it said before.
    pub(super) async fn survive_loss(&self, before: &Remains) {
        note!(self.surroundings, "all", "but the locations is lost");
        self.stop();
        let after = self.with_another_catalogue().await;
        let agent = after.begin_agent();
        let store = after.first_store().await;
        let rebuilt = store.rebuild().await;
        match rebuilt {
            Ok(rebuilt) if rebuilt.bad > 0 || !rebuilt.notes.is_empty() => {
                self.broken("the rebuild", &format!("{rebuilt:?}"));
            }
            Ok(rebuilt) => note!(
                self.surroundings,
                "the catalogue",
                "is made again: {rebuilt:?}"
            ),
            Err(problem) => self.broken("the rebuild", &problem),
        }
        let remains = after.see().await;
        self.notes
            .violations()
            .extend(differences(before, &remains));
        // Nor does the new catalogue have anything deleted that it should know.
        let client = after.client(90);
        if let Err(why) = last_job(&client, "gc", &self.surroundings).await {
            self.broken("gc after the rebuild", &why);
        }
        tokio::time::sleep(AFTERMATH).await;
        let remains = after.see().await;
        agent.abort();
        self.notes
            .violations()
            .extend(differences(before, &remains));
    }
}

/// What is other than it was.
fn differences(before: &Remains, after: &Remains) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut differ = |object: &Object, what: String| {
        found.push(Violation::Rebuilt {
            object: object.to_string(),
            what,
        });
    };
    let nothing = Vec::new();
    let both = before.versions.keys().chain(after.versions.keys());
    for object in both {
        let was = before.versions.get(object).unwrap_or(&nothing);
        let is = after.versions.get(object).unwrap_or(&nothing);
        let ids = |versions: &[Version]| versions.iter().map(essence).collect::<Vec<_>>();
        if ids(was) != ids(is) {
            differ(object, format!("{:?}, before {:?}", ids(is), ids(was)));
        }
    }
    let both = before.listed.keys().chain(after.listed.keys());
    for object in both {
        let (was, is) = (before.listed.get(object), after.listed.get(object));
        if was != is {
            differ(object, format!("current is {is:?}, before {was:?}"));
        }
    }
    if before.datastores != after.datastores {
        found.push(Violation::Rebuilt {
            object: "datastores".to_owned(),
            what: format!("{}, before {}", after.datastores, before.datastores),
        });
    }
    if before.usage != after.usage {
        found.push(Violation::Usage {
            said: format!("{:?} after the rebuild", after.usage),
            found: format!("{:?} before it", before.usage),
        });
    }
    found
}

/// What of a version is the same whoever says it.
fn essence(version: &Version) -> (Option<usize>, bool, u64, u64, [u8; 16]) {
    (
        version.attempt,
        version.is_marker,
        version.number,
        version.bytes,
        version.id,
    )
}
