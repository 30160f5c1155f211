//! How parties die and are started again, and what else befalls them.

use std::time::Duration;

use sc_client::{Ending, Memory};

use super::Simulation;
use crate::cast::{self, Life};
use crate::disk::{Death, Disk};
use crate::fault::Fault;
use crate::lives::End;
use crate::party::Party;
use crate::queue::Happening;
use crate::random::Random;
use crate::spill::SpillDisk;
use crate::trial::Trial;
use crate::wall::Wrong;
use crate::world::note;

/// A consumer whose lease has run out is started again after this long.
const RETURN_AFTER: Duration = Duration::from_secs(1);
/// What a router keeps for absent consumers, it keeps for so long at least.
const LONG: Duration = Duration::from_secs(30);

impl Simulation {
    pub(super) fn begin_trial(&mut self, place: usize) {
        let now = self.world.now;
        match self.scenario.trials[place].1 {
            Trial::Crash {
                party,
                death,
                outputs,
                down,
            } => {
                if self.world.lives.lives(party) {
                    self.world.lives.doom(party, outputs, End { death, down });
                    if outputs == 0 {
                        self.world.lives.kill(party, End { death, down });
                    } else {
                        self.world.faults.count(Fault::CrashBetween);
                    }
                }
            }
            Trial::ProgramDies if self.world.lives.lives(Party::Router) => {
                self.world.faults.count(Fault::ProgramCrash);
                self.disturb(Party::Router);
                let life = self.host.door.life + 1;
                let next = cast::enclave(self.seed, "program", life);
                self.host
                    .on_program_dead(&mut self.world, next, &mut self.misfortune);
            }
            Trial::ProgramDies => {}
            Trial::Pause { party, lasting } => {
                note!(self.world, party, "is stopped for {lasting:?}");
                self.world.faults.count(Fault::Pause);
                self.world.lives.stop(party, now + lasting);
                self.disturb(party);
            }
            Trial::DiskFull { party, lasting } => {
                note!(self.world, party, "has a full disk for {lasting:?}");
                self.world.lives.fill(party, now + lasting);
            }
            Trial::Revocation { consumer } => self.revoke(consumer),
        }
    }

    fn revoke(&mut self, consumer: usize) {
        let domain = self.ledger.workload().consumers[consumer].domain;
        if !self.revoked.insert(consumer) {
            return;
        }
        note!(self.world, Party::Consumer(consumer), "is to be revoked");
        self.world.faults.count(Fault::Revocation);
        let all = self.ledger.answers().wanted(consumer);
        self.ledger.on_leave(consumer, &all);
        let admission = cast::admission(self.ledger.workload(), domain, &self.revoked);
        if self.world.lives.lives(Party::Publisher(domain)) {
            self.publishers[domain]
                .core
                .publisher
                .set_admission(admission);
            self.work(Party::Publisher(domain));
        }
    }

    /// Something happens to `party` that may hide what it would have noticed.
    fn disturb(&mut self, party: Party) {
        let now = self.world.now;
        self.disturbed.entry(party).or_default().push(now);
    }

    /// The host gets a new operator, who starts the router again.
    pub(super) fn end_malice(&mut self) {
        note!(self.world, Party::Router, "is in honest hands");
        self.honest = true;
        let end = End {
            death: Death::Killed,
            down: Duration::from_millis(100),
        };
        if self.world.lives.lives(Party::Router) {
            self.world.lives.kill(Party::Router, end);
        }
    }

    /// Buries whoever has died since the last time.
    pub(super) fn bury(&mut self) {
        if self.world.now >= self.scenario.storm {
            self.world.lives.spare();
        }
        while let Some((party, End { death, down })) = self.world.lives.next_dying() {
            note!(self.world, party, "dies: {death:?}");
            self.count_death(party, death, down);
            if self.rested.is_none() {
                *self.died.entry(party).or_default() += down;
            }
            self.disturb(party);
            let until = self.world.now + down;
            self.world.lives.bury(party, until);
            self.world.queue.at(until, Happening::Start(party));
            self.on_death(party, death);
        }
    }

    fn count_death(&mut self, party: Party, death: Death, down: Duration) {
        let faults = &mut self.world.faults;
        if self.rested.is_some() {
            // The orderly end of a process whose input is at its end.
            return;
        }
        faults.count(match party {
            Party::Router => Fault::RouterCrash,
            Party::Publisher(_) => Fault::PublisherCrash,
            Party::Grantee(_) => Fault::GranteeCrash,
            Party::Consumer(_) => Fault::ConsumerCrash,
        });
        if death == Death::PowerLoss {
            faults.count(Fault::PowerLoss);
        }
        if matches!(party, Party::Consumer(_)) && down > LONG {
            faults.count(Fault::LongAbsence);
        }
    }

    fn on_death(&mut self, party: Party, death: Death) {
        if let Some(source) = self.ledger.workload().source(party) {
            self.on_source_death(source);
        }
        let random = &mut self.misfortune;
        let lost = match party {
            Party::Router => {
                self.withheld.extend(
                    self.host
                        .villain
                        .iter_mut()
                        .flat_map(|villain| core::mem::take(&mut villain.withheld)),
                );
                self.host.spill.die(death);
                self.hang_up();
                0
            }
            Party::Publisher(number) => self.publishers[number].disk.die(death, random),
            Party::Grantee(number) => self.grantees[number].disk.die(death, random),
            Party::Consumer(number) => {
                let station = &mut self.consumers[number];
                let lost = station.disk.die(death, random);
                let left = station.disk.records().len();
                let forgotten = station.core.forgotten(left);
                self.ledger.on_rollback(number, &forgotten);
                let memory = Memory::replay(station.disk.records());
                let truth = &self.world.oracle.truth;
                self.ledger
                    .on_last_word(number, |session| memory.taken(session), truth);
                lost
            }
        };
        for _ in 0..lost {
            self.world.faults.count(Fault::RecordsLost);
        }
    }

    fn stations(&self) -> Vec<Party> {
        let publishers = (0..self.publishers.len()).map(Party::Publisher);
        let grantees = (0..self.grantees.len()).map(Party::Grantee);
        let consumers = (0..self.consumers.len()).map(Party::Consumer);
        let all = publishers.chain(grantees).chain(consumers);
        all.filter(|party| self.world.lives.lives(*party)).collect()
    }

    /// Everybody's carrier sees that the router is gone.
    fn hang_up(&mut self) {
        for party in self.stations() {
            let world = &mut self.world;
            match party {
                Party::Publisher(number) => self.publishers[number].on_disconnected(world),
                Party::Grantee(number) => self.grantees[number].on_disconnected(world),
                Party::Consumer(number) if self.joined[number] => {
                    self.consumers[number].on_disconnected(world);
                }
                _ => {}
            }
            self.note_events(party);
        }
    }

    /// A party that died lives again, with what its disk holds.
    pub(super) fn start(&mut self, party: Party) {
        if !self.world.lives.revive(party) {
            return;
        }
        note!(self.world, party, "starts again");
        self.disturb(party);
        let (number, now) = (number(party), self.world.now);
        let life = self.world.lives.incarnation(party);
        let life = Life { number, life, now };
        match party {
            Party::Router => self.start_router(life),
            Party::Publisher(number) => {
                let disk = core::mem::take(&mut self.publishers[number].disk);
                let disk = self.world.plants.disk(party, disk);
                self.publishers[number] = cast::publisher(
                    self.seed,
                    &self.scenario,
                    self.ledger.workload(),
                    life,
                    disk,
                    self.applications[number].input(),
                    &self.draws[number],
                    &self.revoked,
                );
                self.resume(number);
            }
            Party::Grantee(number) => {
                let disk = core::mem::take(&mut self.grantees[number].disk);
                let disk = self.world.plants.disk(party, disk);
                let source = self.publishers.len() + number;
                let input = self.applications[source].input();
                let (scenario, workload) = (&self.scenario, self.ledger.workload());
                self.grantees[number] =
                    cast::grantee(self.seed, scenario, workload, life, disk, input);
                self.resume(source);
            }
            Party::Consumer(number) => self.start_consumer(number, life),
        }
        self.work(party);
    }

    fn start_router(&mut self, life: Life) {
        let nothing = SpillDisk::new(Random::new(self.seed, "no spill", 0));
        let spill = core::mem::replace(&mut self.host.spill, nothing);
        let hostile = !self.honest;
        let workload = self.ledger.workload();
        self.host = cast::host(self.seed, &self.scenario, workload, life, spill, hostile);
        self.work(Party::Router);
        for party in self.stations() {
            self.reconnect(party);
        }
    }

    fn start_consumer(&mut self, number: usize, life: Life) {
        let disk: Disk = core::mem::take(&mut self.consumers[number].disk);
        let wants = self.ledger.answers().wanted(number);
        let workload = self.ledger.workload();
        let wants = if self.revoked.contains(&number) {
            let all = workload.consumers[number].subscriptions.iter();
            all.map(|(id, _)| *id).collect()
        } else {
            wants
        };
        self.consumers[number] =
            cast::consumer(self.seed, &self.scenario, workload, life, disk, &wants);
        if !self.joined[number] {
            return;
        }
        self.work(Party::Consumer(number));
    }

    /// The application of a consumer was told that nothing more comes. Whoever was revoked stays away.
    pub(super) fn give_up(&mut self, number: usize, ending: Ending) {
        let party = Party::Consumer(number);
        if ending == Ending::Expired && self.world.lives.lives(party) {
            self.world.faults.count(Fault::Return);
            let end = End {
                death: Death::Killed,
                down: RETURN_AFTER,
            };
            self.world.lives.kill(party, end);
        }
    }

    /// Clocks that are wrong are counted once each, if the run has lasted until then.
    pub(super) fn count_clocks(&mut self) {
        for trouble in self.scenario.clocks.clone() {
            if trouble.from <= self.world.now {
                self.world.faults.count(match trouble.wrong {
                    Wrong::Frozen => Fault::ClockFrozen,
                    Wrong::Ahead => Fault::ClockAhead,
                    Wrong::Back => Fault::ClockBack,
                });
            }
        }
    }
}

fn number(party: Party) -> usize {
    match party {
        Party::Router => 0,
        Party::Publisher(number) | Party::Grantee(number) | Party::Consumer(number) => number,
    }
}
