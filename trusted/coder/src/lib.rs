//! The coding engine: seals and codes segments, decodes and opens them, and keeps the hierarchy of keys.
