//! An owner, and the door between it and the engine.

use bytes::Bytes;
use sc_cbr::{
    BatchWriter, Cipher, Control, ControlBody, DomainKey, DomainSecrets, Engine, MessageKind,
    Origin, Processors, PublisherKeys, Receipt, Scope, control_cipher,
};
use sc_crypto::hash::sha256;
use sc_crypto::{OwnerSecret, SealingPublicKey, Secret, VerifyingKey};
use sc_enclave::{
    Attester, ConfirmationKey, Program, Purpose, SecretsMessage, SimulatedPlatform, Transcript,
    simulation_development_key,
};
use sc_matching::ascii::{self, Line};
use sc_matching::{Publication, Subscription};
use sc_proto::cbr::{self, call::Call, refusal::Reason, reply::Reply};
use sc_proto::{Message, provision};

use crate::consumer::Consumer;

/// The owner's clock when a session of these tests opens, milliseconds.
pub(crate) const OPENED_MS: u64 = 1_000_000;
/// A lease that no test outlives unless it means to.
pub(crate) const LEASE_MS: u64 = OPENED_MS + 1_000_000;

/// Bytes that differ at each call and are the same in each run.
pub(crate) struct Entropy(u64);

impl Entropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            chunk.copy_from_slice(&sha256(&self.0.to_le_bytes())[..chunk.len()]);
        }
    }
}

impl sc_crypto::Entropy for Entropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        Entropy::fill(self, bytes);
    }
}

pub(crate) fn identity(number: u8) -> OwnerSecret {
    OwnerSecret::from_seed(Secret::from_bytes([number; 32]))
}

pub(crate) fn subscription(constraints: &str) -> Subscription {
    match ascii::parse(&format!("0 0 S {constraints}")).unwrap() {
        Line::Subscription { subscription, .. } => subscription,
        Line::Publication(_) => unreachable!("the line says S"),
    }
}

pub(crate) fn publication(attributes: &str) -> Publication {
    match ascii::parse(&format!("0 0 P {attributes}")).unwrap() {
        Line::Publication(publication) => publication,
        Line::Subscription { .. } => unreachable!("the line says P"),
    }
}

/// The program with its generator.
pub(crate) struct Enclave {
    engine: Engine,
    entropy: Entropy,
}

impl Enclave {
    pub(crate) fn new() -> Self {
        Self::seeded(77)
    }

    /// A program whose keys no program with another seed has.
    pub(crate) fn seeded(seed: u64) -> Self {
        let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]);
        Self {
            engine: Engine::new(Box::new(platform)),
            entropy: Entropy::new(seed),
        }
    }

    /// As [`Self::new`], with these processors.
    pub(crate) fn with_processors(processors: Processors) -> Self {
        let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]);
        Self {
            engine: Engine::with_processors(Box::new(platform), processors),
            ..Self::new()
        }
    }

    /// Hands in raw bytes.
    pub(crate) fn handle(&mut self, request: impl Into<Bytes>) -> Reply {
        let entropy = &mut self.entropy;
        let reply = self
            .engine
            .handle(request.into(), &mut |bytes: &mut [u8]| entropy.fill(bytes));
        cbr::Reply::decode(reply).unwrap().reply.unwrap()
    }

    pub(crate) fn call(&mut self, call: Call) -> Reply {
        self.handle(cbr::Call { call: Some(call) }.encode_to_vec())
    }

    /// The reason of the refusal that `call` meets, with the counter it expects.
    pub(crate) fn refusal(&mut self, call: Call) -> (Reason, u64) {
        match self.call(call) {
            Reply::Refusal(refusal) => (refusal.reason(), refusal.expected),
            other => panic!("it was taken: {other:?}"),
        }
    }

    pub(crate) fn outcome(&mut self, call: Call) -> cbr::Outcome {
        match self.call(call) {
            Reply::Outcome(outcome) => outcome,
            other => panic!("it was not taken: {other:?}"),
        }
    }

    /// Suspends a consumer; the one notice of it.
    pub(crate) fn suspend(&mut self, scope: &Scope, consumer: &Consumer) -> cbr::Notice {
        only_notice(self.outcome(suspend(scope, consumer)))
    }

    /// Resumes a consumer; the one notice of it.
    pub(crate) fn resume(&mut self, scope: &Scope, consumer: &Consumer) -> cbr::Notice {
        only_notice(self.outcome(resume(scope, consumer)))
    }

    pub(crate) fn close(&mut self, scope: &Scope) {
        let close = cbr::Close {
            domain: Bytes::copy_from_slice(scope.domain.as_bytes()),
            session: scope.session,
        };
        assert_eq!(self.call(Call::Close(close)), Reply::Closed(cbr::Closed {}));
    }
}

fn only_notice(mut outcome: cbr::Outcome) -> cbr::Notice {
    assert!(outcome.receipt.is_empty());
    assert_eq!(outcome.notices.len(), 1);
    outcome.notices.remove(0)
}

pub(crate) fn suspend(scope: &Scope, consumer: &Consumer) -> Call {
    Call::Suspend(cbr::Suspend {
        domain: Bytes::copy_from_slice(scope.domain.as_bytes()),
        session: scope.session,
        consumer: Bytes::copy_from_slice(consumer.key.as_bytes()),
    })
}

pub(crate) fn resume(scope: &Scope, consumer: &Consumer) -> Call {
    Call::Resume(cbr::Resume {
        domain: Bytes::copy_from_slice(scope.domain.as_bytes()),
        session: scope.session,
        consumer: Bytes::copy_from_slice(consumer.key.as_bytes()),
    })
}

/// What one owner asks for when it provisions.
pub(crate) struct Wish {
    pub(crate) session: u64,
    pub(crate) start: u64,
    pub(crate) plain: bool,
}

impl Wish {
    pub(crate) fn session(session: u64) -> Self {
        Self {
            session,
            start: 1,
            plain: false,
        }
    }
}

/// M1 of `owner`.
pub(crate) fn challenge(owner: &OwnerSecret, nonce: [u8; 32]) -> provision::Challenge {
    provision::Challenge {
        nonce: Bytes::copy_from_slice(&nonce),
        owner_key: Bytes::copy_from_slice(owner.signing_key().verifying_key().as_bytes()),
        purpose: "cbr".into(),
    }
}

/// M2's key and the transcript that M3 is made for.
pub(crate) fn offered(
    owner: &OwnerSecret,
    nonce: [u8; 32],
    reply: &Reply,
) -> (SealingPublicKey, Transcript) {
    let Reply::Offer(offer) = reply else {
        panic!("no offer: {reply:?}");
    };
    let key = SealingPublicKey::from_bytes(&offer.kem_key).unwrap();
    let platform = SimulatedPlatform::new(simulation_development_key(), [9; 32]).platform();
    let signer = owner.signing_key().verifying_key();
    let transcript = Transcript::new(&nonce, signer, Purpose::Cbr, platform, &key);
    (key, transcript)
}

/// M3 with `plaintext` for secrets, and the key that M4 must prove.
pub(crate) fn secrets_message(
    enclave: &mut Enclave,
    owner: &OwnerSecret,
    plaintext: &[u8],
    entropy: &mut Entropy,
) -> (provision::Secrets, Transcript, ConfirmationKey) {
    let mut nonce = [0; 32];
    entropy.fill(&mut nonce);
    let reply = enclave.call(Call::Challenge(challenge(owner, nonce)));
    let (key, transcript) = offered(owner, nonce, &reply);
    let confirmation = ConfirmationKey::random(entropy);
    let message = SecretsMessage::seal(
        &transcript,
        &nonce,
        &key,
        owner.signing_key(),
        &confirmation,
        plaintext,
        entropy,
    );
    (message, transcript, confirmation)
}

pub(crate) fn domain_secrets(
    owner: &OwnerSecret,
    wish: &Wish,
    entropy: &mut Entropy,
) -> DomainSecrets {
    DomainSecrets {
        floor: Origin::default(),
        key: DomainKey::new(Secret::random(entropy)),
        session: wish.session,
        start: wish.start,
        time_ms: OPENED_MS,
        plain: wish.plain,
        owner: owner.public().clone(),
        certificate: owner.certificate(),
    }
}

/// The owner's end of one session.
pub(crate) struct Session {
    pub(crate) scope: Scope,
    pub(crate) keys: PublisherKeys,
    pub(crate) now_ms: u64,
    pub(crate) next_counter: u64,
    key: DomainKey,
    control: Cipher,
    next_origin: u64,
    plain: bool,
}

impl Session {
    /// Provisions `enclave`; a refusal is returned.
    pub(crate) fn try_open(
        enclave: &mut Enclave,
        owner: &OwnerSecret,
        wish: &Wish,
    ) -> Result<Self, Reason> {
        let mut entropy = Entropy::new(1000 + wish.session);
        let secrets = domain_secrets(owner, wish, &mut entropy);
        Self::provision(enclave, owner, secrets, &mut entropy)
    }

    pub(crate) fn provision(
        enclave: &mut Enclave,
        owner: &OwnerSecret,
        secrets: DomainSecrets,
        entropy: &mut Entropy,
    ) -> Result<Self, Reason> {
        let (message, transcript, confirmation) =
            secrets_message(enclave, owner, &secrets.encode(), entropy);
        match enclave.call(Call::Secrets(message)) {
            Reply::Opened(opened) => {
                let mac = opened.confirmation.as_ref().unwrap();
                confirmation.verify(&transcript, mac).unwrap();
                Ok(Self::new(owner, &secrets))
            }
            Reply::Refusal(refusal) => Err(refusal.reason()),
            other => panic!("neither opened nor refused: {other:?}"),
        }
    }

    pub(crate) fn open(enclave: &mut Enclave, owner: &OwnerSecret, session: u64) -> Self {
        Self::try_open(enclave, owner, &Wish::session(session)).unwrap()
    }

    fn new(owner: &OwnerSecret, secrets: &DomainSecrets) -> Self {
        let scope = Scope {
            domain: owner.public().domain_id(),
            session: secrets.session,
            party: owner.signing_key().verifying_key(),
            start: secrets.start,
        };
        Self {
            scope,
            keys: PublisherKeys::new(&secrets.key.publisher_secret(&scope), secrets.plain),
            control: control_cipher(&secrets.key, &scope, secrets.plain),
            key: DomainKey::new(secrets.key.secret().duplicate()),
            now_ms: OPENED_MS,
            next_counter: 1,
            next_origin: 1,
            plain: secrets.plain,
        }
    }

    /// The secret that the owner gives a publisher which it has registered.
    pub(crate) fn grant(&self, publisher: VerifyingKey, start: u64) -> Secret {
        let scope = Scope {
            party: publisher,
            start,
            ..self.scope
        };
        self.key.publisher_secret(&scope)
    }

    /// Seals `plaintext` under the next counter, which is thereby used.
    pub(crate) fn seal(&mut self, kind: MessageKind, plaintext: &[u8]) -> cbr::Sealed {
        let counter = self.next_counter;
        self.next_counter += 1;
        let cipher = match kind {
            MessageKind::Control => &self.control,
            _ => &self.keys.batch,
        };
        let mut ciphertext = Vec::new();
        cipher.seal(&self.scope, kind, counter, plaintext, &mut ciphertext);
        cbr::Sealed {
            domain: Bytes::copy_from_slice(self.scope.domain.as_bytes()),
            session: self.scope.session,
            publisher: Bytes::copy_from_slice(self.scope.party.as_bytes()),
            start: self.scope.start,
            counter,
            ciphertext: ciphertext.into(),
        }
    }

    pub(crate) fn control(&mut self, body: ControlBody) -> Call {
        let control = Control {
            time_ms: self.now_ms,
            body,
        };
        Call::Control(self.seal(MessageKind::Control, &control.encode()))
    }

    /// The bytes of a batch, whose payload `i` is `payload(counter, i)`, and the sealed payloads.
    pub(crate) fn batch_bytes(&mut self, publications: &[Publication]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let origin = Origin {
            start: self.scope.start,
            number: self.next_origin,
        };
        self.next_origin += 1;
        let sequence = (&self.scope, &self.keys, self.next_counter);
        write_batch(sequence, origin, self.now_ms, publications, self.plain)
    }

    pub(crate) fn batch(&mut self, publications: &[Publication]) -> (Call, Vec<Vec<u8>>) {
        let (bytes, payloads) = self.batch_bytes(publications);
        (Call::Batch(self.seal(MessageKind::Batch, &bytes)), payloads)
    }

    /// Opens the receipt of message `counter`.
    pub(crate) fn receipt(&self, counter: u64, outcome: &cbr::Outcome) -> Receipt {
        let mut bytes = outcome.receipt.to_vec();
        let opened = self
            .keys
            .receipt
            .open(&self.scope, MessageKind::Receipt, counter, &mut bytes);
        let receipt = Receipt::decode(opened.unwrap()).unwrap();
        assert_eq!(receipt.counter, counter);
        receipt
    }

    /// Sends a control message and returns its receipt and the notices that it caused.
    pub(crate) fn tell(
        &mut self,
        enclave: &mut Enclave,
        body: ControlBody,
    ) -> (Receipt, Vec<cbr::Notice>) {
        let call = self.control(body);
        let outcome = enclave.outcome(call);
        (
            self.receipt(self.next_counter - 1, &outcome),
            outcome.notices,
        )
    }

    /// Sends a batch; returns its receipt, its notices and its sealed payloads.
    pub(crate) fn publish(
        &mut self,
        enclave: &mut Enclave,
        publications: &[&str],
    ) -> (Receipt, Vec<cbr::Notice>, Vec<Vec<u8>>) {
        let publications: Vec<_> = publications.iter().map(|text| publication(text)).collect();
        let (call, payloads) = self.batch(&publications);
        let outcome = enclave.outcome(call);
        (
            self.receipt(self.next_counter - 1, &outcome),
            outcome.notices,
            payloads,
        )
    }

    pub(crate) fn admit(
        &mut self,
        enclave: &mut Enclave,
        consumer: &Consumer,
        subscriptions: &[(u64, &str)],
    ) -> Receipt {
        self.tell(enclave, consumer.admission(false, subscriptions))
            .0
    }
}

/// The batch `counter` of a publisher, whose payload `i` is `payload(counter, i)`, and its sealed payloads.
pub(crate) fn write_batch(
    (scope, keys, counter): (&Scope, &PublisherKeys, u64),
    origin: Origin,
    time_ms: u64,
    publications: &[Publication],
    plain: bool,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut writer = BatchWriter::default();
    let mut data = scope.payload_data(counter);
    let mut payloads = Vec::new();
    for (index, publication) in (0..).zip(publications) {
        let plaintext = payload(counter, index);
        let mut sealed = Vec::new();
        match keys.payload_key(counter, index) {
            Some(key) => key.seal(data.of(index), &plaintext, &mut sealed),
            None => sealed = plaintext,
        }
        let hash = (!plain).then(|| sha256(&sealed));
        writer.push(publication, hash.as_ref()).unwrap();
        payloads.push(sealed);
    }
    (writer.finish(origin, time_ms), payloads)
}

/// The payload that these tests give publication `index` of batch `counter`.
pub(crate) fn payload(counter: u64, index: u32) -> Vec<u8> {
    format!("payload {index} of batch {counter}").into_bytes()
}

/// `bytes` with each of its bits flipped in turn, or one bit of each byte where there are many.
pub(crate) fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let step = if bytes.len() > 200 { 11 } else { 1 };
    (0..bytes.len() * 8).step_by(step).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// `bytes` cut at every length, and lengthened.
pub(crate) fn resized(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let longer = [&[0][..], &[0xff], &[0; 16]].map(|more| [bytes, more].concat());
    (0..bytes.len())
        .map(|length| bytes[..length].to_vec())
        .chain(longer)
}
