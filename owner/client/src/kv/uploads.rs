//! Multipart uploads: parts in any order and by several hands, then all of them at once an object.

use bytes::Bytes;
use prost::Message as _;
use sc_coder::parts_hash;
use sc_crypto::Plaintext;
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::problem::Code;

use super::listing::page;
use super::objects::{Condition, ObjectBody, Parent, Receipt, Segments};
use super::{KvClient, KvError, Listing, Metadata};

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The datastore.
    pub datastore: String,
    /// The object's key.
    pub key: Bytes,
    /// The version that it will be, which is also the upload's id.
    pub version: [u8; 16],
}

/// A part that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReceipt {
    /// Its number, 1 to 10000.
    pub part: u32,
    /// What completion must name it by.
    pub etag: String,
    /// Bytes of content.
    pub bytes: u64,
}

impl KvClient {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn create_upload(
        &self,
        datastore: &str,
        key: &[u8],
        policy: &str,
        metadata: &Metadata,
    ) -> Result<Upload, KvError> {
        let version = self.draw_version();
        let operation = Kind::CreateUpload(storage::CreateUpload {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version: Bytes::copy_from_slice(&version),
            policy: policy.to_owned(),
        });
        let secret = Plaintext::new(metadata.to_proto().encode_to_vec());
        self.ask(operation, &secret, &[], true).await?;
        Ok(Upload {
            datastore: datastore.to_owned(),
            key: Bytes::copy_from_slice(key),
            version,
        })
    }

    /// Stores a part, in place of an older one of its number. `etag`: what completion is to name it by; empty: made of its segments.
    ///
    /// # Errors
    /// [`KvError`]; the code `UPLOAD_GONE` where the upload is over.
    pub async fn put_part(
        &self,
        upload: &Upload,
        part: u32,
        etag: &str,
        body: ObjectBody,
    ) -> Result<PartReceipt, KvError> {
        let parent = Parent {
            datastore: &upload.datastore,
            key: &upload.key,
            version: upload.version,
            policy: "",
            part,
        };
        let mut segments = Segments::new(body);
        let sent = match segments.next().await? {
            Some(first) => self.put_segments(&parent, first, segments).await?,
            None => super::objects::Sent::default(),
        };
        let operation = Kind::CommitPart(storage::CommitPart {
            datastore: upload.datastore.clone(),
            key: upload.key.clone(),
            version: Bytes::copy_from_slice(&upload.version),
            part,
            bytes: sent.bytes,
            segments: sent.segments,
        });
        let secret = storage::PartReceipt {
            etag: etag.to_owned(),
        };
        let secret = Plaintext::new(secret.encode_to_vec());
        let answer = self.ask(operation, &secret, &[], true).await?;
        let receipt = storage::PartReceipt::decode(&answer.sealed[..])
            .map_err(|_| KvError::Malformed("a part's receipt"))?;
        Ok(PartReceipt {
            part,
            etag: receipt.etag,
            bytes: sent.bytes,
        })
    }

    /// Makes these parts, ascending by number, the object. `etag`: as for an object that is put.
    ///
    /// # Errors
    /// [`KvError`]; nothing is visible then, and the upload goes on, unless it is complete already: a repetition with the same parts is
    /// done, one with others an error.
    pub async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[(u32, String)],
        etag: &str,
        condition: &Condition,
    ) -> Result<Receipt, KvError> {
        let operation = Kind::CompleteUpload(storage::CompleteUpload {
            datastore: upload.datastore.clone(),
            key: upload.key.clone(),
            version: Bytes::copy_from_slice(&upload.version),
            parts: parts.iter().map(|(part, _)| *part).collect(),
            condition: condition.to_proto(),
        });
        let secret = storage::CompleteSecret {
            etags: parts.iter().map(|(_, etag)| etag.clone()).collect(),
            etag: etag.to_owned(),
        };
        let secret = Plaintext::new(secret.encode_to_vec());
        let answer = self.ask(operation, &secret, &[], true).await;
        let receipt = self
            .receipt(&upload.datastore, &upload.key, upload.version, answer)
            .await?;
        let named = parts.iter().map(|(part, etag)| (*part, etag.as_str()));
        if receipt.head.parts[..] != parts_hash(named) {
            return Err(KvError::Problem {
                code: Code::Exists,
                message: "the upload is complete already, of other parts".to_owned(),
            });
        }
        Ok(receipt)
    }

    /// Ends an upload without a trace.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn abort_upload(&self, upload: &Upload) -> Result<(), KvError> {
        self.abandon(&upload.datastore, &upload.key, upload.version)
            .await
    }

    /// Uploads that are under way, ascending by key.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn uploads(
        &self,
        datastore: &str,
        prefix: &[u8],
        cursor: &[u8],
        limit: u32,
    ) -> Result<Listing, KvError> {
        let operation = Kind::ListUploads(storage::ListUploads {
            datastore: datastore.to_owned(),
            prefix: Bytes::copy_from_slice(prefix),
            cursor: Bytes::copy_from_slice(cursor),
            limit,
        });
        page(self.ask(operation, &[], &[], true).await?)
    }

    /// Parts of an upload behind number `after`, as a JSON document: the store's word.
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn parts(&self, upload: &Upload, after: u32, limit: u32) -> Result<String, KvError> {
        let operation = Kind::ListParts(storage::ListParts {
            datastore: upload.datastore.clone(),
            key: upload.key.clone(),
            version: Bytes::copy_from_slice(&upload.version),
            after,
            limit,
        });
        let answer = self.ask(operation, &[], &[], true).await?;
        Ok(answer.done.document)
    }
}
