//! A receipt: the program's sealed word that it took one message of a publisher, and what came of it.

use crate::Malformed;
use crate::bytes::Reader;

const VERSION: u8 = 1;

/// What became of a message that was authentic and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It was carried out.
    Taken,
    /// It does not decode, although its publisher sealed it: a fault of the publisher's program.
    Malformed,
    /// A bound of the program was reached: too many consumers or publishers, too many subscriptions of one, too much in all.
    Limit,
    /// It names a consumer that was not admitted in this session, or renews one whose lease has ended: admit it (again). Or it dismisses a
    /// publisher that was not registered in this session: there is nothing to do.
    UnknownConsumer,
}

/// The content of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The message's counter.
    pub counter: u64,
    /// What became of it.
    pub status: Status,
    /// For a batch: its publications that were noted for a consumer at least. For an admission: the subscriptions it indexed.
    pub matched: u32,
    /// For a batch: the (publication, subscription) pairs in its notices.
    pub deliveries: u64,
}

impl Receipt {
    /// The bytes to be sealed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(22);
        out.push(VERSION);
        out.extend_from_slice(&self.counter.to_le_bytes());
        out.push(match self.status {
            Status::Taken => 0,
            Status::Malformed => 1,
            Status::Limit => 2,
            Status::UnknownConsumer => 3,
        });
        out.extend_from_slice(&self.matched.to_le_bytes());
        out.extend_from_slice(&self.deliveries.to_le_bytes());
        out
    }

    /// Reads an opened receipt.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Receipt::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let counter = reader.u64()?;
        let status = match reader.u8()? {
            0 => Status::Taken,
            1 => Status::Malformed,
            2 => Status::Limit,
            3 => Status::UnknownConsumer,
            _ => return Err(Malformed("its status is unknown")),
        };
        let receipt = Self {
            counter,
            status,
            matched: reader.u32()?,
            deliveries: reader.u64()?,
        };
        reader.end()?;
        Ok(receipt)
    }
}
