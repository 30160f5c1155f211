//! Publisher, subscriber and the store's client: the owner's side of both services.
//!
//! The cores here decide; whoever runs them owns the link, the clock and the journal. Messages that owners and consumers exchange with
//! each other, through a router that cannot read them, are in `ask` and `answer`; those for the trusted program come from `sc-cbr`.

mod answer;
mod ask;
mod grantee;
mod journal;
pub mod kv;
mod link;
mod outgoing;
mod provisioning;
mod publisher;
mod shell;
mod signer;
mod subscriber;

pub use answer::{Answer, AnswerRefused, EARLIER_SESSIONS_MAX, Refusal, Verdict};
pub use ask::{ASK_BYTES_MAX, Ask, AskRefused, Operation, SUBSCRIPTIONS_PER_ASK_MAX};
pub use grantee::{Grantee, GranteeEvent, GranteeMemory, GranteeSettings};
pub use journal::{Journal, JournalError};
pub use link::{Clock, Credit, Output};
pub use outgoing::{BatchBounds, PublishError};
pub use provisioning::{Challenged, Entrusted, ProvisioningError};
pub use publisher::{Admission, GrantList, Publisher, PublisherEvent, PublisherSettings, Roll};
pub use shell::{
    ClientError, LinkNews, News, OsEntropy, PublisherLoop, PublishingCore, PublishingLoop,
    SubscriberLoop,
};
pub use signer::IdentitySigner;
pub use subscriber::{
    Delivery, Ending, Memory, Subscriber, SubscriberEvent, SubscriberSettings, UNKNOWN_END,
};
