//! The disaster after the end: catalogue, stores and coder are gone, and all is made again of the locations and the owner's root.

use super::history::Object;
use super::operator::last_job;
use super::oracle::{Remains, Version, Violation};
use super::plant::Plant;
use super::scenario::AFTERMATH;
use super::simulation::Running;
use super::surroundings::note;

/// Of a thousand runs so many have locations away at first.
const AWAY_AT_FIRST: u32 = 400;
/// So many at most.
const AWAY_MAX: usize = 5;

impl Running {
    /// Loses all but the locations, has the catalogue made again, and judges whether it says what it said before.
    ///
    /// In some runs up to five locations are away at first, and the new catalogue does not know them; garbage is collected, and
    /// then they are back.
    pub(super) async fn survive_loss(&self, before: &Remains) {
        note!(self.surroundings, "all", "but the locations is lost");
        self.stop();
        let away = self.away_at_first();
        let after = self.with_another_catalogue(&away).await;
        let agent = after.begin_agent();
        if !away.is_empty() {
            after.make_do_without(&away).await;
        }
        let rebuilt = after.first_store().await.rebuild().await;
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
        for kind in ["gc", "gc of strays"] {
            if let Err(why) = last_job(&client, kind, &self.surroundings).await {
                self.broken("gc after the rebuild", &why);
            }
        }
        tokio::time::sleep(AFTERMATH).await;
        let remains = after.see().await;
        agent.abort();
        self.notes
            .violations()
            .extend(differences(before, &remains));
    }
}

impl Running {
    /// The numbers of locations that the new catalogue does not know at first.
    fn away_at_first(&self) -> Vec<usize> {
        let mut random = self.surroundings.random("storage away at first", 0);
        let mut away = Vec::new();
        if random.chance(AWAY_AT_FIRST) {
            let count = random.below(AWAY_MAX) + 1;
            while away.len() < count {
                let number = random.below(self.outside.places.len());
                if !away.contains(&number) {
                    away.push(number);
                }
            }
        }
        away
    }

    /// Has the catalogue made again without some locations, collects garbage, and brings them back.
    async fn make_do_without(&self, away: &[usize]) {
        match self.first_store().await.rebuild().await {
            Ok(rebuilt) => note!(
                self.surroundings,
                "the catalogue",
                "without {away:?}: {rebuilt:?}"
            ),
            Err(problem) => self.broken("the rebuild without some locations", &problem),
        }
        let client = self.client(89);
        let kind = match self.surroundings.is_planted(Plant::ForgetTheAway) {
            true => "gc of strays",
            false => "gc",
        };
        if let Err(why) = last_job(&client, kind, &self.surroundings).await {
            self.broken("gc without some locations", &why);
        }
        tokio::time::sleep(AFTERMATH).await;
        self.stop();
        self.outside
            .unknown
            .lock()
            .expect("no holder panics")
            .clear();
        for number in away {
            let place = &self.outside.places[*number];
            let known = self.outside.catalog.put_location(&place.known()).await;
            known.expect("the catalogue is in memory");
        }
        self.start();
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
