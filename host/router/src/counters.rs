//! What a router has done and what it holds, in numbers that a host may see by design.

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions opened.
    pub sessions: u64,
    /// Batches taken.
    pub batches: u64,
    /// Publications in them.
    pub publications: u64,
    /// Control messages taken.
    pub controls: u64,
    /// Calls made to the trusted program.
    pub calls: u64,
    /// Times the trusted program was lost.
    pub programs_lost: u64,
    /// Notices sent, each time that one was.
    pub notices: u64,
    /// Bytes of the notices sent, with their payloads.
    pub notice_bytes: u64,
    /// Payloads that went into notices.
    pub payloads: u64,
    /// Notices made by the program for a consumer.
    pub queued: u64,
    /// Notices that their consumer has taken.
    pub acked: u64,
    /// Notices given up: their consumer will see the gap.
    pub given_up: u64,
    /// Notices for which there was no mailbox and no room for one.
    pub undeliverable: u64,
    /// Notices written to the store.
    pub stored: u64,
    /// Bytes of these.
    pub stored_bytes: u64,
    /// Notices read from the store.
    pub fetched: u64,
    /// Notices that the store did not take, for want of room or because the disk failed.
    pub store_failures: u64,
    /// Stored notices that could not be read again.
    pub store_losses: u64,
    /// Consumers suspended.
    pub suspended: u64,
    /// Consumers whose notices were made again.
    pub resumed: u64,
    /// Mailboxes whose retention has passed.
    pub expired: u64,
    /// Acknowledgements of consumers.
    pub acks: u64,
    /// Those of notices never sent, which count as naming the session alone.
    pub acks_ahead: u64,
    /// Requests passed on to owners.
    pub asks: u64,
    /// Answers passed on.
    pub answers: u64,
    /// Links ever established.
    pub links: u64,
    /// Peers disconnected because they did not keep up, or do not take messages as large as theirs.
    pub disconnected: u64,
    /// Frames refused, for any cause.
    pub refused: u64,
    /// Of these: what did not decode or made no sense.
    pub refused_malformed: u64,
    /// Of these: for a domain or session that is not open on that link.
    pub refused_unknown_domain: u64,
    /// Of these: by the trusted program.
    pub refused_program: u64,
    /// Of these: beyond a bound.
    pub refused_limit: u64,
    /// Of these: for a peer that is not connected.
    pub refused_unreachable: u64,
}

/// What a router holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Links of publishers.
    pub publishers: u64,
    /// Links of subscribers.
    pub subscribers: u64,
    /// Domains with an open session.
    pub domains: u64,
    /// Consumers for which notices are kept.
    pub mailboxes: u64,
    /// Bytes that notices take in memory.
    pub memory_bytes: u64,
    /// Bytes that notices take in the store; 0 without one.
    pub store_bytes: u64,
    /// Calls to the trusted program under way or waiting.
    pub calls: u64,
}
