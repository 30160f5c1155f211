//! A party's disk: the records of its journal, and what of them outlives which death.
//!
//! Invariant: what was synced is there at the next start, whatever happened; what was written is there unless the power failed.

use crate::random::Random;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The process is killed; what it has written the operating system still has.
    Killed,
    /// The machine loses its power: what was not synced is gone, or torn in the middle.
    PowerLoss,
}

/// What a party has written down.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: Vec<Vec<u8>>,
    synced: usize,
}

impl Disk {
    pub(crate) fn append(&mut self, record: Vec<u8>) {
        self.records.push(record);
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.records.len();
    }

    /// What the next start finds.
    pub(crate) fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// Records that wait for a sync.
    pub(crate) fn unsynced(&self) -> usize {
        self.records.len() - self.synced
    }

    /// A life has ended. Returns how many records are lost with it: at a power loss any number of the last that were not synced; a
    /// record that is torn in the middle is cut off by the journal at the next start, and so counts as lost.
    pub(crate) fn die(&mut self, death: Death, random: &mut Random) -> usize {
        let lost = match death {
            Death::Killed => 0,
            Death::PowerLoss => random.below(self.unsynced() + 1),
        };
        self.records.truncate(self.records.len() - lost);
        self.synced = self.records.len();
        lost
    }

    /// Writes the journal anew, as a start or a journal that has grown too long does.
    pub(crate) fn replace(&mut self, records: impl IntoIterator<Item = Vec<u8>>) {
        self.records = records.into_iter().collect();
        self.sync();
    }

    /// Takes records back that `of` names, although they were synced: a bug to plant.
    pub(crate) fn forget(&mut self, of: impl Fn(&[u8]) -> bool) {
        self.records.retain(|record| !of(record));
        self.sync();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        let mut disk = Disk::default();
        disk.append(vec![1]);
        disk.sync();
        disk.append(vec![2]);
        disk.append(vec![3]);
        disk
    }

    #[test]
    fn a_killed_process_loses_nothing_that_it_has_written() {
        let mut disk = disk();

        let lost = disk.die(Death::Killed, &mut Random::new(1, "disk", 0));

        assert_eq!((lost, disk.records().len()), (0, 3));
    }

    #[test]
    fn a_power_loss_takes_some_of_what_was_not_synced_and_never_more() {
        let left: std::collections::BTreeSet<_> = (0..50)
            .map(|seed| {
                let mut disk = disk();
                disk.die(Death::PowerLoss, &mut Random::new(seed, "disk", 0));
                disk.records().len()
            })
            .collect();

        assert_eq!(left.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
