//! Coverage: whether a report tells a consumer that it lacks this article, and not only that something is wrong somewhere.

use std::time::Duration;

use sc_cbr::Origin;
use sc_client::{SubscriberEvent, UNKNOWN_END};

use super::reports::Causes;
use super::{ConsumerPage, Ledger};
use crate::oracle::{Article, Place, Truth};
use crate::party::Party;
use crate::violation::Violation;

impl ConsumerPage {
    fn reported(&self, is_it: impl Fn(&SubscriberEvent) -> bool) -> bool {
        self.reports.iter().any(|(_, event)| is_it(event))
    }

    /// A gap that names the notice at `place`.
    fn misses(&self, place: Place) -> bool {
        self.reported(|event| {
            matches!(event, SubscriberEvent::Missing { session, from, to }
                if *session == place.session && (*from..=*to).contains(&place.counter))
        })
    }

    /// Whether its journal has ever said that it has taken the notice at `place`.
    fn took(&self, place: Place) -> bool {
        let taken = self.taken.get(&place.session).copied().unwrap_or_default();
        taken >= place.counter && !self.misses(place)
    }

    fn was_suspended_in(&self, session: u64) -> bool {
        self.reported(
            |event| matches!(event, SubscriberEvent::Suspended { session: of } if *of == session),
        )
    }

    /// Nothing of the session was taken from the notice at `place` on, and silence was reported after it was made.
    fn fell_silent_before(&self, place: Place, truth: &Truth) -> bool {
        let taken = self.taken.get(&place.session).copied().unwrap_or_default();
        let made = truth.made_at(place);
        taken < place.counter
            && self
                .reports
                .iter()
                .any(|(at, event)| *at >= made && matches!(event, SubscriberEvent::Silent))
    }
}

impl Ledger {
    /// Whether some report of `consumer` covers `article`, which it lacks. One of these has to:
    ///
    /// - `Missing`, over a notice that told it of the article, or over the notice that told it of the suspension in which it missed it;
    /// - `Suspended`, of the session in which it missed it;
    /// - `Uncovered` of the article's publisher, over a batch that held it, or over the end of the start in which it was published;
    /// - `PayloadWithheld`, of the article's place in its batch;
    /// - `PassedOver`, of its batch;
    /// - `Silent`, after the notice was made, when nothing of that session was taken any more;
    /// - `Ended` or `Lapsed`, where no notice was made of it at all.
    ///
    /// Nothing is demanded before a consumer can know of a publisher: of its domain's owner from its first admission on, of another from
    /// the first notice on that names it.
    pub(super) fn covers(&self, consumer: usize, article: Article, truth: &Truth) -> bool {
        let page = &self.consumers[consumer];
        let told = truth.told(consumer, article);
        let by_notice = told.iter().any(|told| {
            page.misses(told.place)
                || page.fell_silent_before(told.place, truth)
                || page.reported(|event| match event {
                    SubscriberEvent::PayloadWithheld { origin, index } => {
                        (*origin, *index) == (told.origin, told.index)
                    }
                    SubscriberEvent::PassedOver { origin } => *origin == told.origin,
                    _ => false,
                })
        });
        let missed = truth.missed(consumer, article);
        let by_suspension = missed.iter().any(|place| {
            page.was_suspended_in(place.session)
                || page.misses(*place)
                || page.fell_silent_before(*place, truth)
        });
        let by_end = told.is_empty()
            && page.reported(|event| {
                matches!(
                    event,
                    SubscriberEvent::Ended(_) | SubscriberEvent::Lapsed { .. }
                )
            });
        let published = self.sources[article.source].published.get(&article);
        let published = published.copied().unwrap_or_default();
        by_notice
            || by_suspension
            || by_end
            || self.is_uncovered(consumer, article, truth)
            || !self.knew_of_source(consumer, article, published, truth)
    }

    /// Whether `consumer` could know of the article's source before the article went through the door, or was `published` if it never did.
    fn knew_of_source(
        &self,
        consumer: usize,
        article: Article,
        published: Duration,
        truth: &Truth,
    ) -> bool {
        let page = &self.consumers[consumer];
        let first = truth.first_seen(article, published);
        let is_owner = article.source < self.workload().owners;
        let was_admitted = page
            .reports
            .iter()
            .any(|(at, event)| *at <= first && matches!(event, SubscriberEvent::Admitted { .. }));
        // Of what never left, a publisher whose start is not in its journal either knows as little as anybody.
        is_owner && was_admitted && truth.origins.contains_key(&article)
            || truth.had_named(consumer, article, first, |place| page.took(place))
    }

    /// What was missed is told in numbers, at the end of each suspension.
    pub(super) fn judge_counts(&mut self, truth: &Truth) {
        let mut found = Vec::new();
        for (place, publications) in &truth.counted {
            let page = &self.consumers[place.consumer];
            let told = page.reported(|event| {
                matches!(event, SubscriberEvent::Missed { publications: of, .. } if of == publications)
            });
            if page.took(*place) && !told {
                found.push(Violation::NotNoticed {
                    party: Party::Consumer(place.consumer),
                    what: format!("how many publications it has missed, {publications},"),
                });
            }
        }
        self.violations.append(&mut found);
    }

    fn is_uncovered(&self, consumer: usize, article: Article, truth: &Truth) -> bool {
        let key = truth.key(article.source);
        let origins = truth.origins.get(&article);
        let published = self.sources[article.source].published.get(&article);
        let mut reports = self.consumers[consumer].reports.iter();
        reports.any(|(at, event)| {
            let SubscriberEvent::Uncovered {
                publisher,
                from,
                to,
            } = event
            else {
                return false;
            };
            let of_batch = |origin: &Origin| from < origin && origin <= to;
            // Where it never went through the door nobody knows its number.
            let of_start = origins.is_none()
                && to.number == UNKNOWN_END
                && published.is_some_and(|published| published <= at);
            publisher == key
                && (of_start || origins.is_some_and(|origins| origins.iter().any(of_batch)))
        })
    }

    /// Whether an honest host and whole disks still let `consumer` lack `article`: its publisher has died, or has lost its power, with an
    /// input that cannot be read again; or the consumer was suspended, for which there has to be a cause of its own; or its lease had
    /// run out.
    pub(super) fn may_lack(
        &self,
        consumer: usize,
        article: Article,
        truth: &Truth,
        causes: &Causes<'_>,
    ) -> bool {
        let source = &self.workload().sources[article.source];
        let party = self.workload().party(article.source);
        let is_gone_for_ever = !source.rereads && causes.has_died(party);
        let page = &self.consumers[consumer];
        is_gone_for_ever
            || truth.ever_suspended.contains(&consumer)
            || page.reported(|event| {
                matches!(
                    event,
                    SubscriberEvent::Ended(_) | SubscriberEvent::Lapsed { .. }
                )
            })
    }
}
