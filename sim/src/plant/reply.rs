//! Bugs planted in what the trusted program answers: its notices are opened, changed and sealed again, as only the program could.

use bytes::Bytes;
use sc_cbr::{DeliveryKeys, MessageKind, Scope};
use sc_crypto::VerifyingKey;
use sc_proto::Message as _;
use sc_proto::cbr::{self, call, reply};

use super::Plant;
use crate::oracle::{self, Oracle};

/// Where the kind of a notice stands, and where the rest begins: after version and time.
const KIND: usize = 9;
const HEARTBEAT: u8 = 1;
const MISSED: u8 = 5;
/// Length of one publisher in a heartbeat, and where the number of the last batch taken begins in it.
const COVERAGE: usize = 64;
const TAKEN_NUMBER: usize = 56;

/// The answer with its bug, if there is anything in it to spoil.
pub(super) fn spoil(
    plant: Plant,
    oracle: &Oracle,
    request: &Bytes,
    reply: &Bytes,
) -> Option<Bytes> {
    let call = cbr::Call::decode(request.clone()).ok()?.call?;
    let (domain, session) = match call {
        call::Call::Control(sealed) => (sealed.domain, sealed.session),
        call::Call::Resume(resume) => (resume.domain, resume.session),
        _ => return None,
    };
    let mut answer = cbr::Reply::decode(reply.clone()).ok()?;
    let Some(reply::Reply::Outcome(outcome)) = &mut answer.reply else {
        return None;
    };
    if plant == Plant::OldStart {
        let registered = outcome.registered.as_mut()?;
        registered.start = registered.start.saturating_sub(1);
    }
    let session = oracle.session_of(&domain, session)?;
    for notice in &mut outcome.notices {
        let scope = Scope {
            party: VerifyingKey::from_bytes(oracle::array(&notice.consumer)),
            start: 0,
            ..session.scope
        };
        let secret = session.model.delivery_key(&scope.party)?;
        let cipher = DeliveryKeys::new(secret, &scope, false).notice;
        let mut sealed = notice.ciphertext.to_vec();
        let kind = MessageKind::Notice;
        let plaintext = cipher
            .open(&scope, kind, notice.counter, &mut sealed)
            .ok()?;
        let mut plaintext = plaintext.to_vec();
        change(plant, &mut plaintext);
        let mut out = Vec::new();
        cipher.seal(&scope, kind, notice.counter, &plaintext, &mut out);
        notice.ciphertext = out.into();
    }
    Some(answer.encode_to_vec().into())
}

fn change(plant: Plant, notice: &mut Vec<u8>) {
    let kind = notice[KIND];
    let empty = || [&[HEARTBEAT][..], &[0; 4], &[0], &[0; 4]].concat();
    match (plant, kind) {
        (Plant::NoCoverage, HEARTBEAT) | (Plant::NoMissed, MISSED) => {
            notice.truncate(KIND);
            notice.extend(empty());
        }
        (Plant::CoverageTooFar, HEARTBEAT) => {
            let listed = KIND + 5;
            let end = notice.len() - 5;
            for coverage in notice[listed..end].chunks_exact_mut(COVERAGE) {
                // Little-endian: some hundreds more.
                coverage[TAKEN_NUMBER + 1] = coverage[TAKEN_NUMBER + 1].saturating_add(4);
            }
        }
        _ => {}
    }
}
