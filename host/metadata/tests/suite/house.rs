//! A catalogue with one datastore, and short ways to say what happens in it.

use std::ops::Range;

use bytes::Bytes;
use sc_metadata::{
    Catalog, CatalogError, Commit, Committed, Condition, Datastore, DatastoreId, Fragment,
    FragmentState, Key, NewIntent, NewMarker, Part, Removed, Segment, SegmentId, TenantId, Version,
    VersionId,
};

pub(crate) const TENANT: TenantId = TenantId([7; 32]);
/// The time in tests in which it does not pass.
pub(crate) const NOW: u64 = 1_000;
/// The end of leases that are live at [`NOW`].
pub(crate) const LEASE: u64 = 2_000;
/// When garbage is due.
pub(crate) const DUE: u64 = 5_000;

pub(crate) fn datastore_id(number: u8) -> DatastoreId {
    DatastoreId([number; 16])
}

pub(crate) fn version_id(number: u64) -> VersionId {
    VersionId((u128::from(number) << 64 | 0xabcd).to_be_bytes())
}

pub(crate) fn key(text: &str) -> Key {
    Key::copy_from_slice(text.as_bytes())
}

/// A datastore as it is created.
pub(crate) fn datastore(number: u8, name: &str, versioning: bool) -> Datastore {
    Datastore {
        id: datastore_id(number),
        tenant: TENANT,
        name: name.to_owned(),
        policy: "standard".to_owned(),
        versioning,
        quota_bytes: None,
        used_bytes: 0,
        objects: 0,
        wrapped_key: Bytes::from_static(b"wrapped"),
        root_number: 1,
        created_ms: NOW,
    }
}

/// A segment of a version, of 100 bytes, in three fragments of 50 bytes.
pub(crate) fn segment(version: VersionId, part: u32, index: u32, attempt: u8) -> Segment {
    let mut id = [attempt; 32];
    id[..16].copy_from_slice(&version.0);
    id[16..20].copy_from_slice(&part.to_be_bytes());
    id[20..24].copy_from_slice(&index.to_be_bytes());
    let fragments = (0..3).map(|fragment| Fragment {
        index: fragment,
        location: format!("site-{fragment}"),
        name: format!("{version:?}-{part}-{index}-{attempt}-{fragment}"),
        state: FragmentState::Stored,
    });
    Segment {
        id: SegmentId(id),
        version,
        part,
        index,
        plain_bytes: 100,
        record: Bytes::from_static(b"record"),
        fragment_bytes: 50,
        fragments: fragments.collect(),
    }
}

/// The bytes that the fragments of one [`segment`] take.
pub(crate) const SEGMENT_STORED: u64 = 150;

/// A datastore in a catalogue.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) catalog: Catalog,
    pub(crate) id: DatastoreId,
}

impl House {
    pub(crate) async fn new(catalog: Catalog, versioning: bool) -> Self {
        let datastore = datastore(1, "readings", versioning);
        catalog.create_datastore(&datastore).await.unwrap();
        Self {
            catalog,
            id: datastore.id,
        }
    }

    pub(crate) fn intent(&self, key: &str, version: VersionId) -> NewIntent {
        NewIntent {
            version,
            datastore: self.id,
            key: self::key(key),
            lease_until_ms: LEASE,
            upload: None,
            policy: "standard".to_owned(),
            policy_version: 3,
            created_ms: NOW,
        }
    }

    /// Begins a PUT with one segment.
    pub(crate) async fn begin(&self, key: &str, number: u64) -> VersionId {
        let version = version_id(number);
        let segments = [segment(version, 0, 0, 0)];
        let intent = self.intent(key, version);
        self.catalog.begin(intent, &segments).await.unwrap();
        version
    }

    /// Begins an upload.
    pub(crate) async fn begin_upload(&self, key: &str, number: u64) -> VersionId {
        let version = version_id(number);
        let intent = NewIntent {
            upload: Some(Bytes::from_static(b"metadata")),
            ..self.intent(key, version)
        };
        self.catalog.begin(intent, &[]).await.unwrap();
        version
    }

    pub(crate) async fn commit(&self, version: VersionId) -> Result<Committed, CatalogError> {
        self.catalog.commit_object(commit(version)).await
    }

    /// A whole PUT of 100 bytes.
    pub(crate) async fn put(&self, key: &str, number: u64) -> VersionId {
        let version = self.begin(key, number).await;
        self.commit(version).await.unwrap();
        version
    }

    pub(crate) async fn add(&self, segment: &Segment) -> Result<(), CatalogError> {
        let segments = std::slice::from_ref(segment);
        self.catalog
            .add_segments(segment.version, segments, LEASE, NOW)
            .await
    }

    /// Adds segments of a part and makes them the part, of 100 bytes each.
    pub(crate) async fn put_part(
        &self,
        upload: VersionId,
        number: u32,
        segments: u32,
        attempt: u8,
    ) {
        let segments: Vec<_> = (0..segments)
            .map(|index| segment(upload, number, index, attempt))
            .collect();
        let added = self.catalog.add_segments(upload, &segments, LEASE, NOW);
        added.await.unwrap();
        let ids: Vec<_> = segments.iter().map(|segment| segment.id).collect();
        let part = part(number, 100 * segments.len() as u64);
        let put = self.catalog.put_part(upload, part, &ids, LEASE, NOW, DUE);
        put.await.unwrap();
    }

    pub(crate) async fn try_delete(
        &self,
        key: &str,
        condition: Condition,
        marker: Option<u64>,
    ) -> Result<Removed, CatalogError> {
        let marker = marker.map(new_marker);
        let key = self::key(key);
        self.catalog
            .delete_current(self.id, &key, condition, marker, NOW, DUE)
            .await
    }

    pub(crate) async fn delete(&self, key: &str, marker: Option<u64>) -> Removed {
        let deleted = self.try_delete(key, Condition::None, marker);
        deleted.await.unwrap()
    }

    pub(crate) async fn delete_version(&self, key: &str, version: VersionId) -> Removed {
        let key = self::key(key);
        let deleted = self.catalog.delete_version(self.id, &key, version, DUE);
        deleted.await.unwrap()
    }

    /// The key's object.
    pub(crate) async fn current(&self, key: &str) -> Option<VersionId> {
        let current = self
            .catalog
            .current(self.id, &self::key(key))
            .await
            .unwrap();
        current.map(|version| version.id)
    }

    /// What a GET of the key's object, or of a version, finds.
    pub(crate) async fn open(
        &self,
        key: &str,
        version: Option<VersionId>,
        segments: Range<u32>,
    ) -> Option<(Version, Bytes, Vec<Segment>)> {
        let key = self::key(key);
        let opened = self.catalog.open_version(self.id, &key, version, segments);
        opened.await.unwrap()
    }

    /// All versions of the datastore, markers too.
    pub(crate) async fn versions(&self) -> Vec<Version> {
        let page = self.catalog.list_versions(self.id, b"", None, None, 10_000);
        page.await.unwrap().versions
    }

    /// The keys of the datastore's objects.
    pub(crate) async fn keys(&self) -> Vec<Key> {
        let page = self
            .catalog
            .list(self.id, b"", None, None, 10_000)
            .await
            .unwrap();
        page.versions
            .into_iter()
            .map(|version| version.key)
            .collect()
    }

    /// What is garbage, by id, due by the end of time.
    pub(crate) async fn garbage(&self) -> Vec<SegmentId> {
        let garbage = self.catalog.garbage(u64::MAX, 10_000).await.unwrap();
        let mut ids: Vec<_> = garbage.into_iter().map(|segment| segment.id).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) async fn datastore(&self) -> Datastore {
        self.catalog
            .datastore_by_id(self.id)
            .await
            .unwrap()
            .unwrap()
    }
}

/// The commit of a plain PUT of 100 bytes, without a condition.
pub(crate) fn commit(version: VersionId) -> Commit {
    Commit {
        version,
        condition: Condition::None,
        size: 100,
        head: Bytes::from_static(b"head"),
        body: Bytes::from_static(b"body"),
        parts: None,
        segments: None,
        tags: Vec::new(),
        now_ms: NOW,
        garbage_due_ms: DUE,
    }
}

/// The commit of an upload.
pub(crate) fn completion(upload: VersionId, parts: &[u32]) -> Commit {
    Commit {
        size: 0,
        parts: Some(parts.to_vec()),
        ..commit(upload)
    }
}

pub(crate) fn part(number: u32, size: u64) -> Part {
    Part {
        number,
        size,
        record: format!("record-{number}").into(),
        created_ms: NOW,
    }
}

fn new_marker(number: u64) -> NewMarker {
    NewMarker {
        id: version_id(number),
        head: Bytes::from_static(b"marker"),
    }
}
