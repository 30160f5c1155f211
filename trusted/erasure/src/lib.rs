//! Arithmetic in GF(2^8), redundancy, and fragments.
#![no_std]
