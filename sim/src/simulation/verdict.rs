//! The end of a run: what it came to.

use std::collections::BTreeSet;
use std::time::Duration;

use sc_client::SubscriberEvent;

use super::Simulation;
use super::applications::Application;
use crate::ledger::Causes;
use crate::malice::Withheld;
use crate::party::Party;
use crate::report::Report;
use crate::scenario::TICK;
use crate::violation::Violation;

/// Whatever is withheld from a consumer is noticed within two heartbeats and 2 s; this much more for what is on its way.
const NOTICED_WITHIN: Duration = Duration::from_secs(12).saturating_add(Duration::from_millis(500));

impl Simulation {
    pub(super) fn report(mut self) -> Report {
        self.count_clocks();
        self.forget_orderly_ends();
        let sessions = self.host.counters().sessions;
        self.judge_links();
        self.judge_withholding();
        for violation in core::mem::take(&mut self.host.door.violations) {
            self.ledger.violate(violation);
        }
        self.judge_oracle();
        self.close_books();
        let Self {
            seed,
            scenario,
            world,
            ledger,
            died,
            revoked,
            steps,
            cut_short,
            rested,
            applications,
            ..
        } = self;
        let deliveries = ledger.deliveries();
        let rereads = |application: &Application| application.rereads();
        let orderly_ends = rested.is_some() && applications.iter().any(rereads);
        let causes = Causes {
            scenario: &scenario,
            faults: &world.faults,
            lost: world.lost.iter().map(|(party, _)| *party).collect(),
            died,
            orderly_ends,
            revoked,
            is_cut_short: cut_short,
        };
        let violations = ledger.close(&world.oracle.truth, &causes);
        let (trace, lines) = world.trace.finish();
        Report {
            seed,
            trace,
            lines,
            faults: world.faults,
            deliveries,
            violations,
            sessions,
            steps,
            took: world.now,
        }
    }

    /// A process that has come to the end of its input, and the next that takes its place, do no harm to anybody.
    fn forget_orderly_ends(&mut self) {
        let workload = self.ledger.workload();
        let rested = self.rested.unwrap_or(Duration::MAX);
        let is_orderly = |at: Duration, party: Party| {
            let source = workload.source(party);
            at >= rested && source.is_some_and(|source| self.applications[source].rereads())
        };
        let times = self.world.lost_since.iter();
        let orderly: Vec<_> = times.map(|(at, party)| is_orderly(*at, *party)).collect();
        let mut each = orderly.iter();
        self.world.lost.retain(|_| each.next() != Some(&true));
    }

    fn judge_oracle(&mut self) {
        for violation in self.world.oracle.take_violations() {
            // A host that lies about what is settled moves floors.
            if self.scenario.is_honest() || !matches!(violation, Violation::Floor { .. }) {
                self.ledger.violate(violation);
            }
        }
    }

    /// What is known of the parties when all is over.
    fn close_books(&mut self) {
        for number in 0..self.consumers.len() {
            let memory = self.consumers[number].core.subscriber.memory();
            let truth = &self.world.oracle.truth;
            self.ledger
                .on_last_word(number, |session| memory.taken(session), truth);
        }
        for source in 0..self.applications.len() {
            let drained = self.source(source).is_drained();
            self.ledger.on_end_of_source(source, drained);
        }
    }

    /// In mere weather links end through outages alone. With an honest host nobody is disconnected for being slow unless its publisher
    /// wants that.
    fn judge_links(&mut self) {
        if !self.scenario.trials.is_empty() || self.scenario.malice.is_some() {
            return;
        }
        let outages = self.outages();
        let may_disconnect = self.scenario.slow == sc_cbr::SlowPolicy::Disconnect;
        for (party, reason) in self.world.lost.clone() {
            let is_slow = may_disconnect && matches!(party, Party::Consumer(_));
            if !outages.contains(&party) && !is_slow {
                self.ledger.violate(Violation::LinkLost { party, reason });
            }
        }
        let counters = self.host.counters();
        if counters.undeliverable > 0 || (counters.disconnected > 0 && !may_disconnect) {
            let what = format!(
                "{} undeliverable, {} disconnected",
                counters.undeliverable, counters.disconnected
            );
            self.ledger.violate(Violation::Router { what });
        }
    }

    /// The parties whose link has been silent for too long at least once.
    fn outages(&self) -> BTreeSet<Party> {
        let silences = self.scenario.silences.iter();
        silences
            .filter(|silence| silence.outage)
            .map(|silence| silence.party)
            .collect()
    }

    /// Every notice that was withheld was missed in time by its consumer, if nothing else happened to either meanwhile.
    fn judge_withholding(&mut self) {
        let villain = self.host.villain.iter_mut();
        self.withheld
            .extend(villain.flat_map(|villain| core::mem::take(&mut villain.withheld)));
        for withheld in core::mem::take(&mut self.withheld) {
            if self.is_watched(&withheld) && !self.is_noticed(&withheld) {
                let (session, counter) = withheld.place;
                self.ledger.violate(Violation::NotNoticed {
                    party: withheld.from,
                    what: format!("notice {counter} of session {session} at {:?}", withheld.at),
                });
            }
        }
    }

    /// Whether consumer, owner and router were there, undisturbed, long enough after something was withheld.
    fn is_watched(&self, withheld: &Withheld) -> bool {
        let Party::Consumer(number) = withheld.from else {
            return false;
        };
        let until = withheld.at + NOTICED_WITHIN;
        let domain = self.ledger.workload().consumers[number].domain;
        let all = [withheld.from, Party::Publisher(domain), Party::Router];
        let is_disturbed = |party: &Party| {
            let times = self.disturbed.get(party).into_iter().flatten();
            let from = withheld.at.saturating_sub(TICK * 10);
            times.into_iter().any(|time| (from..=until).contains(time))
        };
        let honest_at = self
            .scenario
            .malice
            .as_ref()
            .and_then(|malice| malice.until);
        let opened = self.ledger.session_since(domain);
        until < self.world.now
            && honest_at.is_none_or(|at| until < at)
            && !all.iter().any(is_disturbed)
            && !self
                .world
                .lost_since
                .iter()
                .any(|(at, party)| all.contains(party) && (withheld.at..=until).contains(at))
            && opened.is_some_and(|(session, at)| {
                session == withheld.place.0 && at + TICK * 3 < withheld.at
            })
            && !self.revoked.contains(&number)
    }

    fn is_noticed(&self, withheld: &Withheld) -> bool {
        let Party::Consumer(number) = withheld.from else {
            return false;
        };
        let (session, counter) = withheld.place;
        let until = withheld.at + NOTICED_WITHIN;
        self.ledger.reports(number).iter().any(|(at, event)| {
            let covers = match event {
                SubscriberEvent::Missing {
                    session: of,
                    from,
                    to,
                } => *of == session && (*from..=*to).contains(&counter),
                SubscriberEvent::Silent | SubscriberEvent::Ended(_) => true,
                _ => false,
            };
            covers && *at >= withheld.at.saturating_sub(NOTICED_WITHIN) && *at <= until
        })
    }
}
