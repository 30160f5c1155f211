//! Objects are written: a small one in one request, a larger one segment by segment and then committed.
//!
//! Invariant: at most [`WINDOW`] segments of one object are held at once, whatever its size; a version id is drawn for each object and is
//! the same in every retry, so that a repeated commit is refused or finds itself done.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesOrdered, Stream, StreamExt as _};
use prost::Message as _;
use sc_coder::BLOCK_BYTES;
use sc_crypto::Plaintext;
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::problem::Code;

use super::{Head, KvClient, KvError, Pair};

/// Plaintext of the segments that this client makes, in bytes: four of them, sealed and open, are what one PUT holds at most.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;
/// Segments of one object that are on their way at once.
const WINDOW: usize = 2;

/// An object's content, as it comes.
pub type ObjectBody = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// What is to be true of the current object for a write or deletion to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Anything.
    #[default]
    None,
    /// There is none.
    Absent,
    /// There is one.
    Exists,
    /// It is this version.
    Version([u8; 16]),
}

impl Condition {
    pub(crate) fn to_proto(&self) -> Option<storage::Condition> {
        use storage::condition::Condition as Is;
        let condition = match self {
            Self::None => return None,
            Self::Absent => Is::Absent(true),
            Self::Exists => Is::Exists(true),
            Self::Version(version) => Is::Version(Bytes::copy_from_slice(version)),
        };
        Some(storage::Condition {
            condition: Some(condition),
        })
    }
}

/// What an object carries beside its content; sealed like it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// A media type; may be empty.
    pub content_type: String,
    /// Names and values of the user's own.
    pub metadata: Vec<(String, String)>,
    /// Tags; those that the datastore indexes can be searched for.
    pub tags: Vec<(String, String)>,
    /// What reads are told as the entity tag; empty: the version.
    pub etag: String,
    /// Algorithms and values, of the content.
    pub checksums: Vec<(String, String)>,
}

impl Metadata {
    pub(crate) fn to_proto(&self) -> storage::ObjectSecret {
        let pairs = |pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(name, value)| Pair {
                name: name.clone(),
                value: value.clone(),
            });
            pairs.collect()
        };
        storage::ObjectSecret {
            content_type: self.content_type.clone(),
            metadata: pairs(&self.metadata),
            tags: pairs(&self.tags),
            etag: self.etag.clone(),
            checksums: pairs(&self.checksums),
        }
    }
}

/// How an object is to be stored.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// The name of a storage policy; empty: the datastore's.
    pub policy: String,
    /// When to store at all.
    pub condition: Condition,
    /// What it carries.
    pub metadata: Metadata,
    /// How long the content must be, where that is known: a body that ends before is an error, and nothing is stored.
    pub length: Option<u64>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// As the coder has sealed it.
    pub head: Head,
    /// The version that this one replaced for good, in a datastore that keeps none.
    pub superseded: Option<[u8; 16]>,
}

impl KvClient {
    /// Stores an object whose content is at hand.
    ///
    /// # Errors
    /// [`KvError`]; nothing of it is visible then, unless the link was lost and could not be had again, which leaves it open.
    pub async fn put_bytes(
        &self,
        datastore: &str,
        key: &[u8],
        options: &PutOptions,
        content: Bytes,
    ) -> Result<Receipt, KvError> {
        let body = futures_util::stream::iter([Ok(content)]);
        self.put(datastore, key, options, Box::pin(body)).await
    }

    /// Stores an object as its content comes.
    ///
    /// # Errors
    /// [`KvError`], as for [`Self::put_bytes`].
    pub async fn put(
        &self,
        datastore: &str,
        key: &[u8],
        options: &PutOptions,
        body: ObjectBody,
    ) -> Result<Receipt, KvError> {
        let mut segments = Segments::new(body);
        let first = segments.next().await?.unwrap_or_default();
        let version = self.draw_version();
        if segments.is_over().await? {
            options.check_length(first.bytes)?;
            return self
                .put_whole(datastore, key, options, version, first)
                .await;
        }
        let parent = Parent {
            datastore,
            key,
            version,
            policy: &options.policy,
            part: 0,
        };
        let result = self.put_segments(&parent, first, segments).await;
        let sent = match result {
            Ok(sent) => options.check_length(sent.bytes).map(|()| sent),
            Err(error) => Err(error),
        };
        let committed = match sent {
            Ok(sent) => self.commit(&parent, options, sent).await,
            Err(error) => Err(error),
        };
        if committed.is_err() {
            // Whoever does not hear of it forgets it when the lease is over.
            let _ = self.abandon(datastore, key, version).await;
        }
        committed
    }

    async fn put_whole(
        &self,
        datastore: &str,
        key: &[u8],
        options: &PutOptions,
        version: [u8; 16],
        content: Segment,
    ) -> Result<Receipt, KvError> {
        let operation = Kind::PutObject(storage::PutObject {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: Bytes::copy_from_slice(&version),
            bytes: u32::try_from(content.bytes).expect("a segment is a few mebibytes"),
            policy: options.policy.clone(),
            condition: options.condition.to_proto(),
        });
        let secret = Plaintext::new(options.metadata.to_proto().encode_to_vec());
        let answer = self.ask(operation, &secret, &content.blocks, true).await;
        self.receipt(datastore, key, version, answer).await
    }

    /// Sends the first segment and all that follow, at most [`WINDOW`] at once.
    pub(crate) async fn put_segments(
        &self,
        parent: &Parent<'_>,
        first: Segment,
        mut rest: Segments,
    ) -> Result<Sent, KvError> {
        let mut under_way = FuturesOrdered::new();
        let mut sent = Sent::default();
        let mut index = 0;
        let mut next = Some(first);
        while let Some(segment) = next {
            sent.bytes += segment.bytes;
            under_way.push_back(self.put_segment(parent, index, segment));
            index += 1;
            if under_way.len() == WINDOW {
                sent.segments.extend(under_way.next().await.transpose()?);
            }
            next = rest.next().await?;
        }
        while let Some(segment) = under_way.next().await {
            sent.segments.push(segment?);
        }
        Ok(sent)
    }

    async fn put_segment(
        &self,
        parent: &Parent<'_>,
        index: u32,
        segment: Segment,
    ) -> Result<Bytes, KvError> {
        let bytes = u32::try_from(segment.bytes).expect("a segment is a few mebibytes");
        let operation = Kind::PutSegment(storage::PutSegment {
            datastore: parent.datastore.to_owned(),
            key: Bytes::copy_from_slice(parent.key),
            version: Bytes::copy_from_slice(&parent.version),
            bytes,
            policy: parent.policy.to_owned(),
            part: parent.part,
            index,
        });
        let answer = self.ask(operation, &[], &segment.blocks, true).await?;
        let receipt = storage::SegmentReceipt::decode(&answer.sealed[..])
            .map_err(|_| KvError::Malformed("a segment's receipt"))?;
        if receipt.bytes != bytes {
            return Err(KvError::Malformed("a segment's length"));
        }
        Ok(receipt.segment)
    }

    async fn commit(
        &self,
        parent: &Parent<'_>,
        options: &PutOptions,
        sent: Sent,
    ) -> Result<Receipt, KvError> {
        let operation = Kind::CommitObject(storage::CommitObject {
            datastore: parent.datastore.to_owned(),
            key: Bytes::copy_from_slice(parent.key),
            version: Bytes::copy_from_slice(&parent.version),
            bytes: sent.bytes,
            condition: options.condition.to_proto(),
        });
        let secret = storage::CommitSecret {
            segments: sent.segments,
            object: Some(options.metadata.to_proto()),
        };
        let secret = Plaintext::new(secret.encode_to_vec());
        let answer = self.ask(operation, &secret, &[], true).await;
        self.receipt(parent.datastore, parent.key, parent.version, answer)
            .await
    }

    /// What was stored, from an answer; or, where an earlier try of the same version turns out to have been done, from the store.
    pub(crate) async fn receipt(
        &self,
        datastore: &str,
        key: &[u8],
        version: [u8; 16],
        answer: Result<super::Answer, KvError>,
    ) -> Result<Receipt, KvError> {
        let answer = match answer {
            Err(error) if error.code() == Some(Code::Exists) => {
                return match self.head(datastore, key, Some(version)).await {
                    Ok(head) => Ok(Receipt {
                        head,
                        superseded: None,
                    }),
                    // It was stored, and has been replaced or deleted since.
                    Err(gone) if gone.code() == Some(Code::NotFound) => Err(error),
                    Err(other) => Err(other),
                };
            }
            other => other?,
        };
        let head = Head::decode(&answer.sealed[..])
            .map_err(|_| KvError::Malformed("the head of what was stored"))?;
        if head.version[..] != version || head.key[..] != *key {
            return Err(KvError::Malformed("another version than was stored"));
        }
        Ok(Receipt {
            head,
            superseded: answer.done.superseded[..].try_into().ok(),
        })
    }

    /// Ends the upload of a version without a trace.
    pub(crate) async fn abandon(
        &self,
        datastore: &str,
        key: &[u8],
        version: [u8; 16],
    ) -> Result<(), KvError> {
        let operation = Kind::AbandonObject(storage::AbandonObject {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: Bytes::copy_from_slice(&version),
        });
        self.ask(operation, &[], &[], true).await.map(drop)
    }
}

impl PutOptions {
    fn check_length(&self, bytes: u64) -> Result<(), KvError> {
        if self.length.is_some_and(|length| length != bytes) {
            return Err(KvError::Body(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

/// What segments belong to.
pub(crate) struct Parent<'p> {
    pub(crate) datastore: &'p str,
    pub(crate) key: &'p [u8],
    pub(crate) version: [u8; 16],
    pub(crate) policy: &'p str,
    pub(crate) part: u32,
}

/// Segments that are stored, in order.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) segments: Vec<Bytes>,
    pub(crate) bytes: u64,
}

/// One segment's plaintext, in blocks.
#[derive(Default)]
pub(crate) struct Segment {
    pub(crate) blocks: Vec<Block>,
    pub(crate) bytes: u64,
}

/// One block's plaintext, in the pieces in which it came: large ones are not put together before they are sealed.
#[derive(Default)]
pub(crate) struct Block {
    pieces: Vec<Bytes>,
    /// Small pieces that follow those.
    gathered: BytesMut,
}

/// From so many bytes on a piece is kept as it came; smaller ones would take more memory than they hold.
const PIECE_BYTES: usize = 16 << 10;

impl Block {
    fn push(&mut self, piece: Bytes) {
        if piece.len() < PIECE_BYTES {
            self.gathered.extend_from_slice(&piece);
            return;
        }
        if !self.gathered.is_empty() {
            self.pieces.push(self.gathered.split().freeze());
        }
        self.pieces.push(piece);
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        pieces.chain(core::iter::once(&self.gathered[..]))
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }
}

/// A body, cut into segments as it comes.
pub(crate) struct Segments {
    body: ObjectBody,
    /// What has come and is in no segment yet.
    waiting: VecDeque<Bytes>,
    is_over: bool,
}

impl Segments {
    pub(crate) fn new(body: ObjectBody) -> Self {
        Self {
            body,
            waiting: VecDeque::new(),
            is_over: false,
        }
    }

    /// The next segment, full but for the last one; none where the body is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Segment>, KvError> {
        let mut segment = Segment::default();
        while segment.bytes < SEGMENT_BYTES as u64 {
            let Some(block) = self.block().await? else {
                break;
            };
            segment.bytes += block.len() as u64;
            segment.blocks.push(block);
        }
        Ok((!segment.blocks.is_empty()).then_some(segment))
    }

    /// Whether nothing follows.
    pub(crate) async fn is_over(&mut self) -> Result<bool, KvError> {
        while self.waiting.is_empty() && !self.is_over {
            self.pull().await?;
        }
        Ok(self.waiting.is_empty())
    }

    async fn pull(&mut self) -> Result<(), KvError> {
        match self.body.next().await {
            Some(bytes) => {
                let bytes = bytes.map_err(KvError::Body)?;
                if !bytes.is_empty() {
                    self.waiting.push_back(bytes);
                }
            }
            None => self.is_over = true,
        }
        Ok(())
    }

    /// The next block, full but for the last one.
    async fn block(&mut self) -> Result<Option<Block>, KvError> {
        let mut block = Block::default();
        let mut wanted = BLOCK_BYTES;
        while wanted > 0 && !self.is_over().await? {
            let front = self.waiting.front_mut().expect("it is not over");
            let piece = front.split_to(wanted.min(front.len()));
            if front.is_empty() {
                self.waiting.pop_front();
            }
            wanted -= piece.len();
            block.push(piece);
        }
        Ok((wanted < BLOCK_BYTES).then_some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn however_a_body_comes_its_blocks_are_the_same() {
        let content: Vec<u8> = (0..3 * BLOCK_BYTES + 5)
            .map(|at| (at % 251) as u8)
            .collect();
        let cuts: [&[usize]; 5] = [
            &[content.len()],
            &[1],
            &[PIECE_BYTES, 7],
            &[3, PIECE_BYTES - 1, BLOCK_BYTES],
            &[0, BLOCK_BYTES + 1],
        ];
        for lengths in cuts {
            let mut rest = Bytes::from(content.clone());
            let mut pieces = Vec::new();
            for length in lengths.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                pieces.push(Ok(rest.split_to(rest.len().min(*length))));
            }
            let body = futures_util::stream::iter(pieces);
            let mut segments = Segments::new(Box::pin(body));

            let segment = segments.next().await.unwrap().unwrap();

            let blocks: Vec<Vec<u8>> = segment
                .blocks
                .iter()
                .map(|block| block.pieces().collect::<Vec<_>>().concat())
                .collect();
            let expected: Vec<&[u8]> = content.chunks(BLOCK_BYTES).collect();
            assert!(blocks == expected, "{lengths:?}");
            assert_eq!(segment.bytes, content.len() as u64);
            assert!(segments.next().await.unwrap().is_none());
        }
    }

    #[test]
    fn a_block_of_many_small_pieces_keeps_few() {
        let mut block = Block::default();
        for _ in 0..10_000 {
            block.push(Bytes::from_static(b"x"));
        }

        assert_eq!(block.pieces().count(), 1);
        assert_eq!(block.len(), 10_000);
    }
}
