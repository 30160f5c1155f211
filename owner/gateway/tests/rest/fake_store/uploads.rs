//! Multipart uploads.

use std::collections::BTreeMap;

use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage;
use sc_proto::store::{self, problem::Code};

use super::{FakeStore, Refused, Upload, malformed, sealed_done, upload_gone};

impl FakeStore {
    pub(super) fn create_upload(
        &self,
        it: &storage::CreateUpload,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let call = coder::SealUpload {
            request: Some(request),
            datastore: Some(self.row(&it.datastore)?),
            created_ms: 1_700_000_000_000,
        };
        let Reply::UploadSealed(made) = self.ask(Call::SealUpload(call), &[])?.0 else {
            return Err(malformed());
        };
        let upload = Upload {
            sealed: made.upload,
            parts: BTreeMap::new(),
        };
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        self.with(|state| state.uploads.insert(name, upload));
        Ok(sealed_done(made.sealed.unwrap()))
    }

    pub(super) fn list_uploads(
        &self,
        it: &storage::ListUploads,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let heads = self.with(|state| {
            let uploads = state.uploads.iter();
            uploads
                .filter(|((datastore, key, _), _)| {
                    *datastore == it.datastore && key.starts_with(&it.prefix)
                })
                .map(|((_, key, version), upload)| coder::StoredHead {
                    key: key.clone(),
                    version: version.clone(),
                    head: upload.sealed.clone(),
                })
                .collect()
        });
        self.open_heads(&it.datastore, request, heads)
    }

    pub(super) fn commit_part(
        &self,
        it: &storage::CommitPart,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        if !self.with(|state| state.uploads.contains_key(&name)) {
            return Err(upload_gone());
        }
        let segments = self.segments_sent(&it.version, it.part);
        let call = coder::SealPart {
            request: Some(request),
            datastore: Some(self.row(&it.datastore)?),
            records: self.with(|state| {
                let segments = segments.iter();
                segments
                    .map(|id| state.segments[id].record.clone())
                    .collect()
            }),
        };
        let Reply::PartSealed(made) = self.ask(Call::SealPart(call), &[])?.0 else {
            return Err(malformed());
        };
        self.with(|state| {
            let upload = state.uploads.get_mut(&name).unwrap();
            upload.parts.insert(it.part, (made.part, segments));
        });
        Ok(sealed_done(made.sealed.unwrap()))
    }

    pub(super) fn complete(
        &self,
        it: &storage::CompleteUpload,
        request: coder::Request,
    ) -> Result<store::Done, Refused> {
        let name = (it.datastore.clone(), it.key.clone(), it.version.clone());
        self.check(&it.datastore, &it.key, it.condition.as_ref())?;
        let (sealed, chosen) = self.with(|state| {
            let upload = state.uploads.get(&name).ok_or_else(upload_gone)?;
            let chosen = it.parts.iter().map(|part| upload.parts.get(part).cloned());
            let chosen = chosen.collect::<Option<Vec<_>>>();
            let chosen = chosen.ok_or_else(|| (Code::Malformed, "no such part".to_owned()))?;
            Ok::<_, Refused>((upload.sealed.clone(), chosen))
        })?;
        let segments = chosen.iter().flat_map(|it| it.1.clone()).collect();
        let parts = chosen.into_iter().map(|it| it.0).collect();
        let done = self.commit(
            (&it.datastore, &it.key, &it.version),
            request,
            segments,
            sealed,
            parts,
        )?;
        self.with(|state| state.uploads.remove(&name));
        Ok(done)
    }
}
