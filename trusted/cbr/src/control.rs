//! Control messages: what an owner tells the routing program about its consumers.

use sc_crypto::{Secret, VerifyingKey};
use sc_matching::Subscription;
use sc_matching::binary::{decode_subscription, encode_subscription};

use crate::Malformed;
use crate::batch::Origin;
use crate::bytes::Reader;

const VERSION: u8 = 1;
const ADMIT: u8 = 1;
const WITHDRAW: u8 = 2;
const RENEW: u8 = 3;
const REVOKE: u8 = 4;
const TICK: u8 = 5;
const REGISTER: u8 = 6;
const DISMISS: u8 = 7;

/// What happens to a consumer that does not keep up: the publisher's choice at admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Holds the domain's publishers back until it has caught up or was away for longer than its retention.
    Block,
    /// Suspends it and drops its link as soon as it does not keep up.
    Disconnect,
    /// Keeps on the host's disk what it has no room for, up to the host's quota.
    #[default]
    Spill,
}

impl SlowPolicy {
    fn code(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Disconnect => 2,
            Self::Spill => 3,
        }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.push(self.code());
    }

    /// Reads the byte that stands for a policy.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown one.
    pub fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            1 => Ok(Self::Block),
            2 => Ok(Self::Disconnect),
            3 => Ok(Self::Spill),
            _ => Err(Malformed("its slow-consumer policy is unknown")),
        }
    }

    /// The byte that stands for it in messages.
    #[must_use]
    pub fn to_code(self) -> u8 {
        self.code()
    }
}

/// One control message, opened.
pub struct Control {
    /// The owner's clock, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// What it says.
    pub body: ControlBody,
}

/// What a control message says.
#[non_exhaustive]
pub enum ControlBody {
    /// Indexes subscriptions of a consumer.
    Admit {
        /// Its identity key: the only link that may receive its notices has proved it.
        consumer: VerifyingKey,
        /// The same at every admission of this consumer in this session.
        delivery_key: Secret,
        /// Owner time after which its subscriptions are dropped.
        lease_until_ms: u64,
        /// What to do when it does not keep up.
        slow: SlowPolicy,
        /// How long the host keeps its notices while it is away, in milliseconds.
        retention_ms: u64,
        /// Drops its other subscriptions first.
        replace: bool,
        /// Subscriptions by the consumer's own ids; an id given again replaces.
        subscriptions: Vec<(u64, Subscription)>,
    },
    /// Drops subscriptions of a consumer.
    Withdraw {
        /// Whose.
        consumer: VerifyingKey,
        /// Which; unknown ids are passed over.
        ids: Vec<u64>,
    },
    /// Extends a lease.
    Renew {
        /// Whose.
        consumer: VerifyingKey,
        /// Until when, owner time.
        lease_until_ms: u64,
    },
    /// Drops a consumer with all its subscriptions, and tells it so.
    Revoke {
        /// Whom.
        consumer: VerifyingKey,
    },
    /// Time passes: expires leases, and gives a heartbeat to each consumer that has subscriptions.
    Tick,
    /// Lets another than the owner publish, from its counter 1; an earlier start of it is closed.
    Register {
        /// Its identity key.
        publisher: VerifyingKey,
        /// Greater than every start of this publisher in this session before, and than 0.
        start: u64,
        /// Every origin of it up to this one was settled before this session, or will not come again.
        floor: Origin,
    },
    /// Lets a publisher publish no more.
    Dismiss {
        /// Whom.
        publisher: VerifyingKey,
    },
}

impl Control {
    /// The bytes to be sealed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        match &self.body {
            ControlBody::Admit {
                consumer,
                delivery_key,
                lease_until_ms,
                slow,
                retention_ms,
                replace,
                subscriptions,
            } => {
                push_head(&mut out, ADMIT, consumer);
                out.extend_from_slice(delivery_key.expose());
                out.extend_from_slice(&lease_until_ms.to_le_bytes());
                slow.encode(&mut out);
                out.extend_from_slice(&retention_ms.to_le_bytes());
                out.push(u8::from(*replace));
                out.extend_from_slice(&(subscriptions.len() as u32).to_le_bytes());
                for (id, subscription) in subscriptions {
                    let encoded = encode_subscription(subscription);
                    out.extend_from_slice(&id.to_le_bytes());
                    out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
                    out.extend_from_slice(&encoded);
                }
            }
            ControlBody::Withdraw { consumer, ids } => {
                push_head(&mut out, WITHDRAW, consumer);
                out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
                ids.iter()
                    .for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
            }
            ControlBody::Renew {
                consumer,
                lease_until_ms,
            } => {
                push_head(&mut out, RENEW, consumer);
                out.extend_from_slice(&lease_until_ms.to_le_bytes());
            }
            ControlBody::Revoke { consumer } => push_head(&mut out, REVOKE, consumer),
            ControlBody::Tick => out.push(TICK),
            ControlBody::Register {
                publisher,
                start,
                floor,
            } => {
                push_head(&mut out, REGISTER, publisher);
                out.extend_from_slice(&start.to_le_bytes());
                floor.encode(&mut out);
            }
            ControlBody::Dismiss { publisher } => push_head(&mut out, DISMISS, publisher),
        }
        out
    }

    /// Reads an opened control message.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Control::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let time_ms = reader.u64()?;
        let body = match reader.u8()? {
            ADMIT => decode_admit(&mut reader)?,
            WITHDRAW => {
                let consumer = read_key(&mut reader)?;
                let count = reader.count(8)?;
                let ids = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
                ControlBody::Withdraw { consumer, ids }
            }
            RENEW => ControlBody::Renew {
                consumer: read_key(&mut reader)?,
                lease_until_ms: reader.u64()?,
            },
            REVOKE => ControlBody::Revoke {
                consumer: read_key(&mut reader)?,
            },
            TICK => ControlBody::Tick,
            REGISTER => ControlBody::Register {
                publisher: read_key(&mut reader)?,
                start: reader.u64()?,
                floor: Origin::read(&mut reader)?,
            },
            DISMISS => ControlBody::Dismiss {
                publisher: read_key(&mut reader)?,
            },
            _ => return Err(Malformed("its kind is unknown")),
        };
        reader.end()?;
        Ok(Self { time_ms, body })
    }
}

fn push_head(out: &mut Vec<u8>, kind: u8, consumer: &VerifyingKey) {
    out.push(kind);
    out.extend_from_slice(consumer.as_bytes());
}

fn decode_admit(reader: &mut Reader<'_>) -> Result<ControlBody, Malformed> {
    let consumer = read_key(reader)?;
    let delivery_key = Secret::from_bytes(reader.array()?);
    let lease_until_ms = reader.u64()?;
    let slow = SlowPolicy::from_code(reader.u8()?)?;
    let retention_ms = reader.u64()?;
    let replace = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed("its replace flag is neither 0 nor 1")),
    };
    let count = reader.count(12)?;
    let mut subscriptions = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.u64()?;
        let length = reader.count(1)?;
        let subscription = decode_subscription(reader.take(length)?)
            .map_err(|_| Malformed("a subscription does not decode"))?;
        subscriptions.push((id, subscription));
    }
    Ok(ControlBody::Admit {
        consumer,
        delivery_key,
        lease_until_ms,
        slow,
        retention_ms,
        replace,
        subscriptions,
    })
}

fn read_key(reader: &mut Reader<'_>) -> Result<VerifyingKey, Malformed> {
    reader.array().map(VerifyingKey::from_bytes)
}
