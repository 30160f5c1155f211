//! The transcript of a handshake: what both signatures cover and what names the link.
//!
//! Invariant: every byte of both offers is in the transcript, each field behind its length, so two different
//! handshakes never share one; the two signers use different labels, so a signature cannot be reflected.
//! Source: docs/FORMATS.md, "Links"; known answers in `tests/vectors/transcript.txt`.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use crate::event::Role;
use crate::identity::PeerKey;
use crate::settings::Terms;

/// First field of the transcript.
const LABEL: &[u8] = b"securecloud-1 link";
/// First field of what the initiator signs.
const INITIATOR_LABEL: &[u8] = b"securecloud-1 link initiator";
/// First field of what the acceptor signs.
const ACCEPTOR_LABEL: &[u8] = b"securecloud-1 link acceptor";
/// Length of a hello's nonce, in bytes.
pub(crate) const NONCE_LEN: usize = 32;
/// Length of a link's name on the wire, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// A link's name on the wire: the first bytes of the hash of its transcript.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag(pub(crate) [u8; TAG_LEN]);

impl fmt::Debug for Tag {
    /// The first bytes alone: whoever knows a whole tag can end the link.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tag({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// What one side says of itself when a link opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) role: Role,
    pub(crate) key: PeerKey,
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) curve_key: Option<[u8; 32]>,
    pub(crate) terms: Terms,
}

/// The hash of both offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transcript([u8; 32]);

impl Transcript {
    pub(crate) fn new(initiator: &Offer, acceptor: &Offer) -> Self {
        let mut bytes = Vec::with_capacity(512);
        put(&mut bytes, LABEL);
        for offer in [initiator, acceptor] {
            put(&mut bytes, &role_number(offer.role).to_le_bytes());
            put(&mut bytes, &offer.key.0);
            put(&mut bytes, &offer.nonce);
            put(
                &mut bytes,
                offer.curve_key.as_ref().map_or(&[][..], |key| key),
            );
            put(&mut bytes, &offer.terms.control_window.to_le_bytes());
            put(&mut bytes, &offer.terms.data_window.to_le_bytes());
            put(&mut bytes, &offer.terms.max_frame.to_le_bytes());
        }
        Self(
            digest(&SHA256, &bytes)
                .as_ref()
                .try_into()
                .expect("SHA-256 has 32 bytes"),
        )
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag(self.0[..TAG_LEN]
            .try_into()
            .expect("a hash is longer than a tag"))
    }

    /// What the initiator signs.
    pub(crate) fn initiator_message(&self) -> Vec<u8> {
        self.message(INITIATOR_LABEL)
    }

    /// What the acceptor signs.
    pub(crate) fn acceptor_message(&self) -> Vec<u8> {
        self.message(ACCEPTOR_LABEL)
    }

    fn message(&self, label: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + label.len() + self.0.len());
        put(&mut bytes, label);
        put(&mut bytes, &self.0);
        bytes
    }
}

/// Appends one field behind its length (u32, little endian).
fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).expect("fields of a transcript are short");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(field);
}

/// A role's number in the transcript, the same as in `link.proto`.
fn role_number(role: Role) -> u32 {
    match role {
        Role::Router => 1,
        Role::Publisher => 2,
        Role::Subscriber => 3,
        Role::Client => 4,
        Role::Store => 5,
        Role::Coder => 6,
        Role::Backend => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{LinkKey, LinkSigner as _};

    fn offer(role: Role) -> Offer {
        Offer {
            role,
            key: PeerKey([1; 32]),
            nonce: [2; 32],
            curve_key: None,
            terms: Terms {
                control_window: 3,
                data_window: 4,
                max_frame: 5,
            },
        }
    }

    #[test]
    fn every_field_of_either_offer_changes_the_tag() {
        let base = (offer(Role::Publisher), offer(Role::Router));
        let changes: [fn(&mut Offer); 7] = [
            |o| o.role = Role::Subscriber,
            |o| o.key.0[31] ^= 1,
            |o| o.nonce[0] ^= 1,
            |o| o.curve_key = Some([0; 32]),
            |o| o.terms.control_window += 1,
            |o| o.terms.data_window += 1,
            |o| o.terms.max_frame += 1,
        ];

        let original = Transcript::new(&base.0, &base.1).tag();

        for change in changes {
            let mut one = base.clone();
            change(&mut one.0);
            assert_ne!(Transcript::new(&one.0, &one.1).tag(), original);
            let mut other = base.clone();
            change(&mut other.1);
            assert_ne!(Transcript::new(&other.0, &other.1).tag(), original);
        }
        assert_ne!(
            Transcript::new(&base.1, &base.0).tag(),
            original,
            "the two sides are not interchangeable"
        );
    }

    /// One block of the vectors: its named values, in hexadecimal.
    fn vector(title: &str) -> impl Fn(&str) -> String {
        let text = include_str!("../tests/vectors/transcript.txt");
        let (_, block) = text
            .split_once(&format!("# {title}\n"))
            .expect("the vectors have this block");
        move |name| {
            let value = block
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} = ")));
            value.expect("the block has this value").to_owned()
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hash_link_id_and_signatures_are_those_of_the_vectors() {
        for (title, curve) in [("without CURVE", false), ("with CURVE", true)] {
            let vector = vector(title);
            let (initiator_key, acceptor_key) =
                (LinkKey::from_seed(&[2; 32]), LinkKey::from_seed(&[1; 32]));
            let initiator = Offer {
                role: Role::Publisher,
                key: PeerKey(initiator_key.public_key()),
                nonce: std::array::from_fn(|place| place as u8),
                curve_key: curve.then_some([3; 32]),
                terms: Terms {
                    control_window: 1 << 20,
                    data_window: 1 << 23,
                    max_frame: 1 << 22,
                },
            };
            let acceptor = Offer {
                role: Role::Router,
                key: PeerKey(acceptor_key.public_key()),
                nonce: std::array::from_fn(|place| place as u8 + 32),
                curve_key: curve.then_some([4; 32]),
                terms: Terms {
                    control_window: 1 << 16,
                    data_window: 1 << 17,
                    max_frame: 1 << 15,
                },
            };

            let transcript = Transcript::new(&initiator, &acceptor);

            assert_eq!(hex(&transcript.0), vector("hash"));
            assert_eq!(hex(&transcript.tag().0), vector("link_id"));
            let signature = initiator_key.sign(&transcript.initiator_message());
            assert_eq!(hex(&signature), vector("initiator_signature"));
            let signature = acceptor_key.sign(&transcript.acceptor_message());
            assert_eq!(hex(&signature), vector("acceptor_signature"));
        }
    }

    #[test]
    fn the_two_sides_sign_different_messages() {
        let transcript = Transcript::new(&offer(Role::Publisher), &offer(Role::Router));

        assert_ne!(
            transcript.initiator_message(),
            transcript.acceptor_message()
        );
    }
}
