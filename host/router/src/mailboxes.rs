//! All mailboxes, with their timers and what they take of memory.
//!
//! Invariant: a mailbox has a timer exactly while its consumer is away and its retention has not passed, or while an impatient publisher
//! waits for it to name a session, or while it is attached and takes nothing of what waits for it; no operation on one mailbox costs more than O(log mailboxes).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domains::DomainId;
use crate::mailbox::Mailbox;
use crate::memory::Gauge;
use crate::spill::MailboxId;

/// Mailboxes in all; notices for one more consumer are given up.
pub const MAILBOXES_MAX: usize = 1 << 18;

/// Mailboxes of one domain; never more than a quarter of all.
pub const CONSUMERS_MAX: usize = 65_536;

/// A domain's part of the memory, for as long as it has a mailbox.
struct Tenant {
    gauge: Arc<Gauge>,
    mailboxes: usize,
}

pub(crate) struct Mailboxes {
    boxes: HashMap<MailboxId, Mailbox>,
    tenants: HashMap<DomainId, Tenant>,
    timers: BTreeSet<(Duration, MailboxId)>,
    total: Arc<Gauge>,
    max: usize,
}

impl Default for Mailboxes {
    fn default() -> Self {
        Self::of_at_most(MAILBOXES_MAX)
    }
}

impl Mailboxes {
    fn of_at_most(max: usize) -> Self {
        Self {
            max,
            boxes: HashMap::new(),
            tenants: HashMap::new(),
            timers: BTreeSet::new(),
            total: Gauge::total(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Bytes that notices take in memory.
    pub(crate) fn memory(&self) -> u64 {
        self.total.bytes()
    }

    pub(crate) fn get_mut(&mut self, id: &MailboxId) -> Option<&mut Mailbox> {
        self.boxes.get_mut(id)
    }

    pub(crate) fn contains(&self, id: &MailboxId) -> bool {
        self.boxes.contains_key(id)
    }

    /// Makes a mailbox, if there may be one more.
    pub(crate) fn add(&mut self, now: Duration, id: MailboxId) -> Option<&mut Mailbox> {
        let of_domain = self.tenants.get(&id.domain).map_or(0, |it| it.mailboxes);
        let is_full =
            self.boxes.len() >= self.max || of_domain >= CONSUMERS_MAX.min(self.max.div_ceil(4));
        if is_full {
            return None;
        }
        let Self { tenants, total, .. } = self;
        let tenant = tenants.entry(id.domain).or_insert_with(|| Tenant {
            gauge: Gauge::of_domain(total),
            mailboxes: 0,
        });
        let mailbox = Mailbox::new(now, Arc::clone(&tenant.gauge));
        tenant.mailboxes += 1;
        Some(self.boxes.entry(id).or_insert(mailbox))
    }

    pub(crate) fn remove(&mut self, id: &MailboxId) {
        let Some(mailbox) = self.boxes.remove(id) else {
            return;
        };
        if let Some(due) = mailbox.timer {
            self.timers.remove(&(due, *id));
        }
        if let Some(tenant) = self.tenants.get_mut(&id.domain) {
            tenant.mailboxes -= 1;
            if tenant.mailboxes == 0 {
                self.tenants.remove(&id.domain);
            }
        }
    }

    /// Puts the timer of a mailbox that has changed where it belongs now.
    pub(crate) fn refresh(&mut self, id: &MailboxId) {
        let Some(mailbox) = self.boxes.get_mut(id) else {
            return;
        };
        let due = mailbox.deadline();
        if due == mailbox.timer {
            return;
        }
        if let Some(old) = mailbox.timer {
            self.timers.remove(&(old, *id));
        }
        if let Some(new) = due {
            self.timers.insert((new, *id));
        }
        mailbox.timer = due;
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The first mailbox whose time has come.
    pub(crate) fn due(&self, now: Duration) -> Option<MailboxId> {
        let (due, id) = self.timers.first()?;
        (*due <= now).then_some(*id)
    }

    /// A domain has a newer session: forgets the mailboxes of consumers that are not in it, if they hold nothing or their consumers have been
    /// away for longer than their retention. Cost: O(mailboxes), once for each session.
    pub(crate) fn sweep(&mut self, domain: &DomainId, session: u64) {
        let is_done = |id: &MailboxId, mailbox: &Mailbox| {
            let is_over = id.domain == *domain && mailbox.session() < session;
            is_over && (mailbox.is_expired() || mailbox.holds_nothing())
        };
        let done: Vec<MailboxId> = self
            .boxes
            .iter()
            .filter(|(id, mailbox)| is_done(id, mailbox))
            .map(|(id, _)| *id)
            .collect();
        done.iter().for_each(|id| self.remove(id));
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&MailboxId, &mut Mailbox)> {
        self.boxes.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Policy;

    fn id(domain: u8, consumer: u8) -> MailboxId {
        MailboxId {
            domain: [domain; 32],
            consumer: [consumer; 32],
        }
    }

    #[test]
    fn there_are_no_more_mailboxes_than_the_bound_and_one_that_goes_makes_room() {
        let mut mailboxes = Mailboxes::of_at_most(3);
        for domain in 0..3 {
            assert!(mailboxes.add(Duration::ZERO, id(domain, 1)).is_some());
        }
        assert!(mailboxes.add(Duration::ZERO, id(9, 9)).is_none());

        mailboxes.remove(&id(1, 1));

        assert!(mailboxes.add(Duration::ZERO, id(9, 9)).is_some());
        assert_eq!(mailboxes.len(), 3);
    }

    #[test]
    fn one_domain_has_a_quarter_of_all_mailboxes_at_most() {
        let mut mailboxes = Mailboxes::of_at_most(8);
        let taken =
            (0..8).filter(|consumer| mailboxes.add(Duration::ZERO, id(1, *consumer)).is_some());
        assert_eq!(taken.count(), 2);

        assert!(mailboxes.add(Duration::ZERO, id(2, 1)).is_some());
        mailboxes.remove(&id(1, 0));

        assert!(mailboxes.add(Duration::ZERO, id(1, 7)).is_some());
    }

    #[test]
    fn a_newer_session_forgets_the_empty_mailboxes_of_those_before_it_in_its_own_domain() {
        let mut mailboxes = Mailboxes::default();
        for id in [id(1, 1), id(1, 2), id(2, 1)] {
            mailboxes.add(Duration::ZERO, id);
        }
        let newer = mailboxes.get_mut(&id(1, 2)).unwrap();
        newer.admit(
            Duration::ZERO,
            2,
            Policy::Block,
            Duration::ZERO,
            &mut Vec::new(),
        );

        mailboxes.sweep(&[1; 32], 2);

        assert_eq!(mailboxes.len(), 2);
        assert!(!mailboxes.contains(&id(1, 1)));
    }

    #[test]
    fn timers_come_in_order_and_end_with_their_mailboxes() {
        let mut mailboxes = Mailboxes::default();
        for consumer in [3, 1, 2] {
            mailboxes.add(Duration::from_secs(consumer.into()), id(1, consumer));
            mailboxes.refresh(&id(1, consumer));
        }
        mailboxes.remove(&id(1, 1));

        assert_eq!(mailboxes.next_timeout(), Some(Duration::from_secs(32)));
        assert_eq!(mailboxes.due(Duration::from_secs(31)), None);
        assert_eq!(mailboxes.due(Duration::from_secs(40)), Some(id(1, 2)));
    }

    #[test]
    fn a_domain_without_mailboxes_takes_nothing() {
        let mut mailboxes = Mailboxes::default();
        mailboxes.add(Duration::ZERO, id(1, 1));
        mailboxes.remove(&id(1, 1));

        assert!(mailboxes.tenants.is_empty() && mailboxes.timers.is_empty());
    }
}
