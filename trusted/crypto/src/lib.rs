//! Ciphers, signatures, key derivation and key files.
