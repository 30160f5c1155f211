//! A folder as the site of a whole service: a socket file where the router listens, and each role with its usual arguments.

use super::{Folder, Role};

impl Folder {
    /// The address of a socket file here: known before anyone listens there, and nobody else's.
    pub(crate) fn socket(&self) -> String {
        format!("ipc://{}", self.join("socket").display())
    }

    /// A router at that address which keeps what waits in the folder `spill`, ready.
    pub(crate) fn router(&self, flags: &[&str]) -> Role {
        self.router_with("spill", flags)
    }

    /// A router at that address which keeps what waits in the folder `spill`, or nowhere with `none`; ready.
    pub(crate) fn router_with(&self, spill: &str, flags: &[&str]) -> Role {
        let address = self.socket();
        let arguments = ["-a", &address, "--spill", spill];
        let mut router = Role::start(self, "scbr", &[&arguments, flags].concat());
        router.event("ready");
        router
    }

    /// A source of `input` with the private key `key.prv`.
    pub(crate) fn source(&self, key: &str, input: &str, flags: &[&str]) -> Role {
        let (address, key) = (self.socket(), format!("{key}.prv"));
        let arguments = ["-c", &address, "-i", input, "-k", &key];
        Role::start(self, "source", &[&arguments, flags].concat())
    }

    /// A consumer in the domain of `key.pub` with the filters in `subs`.
    pub(crate) fn consumer(&self, key: &str, identity: &str, flags: &[&str]) -> Role {
        self.consumer_of(key, "subs", identity, flags)
    }

    /// A consumer in the domain of `key.pub` with the filters in the file `subscriptions`.
    pub(crate) fn consumer_of(
        &self,
        key: &str,
        subscriptions: &str,
        identity: &str,
        flags: &[&str],
    ) -> Role {
        let (address, key) = (self.socket(), format!("{key}.pub"));
        let arguments = ["-c", &address, "-i", subscriptions, "-k", &key];
        let identity = ["--identity", identity];
        Role::start(
            self,
            "consumer",
            &[&arguments[..], &identity, flags].concat(),
        )
    }
}
