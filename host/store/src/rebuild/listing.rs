//! What lies at the locations, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use sc_backend::{BackendError, FragmentName, LIST_MAX};
use sc_metadata::LocationState;

use crate::error::Problem;
use crate::locations::{Site, Sites};
use crate::store::{Store, unhex};

/// The files of one kind: by name, the locations that hold it.
pub(super) type Files = BTreeMap<String, Vec<u16>>;

/// A fragment that lies at a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// Which of its segment's fragments it is.
    pub(super) index: u8,
    /// The number behind its index, of one that was made again or copied; 0 for none.
    pub(super) attempt: u64,
    /// Where it is.
    pub(super) site: u16,
}

/// What a fragment's name says: what it is named by, its index, and the number of one that was made again or copied.
pub(crate) fn parse_fragment(name: &str) -> Option<([u8; 32], u8, u64)> {
    let mut words = name.split('.');
    let id = unhex(words.next()?)?;
    let index = words.next()?.parse().ok()?;
    let attempt = match words.next() {
        None => 0,
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
    };
    words.next().is_none().then_some((id, index, attempt))
}

/// All that lies at the locations that answer.
#[derive(Default)]
pub(super) struct Listing {
    /// Every location, by name; their numbers are their places here.
    pub(super) sites: Vec<Arc<Site>>,
    /// Which of them have told all that they hold.
    pub(super) listed: Vec<bool>,
    /// Those that should have, and why they have not.
    pub(super) away: Vec<String>,
    /// How many were not asked: lost, or returning.
    pub(super) lost: usize,
    /// By what they are named by.
    pub(super) fragments: BTreeMap<[u8; 32], Vec<Piece>>,
    pub(super) manifests: Files,
    pub(super) removals: Files,
    pub(super) datastores: Files,
    pub(super) records: Files,
    /// Files of other names.
    pub(super) others: u64,
}

impl Listing {
    pub(super) fn take(&mut self, site: u16, name: &str) {
        let Some((_, word)) = name.rsplit_once('.') else {
            self.others += 1;
            return;
        };
        let files = match word {
            "manifest" => &mut self.manifests,
            "removal" => &mut self.removals,
            "datastore" => &mut self.datastores,
            "record" => &mut self.records,
            _ => {
                match parse_fragment(name) {
                    Some((id, index, attempt)) => {
                        let piece = Piece {
                            index,
                            attempt,
                            site,
                        };
                        self.fragments.entry(id).or_default().push(piece);
                    }
                    None => self.others += 1,
                }
                return;
            }
        };
        files.entry(name.to_owned()).or_default().push(site);
    }

    /// Which locations are lost, as the operator says. One that is returning has what it has, and is only not heard.
    pub(super) fn is_lost(&self) -> Vec<bool> {
        let each = self.sites.iter();
        each.map(|site| site.state == LocationState::Lost).collect()
    }

    /// The names of the locations that were heard.
    pub(super) fn heard(&self) -> Vec<String> {
        let sites = self.sites.iter().zip(&self.listed);
        let heard = sites.filter(|(_, is_listed)| **is_listed);
        heard.map(|(site, _)| site.name.clone()).collect()
    }

    /// Whether every location has told what it holds.
    pub(super) fn is_all_heard(&self) -> bool {
        self.is_whole() && self.lost == 0
    }

    /// Whether every location that is not lost has told what it holds.
    pub(super) fn is_whole(&self) -> bool {
        self.away.is_empty()
    }
}

impl Store {
    /// Lists all locations at once. Of those that are returning only what no rebuild has heard: the others may have what was deleted.
    pub(super) async fn list_everything(&self) -> Result<Listing, Problem> {
        let unheard = self.catalog.unheard().await?;
        let sites: Sites = self.locations.now();
        let mut listing = Listing {
            sites: sites.values().map(Arc::clone).collect(),
            ..Listing::default()
        };
        let is_heard = |site: &Site| match site.state {
            LocationState::Lost => false,
            LocationState::Returning => unheard.contains(&site.name),
            _ => true,
        };
        let names = listing.sites.iter().map(|site| {
            let is_heard = is_heard(site);
            async move {
                match is_heard {
                    true => Some(self.names_at(site).await),
                    false => None,
                }
            }
        });
        for (number, names) in (0_u16..).zip(join_all(names).await) {
            let site = Arc::clone(&listing.sites[usize::from(number)]);
            match names {
                Some(Ok(names)) => {
                    names
                        .iter()
                        .for_each(|name| listing.take(number, name.as_str()));
                    listing.listed.push(true);
                }
                Some(Err(error)) => {
                    let why = site.why_unopened().map_or(error.to_string(), str::to_owned);
                    listing
                        .away
                        .push(format!("{} does not answer: {why}", site.name));
                    listing.listed.push(false);
                }
                None => {
                    listing.lost += 1;
                    listing.listed.push(false);
                }
            }
        }
        Ok(listing)
    }

    /// All names at a location.
    async fn names_at(&self, site: &Site) -> Result<Vec<FragmentName>, BackendError> {
        let patience = self.settings.location_patience;
        let mut names: Vec<FragmentName> = Vec::new();
        loop {
            let page = site.backend.list(names.last(), LIST_MAX);
            let page = tokio::time::timeout(patience, page).await;
            match page {
                Ok(Ok(page)) if page.is_empty() => return Ok(names),
                Ok(Ok(page)) => names.extend(page.into_iter().map(|it| it.name)),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let why = format!("no list within {} ms", patience.as_millis());
                    return Err(BackendError::Unavailable(why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_names() {
        let mut listing = Listing::default();
        let id = "ab".repeat(32);

        for name in [
            format!("{id}.5"),
            "0011.manifest".into(),
            "22-1.datastore".into(),
            "33-7.record".into(),
            "44.removal".into(),
            format!("{id}.300"),
            "plain".into(),
            "ab.1".into(),
        ] {
            listing.take(3, &name);
        }

        let piece = Piece {
            index: 5,
            attempt: 0,
            site: 3,
        };
        assert_eq!(listing.fragments, [([0xab; 32], vec![piece])].into());
        assert_eq!(
            listing.manifests,
            [("0011.manifest".into(), vec![3])].into()
        );
        let counts = [&listing.removals, &listing.datastores, &listing.records];
        assert_eq!(counts.map(BTreeMap::len), [1; 3]);
        assert_eq!(listing.others, 3);
    }
}
