//! An owner in front of one engine: it provisions, admits and publishes, without links.
//!
//! Invariant: the engine is handed the very bytes that a router would hand it.

use anyhow::{Context, bail};
use bytes::Bytes;
use sc_cbr::{
    BatchWriter, Cipher, Control, ControlBody, DomainKey, DomainSecrets, Engine, MessageKind,
    Origin, Processors, PublisherKeys, Receipt, Scope, SlowPolicy, control_cipher,
};
use sc_client::OsEntropy;
use sc_crypto::{Entropy, OwnerSecret, SealingPublicKey, Secret, VerifyingKey};
use sc_enclave::{
    ConfirmationKey, Program, Purpose, SecretsMessage, SimulatedPlatform, Transcript,
    simulation_development_key,
};
use sc_matching::{Publication, Subscription};
use sc_proto::cbr::{self, call::Call, reply::Reply};
use sc_proto::{Message, provision};

/// The owner's clock, which stands still, in milliseconds.
const TIME_MS: u64 = 1;
/// The end of all leases.
const LEASE_MS: u64 = 1_000_000;
/// Subscriptions of one admission.
const ADMITTED_AT_ONCE: usize = 1000;

/// The owner's end of a session.
pub(super) struct Session {
    engine: Engine,
    scope: Scope,
    keys: PublisherKeys,
    control: Cipher,
    counter: u64,
}

impl Session {
    /// An engine with these processors, provisioned by an owner of its own.
    ///
    /// # Errors
    /// The engine refused.
    pub(super) fn open(processors: Processors) -> anyhow::Result<Self> {
        let owner = OwnerSecret::generate(&mut OsEntropy);
        let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
        let engine = Engine::with_processors(Box::new(platform), processors);
        let secrets = DomainSecrets {
            floor: Origin::default(),
            key: DomainKey::new(Secret::random(&mut OsEntropy)),
            session: 1,
            start: 1,
            time_ms: TIME_MS,
            plain: false,
            owner: owner.public().clone(),
            certificate: owner.certificate(),
        };
        let scope = Scope {
            domain: owner.public().domain_id(),
            session: 1,
            party: owner.signing_key().verifying_key(),
            start: 1,
        };
        let session = Self {
            engine,
            scope,
            keys: PublisherKeys::new(&secrets.key.publisher_secret(&scope), false),
            control: control_cipher(&secrets.key, &scope, false),
            counter: 1,
        };
        session.provision(&owner, &secrets)?;
        Ok(session)
    }

    /// M1 to M4.
    fn provision(&self, owner: &OwnerSecret, secrets: &DomainSecrets) -> anyhow::Result<()> {
        let mut nonce = [0; 32];
        OsEntropy.fill(&mut nonce);
        let challenge = provision::Challenge {
            nonce: Bytes::copy_from_slice(&nonce),
            owner_key: Bytes::copy_from_slice(self.scope.party.as_bytes()),
            purpose: "cbr".into(),
        };
        let Reply::Offer(offer) = self.call(Call::Challenge(challenge))? else {
            bail!("the engine makes no offer");
        };
        let key = SealingPublicKey::from_bytes(&offer.kem_key).context("the offered key")?;
        let platform = SimulatedPlatform::new(simulation_development_key(), [0; 32]);
        let platform = sc_enclave::Attester::platform(&platform);
        let transcript = Transcript::new(&nonce, self.scope.party, Purpose::Cbr, platform, &key);
        let message = SecretsMessage::seal(
            &transcript,
            &nonce,
            &key,
            owner.signing_key(),
            &ConfirmationKey::random(&mut OsEntropy),
            &secrets.encode(),
            &mut OsEntropy,
        );
        match self.call(Call::Secrets(message))? {
            Reply::Opened(_) => Ok(()),
            other => bail!("the engine opens no session: {other:?}"),
        }
    }

    /// Admits the consumer of this number.
    ///
    /// # Errors
    /// The engine refused.
    pub(super) fn admit(
        &mut self,
        number: u32,
        subscriptions: impl Iterator<Item = (u64, Subscription)>,
    ) -> anyhow::Result<()> {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        let subscriptions: Vec<_> = subscriptions.collect();
        for some in subscriptions.chunks(ADMITTED_AT_ONCE) {
            let control = Control {
                time_ms: TIME_MS,
                body: ControlBody::Admit {
                    consumer: VerifyingKey::from_bytes(key),
                    delivery_key: Secret::from_bytes(key),
                    lease_until_ms: LEASE_MS,
                    slow: SlowPolicy::Block,
                    retention_ms: 0,
                    replace: false,
                    subscriptions: some.to_vec(),
                },
            };
            let call = self.seal(MessageKind::Control, &control.encode());
            let receipt = self.receipt(self.counter - 1, &self.handle(call))?;
            anyhow::ensure!(
                receipt.matched as usize == some.len(),
                "the engine did not admit: {receipt:?}"
            );
        }
        Ok(())
    }

    /// The counter and the sealed call of the next batch.
    ///
    /// # Errors
    /// The batch is too large.
    pub(super) fn batch(&mut self, publications: &[Publication]) -> anyhow::Result<(u64, Bytes)> {
        let mut writer = BatchWriter::default();
        for publication in publications {
            writer.push(publication, Some(&[7; 32]))?;
        }
        let origin = Origin {
            start: 1,
            number: self.counter,
        };
        let plaintext = writer.finish(origin, TIME_MS);
        Ok((self.counter, self.seal(MessageKind::Batch, &plaintext)))
    }

    fn seal(&mut self, kind: MessageKind, plaintext: &[u8]) -> Bytes {
        let cipher = match kind {
            MessageKind::Control => &self.control,
            _ => &self.keys.batch,
        };
        let mut ciphertext = Vec::new();
        cipher.seal(&self.scope, kind, self.counter, plaintext, &mut ciphertext);
        let sealed = cbr::Sealed {
            domain: Bytes::copy_from_slice(self.scope.domain.as_bytes()),
            session: self.scope.session,
            publisher: Bytes::copy_from_slice(self.scope.party.as_bytes()),
            start: self.scope.start,
            counter: self.counter,
            ciphertext: ciphertext.into(),
        };
        self.counter += 1;
        let call = match kind {
            MessageKind::Control => Call::Control(sealed),
            _ => Call::Batch(sealed),
        };
        cbr::Call { call: Some(call) }.encode_to_vec().into()
    }

    /// Has the engine answer one call. Never inlined, so that a profiler can be told to look at this alone.
    #[inline(never)]
    pub(super) fn handle(&self, call: Bytes) -> Bytes {
        self.engine
            .handle(call, &mut |bytes: &mut [u8]| OsEntropy.fill(bytes))
    }

    fn call(&self, call: Call) -> anyhow::Result<Reply> {
        let call = cbr::Call { call: Some(call) };
        let reply = cbr::Reply::decode(self.handle(call.encode_to_vec().into()))?;
        reply.reply.context("an empty reply")
    }

    /// Deliveries that the engine counted in its answer to message `counter`.
    ///
    /// # Errors
    /// It is no receipt of that message.
    pub(super) fn deliveries(&self, counter: u64, reply: &Bytes) -> anyhow::Result<u64> {
        Ok(self.receipt(counter, reply)?.deliveries)
    }

    fn receipt(&self, counter: u64, reply: &Bytes) -> anyhow::Result<Receipt> {
        let reply = cbr::Reply::decode(reply.clone())?.reply;
        let Some(Reply::Outcome(outcome)) = reply else {
            bail!("no outcome: {reply:?}");
        };
        let mut sealed = outcome.receipt.to_vec();
        let opened =
            self.keys
                .receipt
                .open(&self.scope, MessageKind::Receipt, counter, &mut sealed);
        Ok(Receipt::decode(
            opened.context("the receipt does not open")?,
        )?)
    }
}
