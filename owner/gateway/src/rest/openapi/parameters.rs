//! What stands in paths, and headers that several paths take.

use utoipa::IntoParams;

macro_rules! path_parameters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(IntoParams)]
        #[into_params(parameter_in = Path)]
        #[allow(dead_code, reason = "the document alone is made of it")]
        pub(in crate::rest) struct $name {
            $($(#[$field_doc])* $field: $kind,)*
        }
    )*};
}

path_parameters! {
    /// A datastore.
    DatastorePath {
        /// The datastore's name.
        #[param(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "readings")]
        datastore: String,
    }
    /// An object.
    ObjectPath {
        /// The datastore's name.
        #[param(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "readings")]
        datastore: String,
        /// The object's key: 1 to 1024 bytes of UTF-8, which may contain slashes, escaped or not.
        #[param(min_length = 1, max_length = 1024, example = "2026/11/readings.csv")]
        key: String,
    }
    /// A policy.
    PolicyPath {
        /// The policy's name.
        #[param(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "cold")]
        policy: String,
    }
    /// A location.
    LocationPath {
        /// The location's name.
        #[param(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "north-1")]
        location: String,
    }
    /// A job.
    JobPath {
        /// The job's id.
        #[param(minimum = 1, example = 7)]
        job: u64,
    }
    /// A token.
    TokenPath {
        /// The token's id.
        #[param(pattern = "^[0-9a-fA-F]{32}$", example = "0123456789abcdef0123456789abcdef")]
        token: String,
    }
    /// An upload.
    UploadPath {
        /// The upload's id, as it was told when the upload began.
        #[param(min_length = 1, max_length = 1600, pattern = "^[A-Za-z0-9_-]+$")]
        upload: String,
    }
    /// A part of an upload.
    PartPath {
        /// The upload's id, as it was told when the upload began.
        #[param(min_length = 1, max_length = 1600, pattern = "^[A-Za-z0-9_-]+$")]
        upload: String,
        /// The part's number.
        #[param(minimum = 1, maximum = 10000)]
        part: u32,
    }
}

macro_rules! header_parameters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(IntoParams)]
        #[into_params(parameter_in = Header)]
        #[allow(dead_code, reason = "the document alone is made of it")]
        pub(in crate::rest) struct $name {
            $($(#[$field_doc])* $field: String,)*
        }
    )*};
}

header_parameters! {
    /// Conditions of a request that reads.
    ReadHeaders {
        /// `*`, or quoted entity tags: read only if the object has one of them.
        #[param(rename = "If-Match", required = false, pattern = r#"^([*]|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#)]
        if_match,
        /// `*`, or quoted entity tags: answer 304 if the object has one of them.
        #[param(rename = "If-None-Match", required = false, pattern = r#"^([*]|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#)]
        if_none_match,
        /// A date: answer 304 if nothing changed since.
        #[param(rename = "If-Modified-Since", required = false)]
        if_modified_since,
        /// A date: read only if nothing changed since.
        #[param(rename = "If-Unmodified-Since", required = false)]
        if_unmodified_since,
    }
    /// Conditions of a request that writes or deletes.
    WriteHeaders {
        /// `*`, or quoted entity tags: only if there is such an object, or if the current one has one of them.
        #[param(rename = "If-Match", required = false, pattern = r#"^([*]|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#)]
        if_match,
        /// `*`: only if there is no such object. Quoted entity tags: not if the current one has one of them.
        #[param(rename = "If-None-Match", required = false, pattern = r#"^([*]|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#)]
        if_none_match,
    }
}
