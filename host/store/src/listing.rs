//! Pages of objects, versions, uploads, and of what carries a tag.

use bytes::{BufMut, Bytes, BytesMut};
use sc_metadata::{Cursor, TenantId, VersionId};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::Done;

use crate::error::Problem;
use crate::get::stored_head;
use crate::put::unexpected;
use crate::store::{Store, for_coder, id};

/// Entries of a page at most.
const PAGE_MAX: u32 = 1000;

impl Store {
    /// A `ListObjects`.
    pub(crate) async fn list_objects(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::ListObjects,
    ) -> Result<Done, Problem> {
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let limit = page_size(operation.limit)?;
        let cursor = decode_cursor(&operation.cursor)?;
        let delimiter = Some(&operation.delimiter[..]).filter(|it| !it.is_empty());
        let (catalog, prefix) = (&self.catalog, &operation.prefix[..]);
        let page = if operation.versions {
            catalog
                .list_versions(datastore.id, prefix, delimiter, cursor.as_ref(), limit)
                .await?
        } else {
            catalog
                .list(datastore.id, prefix, delimiter, cursor.as_ref(), limit)
                .await?
        };
        let heads = page.versions.iter().map(stored_head).collect();
        let sealed = self.open_heads(tenant, request, &datastore, heads).await?;
        Ok(Done {
            sealed: Some(sealed),
            prefixes: page.prefixes,
            cursor: page.next.as_ref().map_or_else(Bytes::new, encode_cursor),
            ..Default::default()
        })
    }

    /// A `SearchObjects`.
    pub(crate) async fn search_objects(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::SearchObjects,
    ) -> Result<Done, Problem> {
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let limit = page_size(operation.limit)?;
        let call = Call::BlindTag(coder::BlindTag {
            request: Some(request.clone()),
            datastore: for_coder(&datastore),
        });
        let Reply::TagBlinded(blinded) = self.coders.call(tenant, call, &[]).await?.0 else {
            return Err(unexpected());
        };
        let tag = id(&blinded.tag, "a blind tag")?;
        let after = Some(operation.cursor.clone()).filter(|it| !it.is_empty());
        let found = self
            .catalog
            .search(datastore.id, tag, after.as_ref(), limit)
            .await?;
        let cursor = if found.len() == limit {
            found.last().map(|it| it.key.clone()).unwrap_or_default()
        } else {
            Bytes::new()
        };
        let heads = found.iter().map(stored_head).collect();
        let sealed = self.open_heads(tenant, request, &datastore, heads).await?;
        Ok(Done {
            sealed: Some(sealed),
            cursor,
            ..Default::default()
        })
    }

    /// A `ListUploads`.
    pub(crate) async fn list_uploads(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        operation: &storage::ListUploads,
    ) -> Result<Done, Problem> {
        let datastore = self.datastore(tenant, &operation.datastore).await?;
        let limit = page_size(operation.limit)?;
        let after = match operation.cursor.split_last_chunk::<16>() {
            Some((key, version)) => {
                let key = operation.cursor.slice_ref(key);
                Some((key, VersionId(*version)))
            }
            None if operation.cursor.is_empty() => None,
            None => return Err(Problem::malformed("the cursor is not one of this store's")),
        };
        let uploads = self
            .catalog
            .uploads(datastore.id, &operation.prefix, after, limit)
            .await?;
        let cursor = match uploads.last() {
            Some(last) if uploads.len() == limit => {
                Bytes::from([&last.key[..], &last.version.0].concat())
            }
            _ => Bytes::new(),
        };
        let heads = uploads.into_iter().filter_map(|it| {
            Some(coder::StoredHead {
                key: it.key,
                version: Bytes::copy_from_slice(&it.version.0),
                head: it.upload?,
            })
        });
        let heads = heads.collect();
        let sealed = self.open_heads(tenant, request, &datastore, heads).await?;
        Ok(Done {
            sealed: Some(sealed),
            cursor,
            ..Default::default()
        })
    }

    async fn open_heads(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        datastore: &sc_metadata::Datastore,
        heads: Vec<coder::StoredHead>,
    ) -> Result<coder::Sealed, Problem> {
        let call = Call::OpenHeads(coder::OpenHeads {
            request: Some(request.clone()),
            datastore: for_coder(datastore),
            heads,
        });
        match self.coders.call(tenant, call, &[]).await?.0 {
            Reply::Sealed(sealed) => Ok(sealed),
            _ => Err(unexpected()),
        }
    }
}

pub(crate) fn page_size(limit: u32) -> Result<usize, Problem> {
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(limit as usize);
    }
    Err(Problem::malformed(&format!(
        "a page has 1 to {PAGE_MAX} entries, not {limit}"
    )))
}

/// A cursor: what it is (0 a key, 1 a common prefix, 2 a version), for a version its number, then the key.
fn encode_cursor(cursor: &Cursor) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + cursor.key.len());
    match (cursor.is_prefix, cursor.number) {
        (true, _) => out.put_u8(1),
        (false, None) => out.put_u8(0),
        (false, Some(number)) => {
            out.put_u8(2);
            out.put_u64_le(number);
        }
    }
    out.put_slice(&cursor.key);
    out.freeze()
}

fn decode_cursor(bytes: &Bytes) -> Result<Option<Cursor>, Problem> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let malformed = || Problem::malformed("the cursor is not one of this store's");
    let (number, key) = match kind {
        0 | 1 => (None, rest),
        2 => {
            let (number, key) = rest.split_first_chunk::<8>().ok_or_else(malformed)?;
            (Some(u64::from_le_bytes(*number)), key)
        }
        _ => return Err(malformed()),
    };
    if key.is_empty() {
        return Err(malformed());
    }
    Ok(Some(Cursor {
        key: bytes.slice_ref(key),
        number,
        is_prefix: *kind == 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for (number, is_prefix) in [(None, false), (None, true), (Some(7), false)] {
            let cursor = Cursor {
                key: Bytes::from_static(b"some/key"),
                number,
                is_prefix,
            };

            let read = decode_cursor(&encode_cursor(&cursor)).unwrap();

            assert_eq!(read, Some(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bytes in [&[0][..], &[3, 1], &[2, 1, 2]] {
            assert!(decode_cursor(&Bytes::copy_from_slice(bytes)).is_err());
        }
    }
}
