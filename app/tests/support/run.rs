//! A whole run: a router, a consumer and a source, from the first to the last publication.

use super::{Finished, Folder, Role};

/// What each role left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) router: Finished,
    pub(crate) source: Finished,
    pub(crate) consumer: Finished,
}

/// What each role is given beyond files, keys and addresses.
#[derive(Default, Clone, Copy)]
pub(crate) struct Flags<'a> {
    pub(crate) router: &'a [&'a str],
    pub(crate) source: &'a [&'a str],
    pub(crate) consumer: &'a [&'a str],
}

impl<'a> Flags<'a> {
    /// The same for everyone.
    pub(crate) fn all(flags: &'a [&'a str]) -> Self {
        Self {
            router: flags,
            source: flags,
            consumer: flags,
        }
    }
}

impl Run {
    /// Publishes `pubs` with `key.prv` to the filters in `subs` of a consumer that has `key.pub`, and ends everyone well.
    #[track_caller]
    pub(crate) fn through(folder: &Folder, flags: Flags<'_>) -> Self {
        let mut router = Role::start(
            folder,
            "scbr",
            &[&["-a", "localhost:0"], flags.router].concat(),
        );
        let address = router.endpoint();
        let consumer = ["-c", &address, "-i", "subs", "-k", "key.pub"];
        let mut consumer = Role::start(folder, "consumer", &[&consumer, flags.consumer].concat());
        let source = ["-c", &address, "-i", "pubs", "-k", "key.prv", "--once"];
        let source = Role::start(folder, "source", &[&source, flags.source].concat());
        consumer.event("admitted");
        let source = source.end();
        source.succeeded();
        // The receipts are in, so every notice is on its way; a router that is asked to end delivers first.
        let router = router.interrupt();
        router.succeeded();
        let consumer = consumer.interrupt();
        consumer.succeeded();
        Self {
            router,
            source,
            consumer,
        }
    }

    /// Deliveries that the consumer counted.
    #[track_caller]
    pub(crate) fn deliveries(&self) -> u64 {
        let summary = self.consumer.event("summary");
        summary["deliveries"].as_u64().unwrap()
    }
}
