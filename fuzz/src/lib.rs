//! One fuzz target per decoder of foreign bytes.
//!
//! A target is a function of bytes that panics when a promise is broken. An ordinary test replays the kept inputs of `corpus/`, damaged in
//! a few thousand ways; `cargo fuzz` runs the same functions for as long as one likes (`README.md`).

pub mod client;
pub mod cores;
pub mod door;
pub mod evidence;
pub mod fragments;
pub mod frames;
pub mod keys;
pub mod link;
pub mod matching;
pub mod pieces;
pub mod requests;
pub mod router;
pub mod sealed;
pub mod seeds;
pub mod settings;
pub mod spill;
pub mod storage;
pub mod text;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target under the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("answer", requests::answer),
    ("answer_body", requests::answer_body),
    ("ascii_line", matching::ascii_line),
    ("ascii_lines", matching::ascii_lines),
    ("ask", requests::ask),
    ("ask_body", requests::ask_body),
    ("batch", sealed::batch),
    ("coder_call", storage::coder_call),
    ("coder_request", storage::coder_request),
    ("coder_roots", settings::coder_roots),
    ("collateral", evidence::collateral),
    ("control", sealed::control),
    ("credentials", settings::credentials),
    ("datagrams", link::datagrams),
    ("domain_secrets", sealed::domain_secrets),
    ("door_call", door::call),
    ("door_session", door::session),
    ("evidence", evidence::evidence),
    ("fragment", fragments::fragment),
    ("frames", frames::frames),
    ("header_block", matching::header_block),
    ("key_bytes", keys::bytes),
    ("key_file", keys::file),
    ("list", text::list),
    ("location_settings", settings::location_settings),
    ("notice", sealed::notice),
    ("policy", text::policy),
    ("publisher_frames", client::publisher),
    ("receipt", sealed::receipt),
    ("roll", client::roll),
    ("roots", settings::roots),
    ("router_frames", router::frames),
    ("spill_segment", spill::segment),
    ("storage_policy", settings::storage_policy),
    ("store_frame", storage::store_frame),
    ("store_operation", storage::store_operation),
    ("stored_object", storage::stored_object),
    ("subscriber_frames", client::subscriber),
    ("subscription", matching::subscription),
];
