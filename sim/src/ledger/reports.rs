//! Which reports are allowed when.
//!
//! With a hostile host everything may be reported at any time; nothing is demanded of reports but that they cover what is lacking. With
//! an honest host a report needs a cause:
//!
//! | report | cause |
//! |---|---|
//! | `Waiting`, `Admitted` | none |
//! | `Unanswered`, `Silent`, `ReceiptsOverdue`, `Unreachable`, a publisher's `NotTaken` | any fault |
//! | `Uncovered` | a second session of the domain: a publisher, the router or the program began anew, or a link was lost |
//! | `Missing` | a suspension of this consumer: its notices were given up |
//! | `Suspended`, `Missed` | away for 30 s or more; or no room on the router's disk; or the policy `disconnect` and any fault |
//! | `Ended(Expired)`, `Lapsed`, `NotCarriedOut(UnknownConsumer)` | a clock was wrong, or somebody was away for long |
//! | `Ended(Revoked)`, `Refused(NotListed)`, `RefusedConsumer` | its revocation |
//! | `NotTaken`, `UnreadableAsk`, `RouterRefused` | a link that was lost, or a process that died |
//! | `PassedOver`, `PayloadWithheld`, `ReceiptNotAuthentic`, `NotProvisioned`, any other | none suffices |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sc_client::{Ending, Refusal, SubscriberEvent};

use super::Ledger;
use crate::fault::{Fault, Faults};
use crate::oracle::Truth;
use crate::party::Party;
use crate::scenario::Scenario;
use crate::violation::Violation;

/// For so long a router keeps everything for everybody, but for consumers that the policy `disconnect` holds for.
const GRACE: Duration = Duration::from_secs(28);

/// What has happened in a run that may be the cause of a report.
pub(crate) struct Causes<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) faults: &'a Faults,
    /// Parties whose link was lost at least once.
    pub(crate) lost: BTreeSet<Party>,
    /// Parties that died, and for how long in all.
    pub(crate) died: BTreeMap<Party, Duration>,
    /// Whether processes have come to the end of their input, and others taken their place.
    pub(crate) orderly_ends: bool,
    /// Consumers that were revoked.
    pub(crate) revoked: BTreeSet<usize>,
    /// Whether the run ended before it came to rest, because the host is hostile to the end.
    pub(crate) is_cut_short: bool,
}

impl Causes<'_> {
    pub(super) fn has_died(&self, party: Party) -> bool {
        self.died.contains_key(&party)
    }

    fn any(&self) -> bool {
        *self.faults != Faults::default()
    }

    pub(super) fn anything_began_anew(&self) -> bool {
        !self.died.is_empty() || !self.lost.is_empty() || self.faults.of(Fault::ProgramCrash) > 0
    }

    /// Whether `consumer` may have been away for longer than its notices are kept.
    fn was_away(&self, consumer: usize) -> bool {
        let silences = self.scenario.silences.iter();
        let silences = silences.map(|silence| silence.until - silence.from);
        let deaths = self.died.get(&Party::Consumer(consumer)).copied();
        silences.chain(deaths).sum::<Duration>() + Duration::from_secs(2) > GRACE
            || self.anything_began_anew() && self.scenario.storm > GRACE
    }

    fn may_be_suspended(&self, consumer: usize) -> bool {
        let impatient = self.scenario.slow == sc_cbr::SlowPolicy::Disconnect && self.any();
        impatient || self.faults.of(Fault::SpillFull) > 0 || self.was_away(consumer)
    }

    fn leases_may_end(&self) -> bool {
        !self.scenario.leases_hold()
    }

    /// Whether what a consumer reports has a cause.
    fn explain(&self, consumer: usize, event: &SubscriberEvent, truth: &Truth) -> bool {
        let suspended = truth.ever_suspended.contains(&consumer);
        match event {
            SubscriberEvent::Waiting | SubscriberEvent::Admitted { .. } => true,
            SubscriberEvent::Unanswered | SubscriberEvent::Silent => self.any(),
            SubscriberEvent::Uncovered { .. } => self.anything_began_anew() || self.orderly_ends,
            SubscriberEvent::Missing { .. } => suspended,
            SubscriberEvent::Suspended { .. } | SubscriberEvent::Missed { .. } => {
                self.may_be_suspended(consumer)
            }
            SubscriberEvent::Ended(Ending::Expired) | SubscriberEvent::Lapsed { .. } => {
                self.leases_may_end()
            }
            SubscriberEvent::Ended(Ending::Revoked)
            | SubscriberEvent::Refused(Refusal::NotListed | Refusal::Revoked) => {
                self.revoked.contains(&consumer)
            }
            SubscriberEvent::NotTaken | SubscriberEvent::RouterRefused(_) => {
                self.anything_began_anew()
            }
            _ => false,
        }
    }

    /// Whether what a publisher reports has a cause.
    fn explain_words(&self, what: &str) -> bool {
        let starts = |words: &[&str]| words.iter().any(|word| what.starts_with(word));
        if starts(&["ReceiptsOverdue", "Unanswered", "Unreachable", "NotTaken"]) {
            self.any()
        } else if starts(&["NotCarriedOut(UnknownConsumer)"]) {
            self.leases_may_end()
        } else if starts(&["RefusedConsumer"]) {
            !self.revoked.is_empty()
        } else if starts(&["UnreadableAsk", "RouterRefused"]) {
            self.anything_began_anew()
        } else {
            false
        }
    }
}

impl Ledger {
    /// With an honest host every report has its cause.
    pub(super) fn judge_reports(&mut self, truth: &Truth, causes: &Causes<'_>) {
        if !self.honest {
            return;
        }
        for (party, what) in core::mem::take(&mut self.complaints) {
            if !causes.explain_words(&what) {
                self.violate(Violation::Complaint { party, what });
            }
        }
        for number in 0..self.consumers.len() {
            let reports = core::mem::take(&mut self.consumers[number].reports);
            for (_, event) in &reports {
                if !causes.explain(number, event, truth) {
                    self.violate(Violation::Complaint {
                        party: Party::Consumer(number),
                        what: format!("{event:?}"),
                    });
                }
            }
            self.consumers[number].reports = reports;
        }
    }
}
