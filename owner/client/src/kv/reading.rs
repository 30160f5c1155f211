//! Objects are read: range after range of one version, the next ones asked for while one is handed on.
//!
//! Invariant: what is handed on is contiguous, of one version, and was sealed for this place of it; a few segments are held at once.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use prost::Message as _;
use sc_proto::storage::{self, operation::Operation as Kind};

use super::objects::SEGMENT_BYTES;
use super::{Answer, Head, KvClient, KvError};

/// Ranges that are asked for at once.
const WINDOW: usize = 2;

/// Every byte of an object.
pub const RANGE_WHOLE: Range<u64> = 0..u64::MAX;

/// An object that is being read.
pub struct ObjectReader {
    /// What it is.
    pub head: Head,
    /// Which of its bytes come.
    pub range: Range<u64>,
    client: KvClient,
    datastore: String,
    first: Vec<Bytes>,
    first_end: u64,
    step: u64,
}

impl KvClient {
    /// What a version is; the current one without `version`.
    ///
    /// # Errors
    /// [`KvError`]; the code `NOT_FOUND` for what is not there or is a delete marker.
    pub async fn head(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<[u8; 16]>,
    ) -> Result<Head, KvError> {
        let answer = self.get_once(datastore, key, version, 0, 0).await?;
        head_of(&answer, key, version)
    }

    /// Begins to read bytes of an object; a range that goes beyond its end stops there.
    ///
    /// # Errors
    /// [`KvError`], as for [`Self::head`]; the code `RANGE` where the range begins at the end or behind it, unless it is all of an empty
    /// object.
    pub async fn get(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<[u8; 16]>,
        range: Range<u64>,
    ) -> Result<ObjectReader, KvError> {
        let wanted = range.end.saturating_sub(range.start);
        let length = wanted.min(SEGMENT_BYTES as u64);
        let answer = self
            .get_once(datastore, key, version, range.start, length)
            .await?;
        let head = head_of(&answer, key, version)?;
        let range = range.start..range.end.min(head.bytes).max(range.start);
        let segment_end = answer.done.segment_bytes;
        let (first, first_end) = contiguous(answer, range.start..range.end)?;
        if first_end == range.start && !range.is_empty() {
            return Err(KvError::Malformed("nothing of what was asked for"));
        }
        let step = segment_end
            .saturating_sub(range.start)
            .clamp(1 << 20, SEGMENT_BYTES as u64);
        Ok(ObjectReader {
            head,
            range,
            client: self.clone(),
            datastore: datastore.to_owned(),
            first,
            first_end,
            step,
        })
    }

    async fn get_once(
        &self,
        datastore: &str,
        key: &[u8],
        version: Option<[u8; 16]>,
        offset: u64,
        length: u64,
    ) -> Result<Answer, KvError> {
        let operation = Kind::GetObject(storage::GetObject {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: version.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it)),
            offset,
            length,
        });
        self.ask(operation, &[], &[], true).await
    }

    /// All of `range`, which lies within the version, in however many answers it takes.
    async fn get_range(
        &self,
        datastore: &str,
        key: &[u8],
        version: [u8; 16],
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, KvError> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let length = range.end - at;
            let answer = self
                .get_once(datastore, key, Some(version), at, length)
                .await?;
            head_of(&answer, key, Some(version))?;
            let (more, end) = contiguous(answer, at..range.end)?;
            if end == at {
                return Err(KvError::Malformed("nothing of what was asked for"));
            }
            pieces.extend(more);
            at = end;
        }
        Ok(pieces)
    }
}

impl ObjectReader {
    /// The content, in pieces as they come.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, KvError>> + Send + 'static {
        let Self {
            head,
            range,
            client,
            datastore,
            first,
            first_end,
            step,
        } = self;
        let version: [u8; 16] = head.version[..].try_into().unwrap_or_default();
        let starts = (first_end..range.end).step_by(usize::try_from(step).unwrap_or(SEGMENT_BYTES));
        let rest = stream::iter(starts)
            .map(move |start| {
                let (client, datastore, key) =
                    (client.clone(), datastore.clone(), head.key.clone());
                let range = start..range.end.min(start + step);
                async move { client.get_range(&datastore, &key, version, range).await }
            })
            .buffered(WINDOW)
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
            .try_flatten();
        stream::iter(first.into_iter().map(Ok)).chain(rest)
    }

    /// All of it at once: for what is known to be small.
    ///
    /// # Errors
    /// [`KvError`], as for each piece.
    pub async fn read_all(self) -> Result<Bytes, KvError> {
        let mut pieces: Vec<Bytes> = self.into_stream().try_collect().await?;
        if pieces.len() == 1 {
            return Ok(pieces.remove(0));
        }
        Ok(pieces.concat().into())
    }
}

fn head_of(answer: &Answer, key: &[u8], version: Option<[u8; 16]>) -> Result<Head, KvError> {
    let head = Head::decode(&answer.sealed[..]).map_err(|_| KvError::Malformed("a head"))?;
    let is_asked_for = head.key[..] == *key
        && head.version.len() == 16
        && version.is_none_or(|version| head.version[..] == version);
    if !is_asked_for {
        return Err(KvError::Malformed("another object than was asked for"));
    }
    Ok(head)
}

/// The chunks, if they follow each other from the range's start and stay within it; and where they end.
fn contiguous(answer: Answer, range: Range<u64>) -> Result<(Vec<Bytes>, u64), KvError> {
    let mut at = range.start;
    let mut pieces = Vec::with_capacity(answer.chunks.len());
    for (offset, plain) in answer.chunks {
        if offset != at || plain.is_empty() {
            return Err(KvError::Malformed("chunks that do not follow each other"));
        }
        at += plain.len() as u64;
        pieces.push(plain);
    }
    if at > range.end {
        return Err(KvError::Malformed("more than was asked for"));
    }
    Ok((pieces, at))
}
