//! ISA-L, Intel's library for storage, loaded from the system at run time if it is there.
//!
//! Invariant: the functions have the types of ISA-L's `erasure_code.h`, and get buffers of the lengths that it asks for.
//! It is the one C library that a measurement calls, and this its only `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uchar};

use anyhow::{Context, ensure};
use libloading::{Library, Symbol};

use super::engine::{Block, Engine, readable, writable};

/// Where the loader finds it on Debian, with and without the package for developers.
const NAMES: [&str; 2] = ["libisal.so.2", "libisal.so"];

type MakeMatrix = unsafe extern "C" fn(*mut c_uchar, c_int, c_int);
type Invert = unsafe extern "C" fn(*mut c_uchar, *mut c_uchar, c_int) -> c_int;
type MakeTables = unsafe extern "C" fn(c_int, c_int, *mut c_uchar, *mut c_uchar);
type Encode = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    *mut c_uchar,
    *const *const c_uchar,
    *const *mut c_uchar,
);

/// The library.
pub(super) struct Isal(Library);

impl Isal {
    /// Loads it.
    ///
    /// # Errors
    /// It is not installed, or not what it is taken for.
    pub(super) fn load() -> anyhow::Result<Self> {
        let loaded = NAMES.into_iter().find_map(|name| {
            // SAFETY: what ISA-L does when it is loaded is to choose its functions for the processor.
            unsafe { Library::new(name) }.ok()
        });
        let isal = Self(loaded.context("not installed: apt-get install libisal-dev")?);
        isal.symbol::<Encode>(c"ec_encode_data")?;
        Ok(isal)
    }

    fn symbol<F>(&self, name: &std::ffi::CStr) -> anyhow::Result<Symbol<'_, F>> {
        // SAFETY: callers name each function with its type in `erasure_code.h`.
        Ok(unsafe { self.0.get(name) }?)
    }

    /// The code of this block.
    ///
    /// # Errors
    /// The library lacks a function.
    pub(super) fn code(&self, block: &Block, parity: usize) -> anyhow::Result<IsalCode<'_>> {
        let data = block.code.data();
        let (k, m) = (c_int::try_from(data)?, c_int::try_from(parity)?);
        let mut matrix = vec![0; (data + parity) * data];
        let make_matrix = self.symbol::<MakeMatrix>(c"gf_gen_cauchy1_matrix")?;
        // SAFETY: there is a byte for each of k columns in each of k + m rows.
        unsafe { make_matrix(matrix.as_mut_ptr(), k + m, k) };
        // Without the first rows, as many as there is parity.
        let mut left = matrix[parity * data..].to_vec();
        let mut inverse = vec![0; data * data];
        let invert = self.symbol::<Invert>(c"gf_invert_matrix")?;
        // SAFETY: both matrices have k times k bytes.
        let singular = unsafe { invert(left.as_mut_ptr(), inverse.as_mut_ptr(), k) };
        ensure!(singular == 0, "a matrix of ISA-L is singular");
        Ok(IsalCode {
            encode: self.symbol(c"ec_encode_data")?,
            encoding: self.tables(&matrix[data * data..], k, m)?,
            decoding: self.tables(&inverse[..parity * data], k, m)?,
            parity: vec![vec![0; block.piece_bytes()]; parity],
            rebuilt: vec![vec![0; block.piece_bytes()]; parity],
        })
    }

    fn tables(&self, rows: &[u8], k: c_int, m: c_int) -> anyhow::Result<Vec<u8>> {
        let mut rows = rows.to_vec();
        let mut tables = vec![0; 32 * rows.len()];
        let make_tables = self.symbol::<MakeTables>(c"ec_init_tables")?;
        // SAFETY: there are m rows of k bytes, and 32 bytes of tables for each.
        unsafe { make_tables(k, m, rows.as_mut_ptr(), tables.as_mut_ptr()) };
        Ok(tables)
    }
}

/// One code, with tables for both ways.
pub(super) struct IsalCode<'a> {
    encode: Symbol<'a, Encode>,
    encoding: Vec<u8>,
    decoding: Vec<u8>,
    parity: Vec<Vec<u8>>,
    rebuilt: Vec<Vec<u8>>,
}

/// Makes `outputs` of `inputs`, which all have the same length, with tables for each pair of them.
fn run(
    encode: &Encode,
    tables: &mut [u8],
    inputs: &[&[u8]],
    outputs: &mut [Vec<u8>],
) -> anyhow::Result<()> {
    let mut outputs = writable(outputs);
    let length = inputs[0].len();
    ensure!(
        inputs.iter().all(|input| input.len() == length)
            && outputs.iter().all(|output| output.len() == length)
            && tables.len() == 32 * inputs.len() * outputs.len(),
        "rows and tables belong together"
    );
    let from: Vec<_> = inputs.iter().map(|input| input.as_ptr()).collect();
    let to: Vec<_> = outputs
        .iter_mut()
        .map(|output| output.as_mut_ptr())
        .collect();
    let (length, k, m) = (
        length.try_into()?,
        from.len().try_into()?,
        to.len().try_into()?,
    );
    // SAFETY: as ensured above, everything has the length that is passed on.
    unsafe {
        encode(
            length,
            k,
            m,
            tables.as_mut_ptr(),
            from.as_ptr(),
            to.as_ptr(),
        )
    };
    Ok(())
}

impl Engine for IsalCode<'_> {
    fn encode(&mut self, block: &Block) -> anyhow::Result<()> {
        run(
            &self.encode,
            &mut self.encoding,
            &block.pieces(),
            &mut self.parity,
        )
    }

    fn parity(&self) -> Option<&[Vec<u8>]> {
        Some(&self.parity)
    }

    fn decode(&mut self, block: &Block) -> anyhow::Result<()> {
        let mut pieces = block.pieces().split_off(self.parity.len());
        pieces.extend(readable(&self.parity));
        run(&self.encode, &mut self.decoding, &pieces, &mut self.rebuilt)
    }

    fn rebuilt(&self) -> Vec<u8> {
        self.rebuilt.concat()
    }
}
