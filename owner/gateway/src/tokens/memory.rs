//! Records that were read lately, so that not every request asks the store.
//!
//! Invariant: at most [`RECORDS_MAX`] are held and at most [`LOOKUPS_MAX`] are asked for at once, whatever ids strangers make up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sc_client::kv::{KvClient, KvError};
use tokio::sync::Semaphore;

use super::{RECORD_KIND, Record, TokenText, now_ms};

/// Records in memory.
pub(crate) const RECORDS_MAX: usize = 4096;
/// Records that are asked for at once.
const LOOKUPS_MAX: usize = 16;

/// The records that were read lately.
pub(crate) struct TokenMemory {
    /// How long a record is believed.
    life: Duration,
    records: Mutex<HashMap<[u8; 16], Remembered>>,
    lookups: Semaphore,
}

#[derive(Clone)]
struct Remembered {
    /// None: the store has no such record.
    record: Option<Arc<Record>>,
    until: Instant,
}

impl TokenMemory {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            life,
            records: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
        }
    }

    /// The record of `text`, if the token is what it claims to be and has not expired.
    pub(crate) async fn verify(
        &self,
        client: &KvClient,
        text: &TokenText,
    ) -> Result<Option<Arc<Record>>, KvError> {
        let record = match self.recall(text.id(), Instant::now()) {
            Some(record) => record,
            None => self.look_up(client, text).await?,
        };
        Ok(record.filter(|record| record.accepts(text, now_ms())))
    }

    /// Forgets a token, which is thereby read again.
    pub(crate) fn forget(&self, id: [u8; 16]) {
        self.records().remove(&id);
    }

    async fn look_up(
        &self,
        client: &KvClient,
        text: &TokenText,
    ) -> Result<Option<Arc<Record>>, KvError> {
        let lookup = self.lookups.acquire().await;
        let _lookup = lookup.expect("the semaphore is never closed");
        // Others may have asked for the same while this one waited.
        if let Some(record) = self.recall(text.id(), Instant::now()) {
            return Ok(record);
        }
        let content = client.record(RECORD_KIND, &text.id_hex()).await?;
        let record = content
            .and_then(|content| Record::decode(&content))
            .map(Arc::new);
        self.remember(text.id(), record.clone(), Instant::now());
        Ok(record)
    }

    fn recall(&self, id: [u8; 16], now: Instant) -> Option<Option<Arc<Record>>> {
        let records = self.records();
        let remembered = records.get(&id).filter(|it| now < it.until)?;
        Some(remembered.record.clone())
    }

    fn remember(&self, id: [u8; 16], record: Option<Arc<Record>>, now: Instant) {
        let mut records = self.records();
        if records.len() >= RECORDS_MAX {
            records.retain(|_, it| now < it.until);
        }
        if records.len() >= RECORDS_MAX {
            // Ids that strangers made up go first.
            records.retain(|_, it| it.record.is_some());
        }
        if records.len() >= RECORDS_MAX {
            records.clear();
        }
        let until = now + self.life;
        records.insert(id, Remembered { record, until });
    }

    fn records(&self) -> MutexGuard<'_, HashMap<[u8; 16], Remembered>> {
        self.records.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(15);

    fn id(number: usize) -> [u8; 16] {
        u128::try_from(number).unwrap().to_be_bytes()
    }

    #[test]
    fn what_is_remembered_is_forgotten_in_time() {
        let memory = TokenMemory::new(LIFE);
        let now = Instant::now();

        memory.remember(id(1), None, now);

        assert_eq!(memory.recall(id(1), now), Some(None));
        assert_eq!(memory.recall(id(1), now + LIFE), None);
        assert_eq!(memory.recall(id(2), now), None);
    }

    #[test]
    fn made_up_ids_do_not_grow_the_memory_beyond_its_bound() {
        let memory = TokenMemory::new(LIFE);
        let now = Instant::now();

        for number in 0..2 * RECORDS_MAX {
            memory.remember(id(number), None, now);
        }

        assert!(memory.records().len() <= RECORDS_MAX);
    }
}
