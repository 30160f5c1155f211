//! Whether every set of fragments that should rebuild does.

use alloc::vec;
use alloc::vec::Vec;

use crate::code::Code;
use crate::field;
use crate::redundancy::Redundancy;

/// Whether `fragment` with any k - 1 of `others` rebuilds a block; these are coefficients of fragments,
/// as their headers have them.
///
/// A repair asks it for the fragment that it would make before any packet is read: a combination drawn
/// at random may fail, and is drawn again. Cost: at most [`SUBSETS_MAX`](crate::SUBSETS_MAX) times the
/// square of the packets times those of a piece.
///
/// # Panics
/// If `redundancy` has no coefficients, or these are not of the length that it says.
#[must_use]
pub fn decodes_with_any(redundancy: Redundancy, fragment: &[u8], others: &[&[u8]]) -> bool {
    let bytes = redundancy.coefficient_bytes();
    assert!(
        bytes > 0 && fragment.len() == bytes && others.iter().all(|other| other.len() == bytes),
        "coefficients have the length that the redundancy says"
    );
    let mut basis = Basis::new(redundancy.packets());
    basis.add(fragment) && every(&mut basis, others, usize::from(redundancy.data()) - 1)
}

/// Draws until a fragment is given up that rebuilds with all others.
const DRAWS_MAX: usize = 200;

/// Coefficients with which the fragment `lost` can be made of a whole block beside `others`, whose
/// indices and coefficients these are: the code's own, unless they and some of `others` that a repair
/// has made do not rebuild; then such as do.
///
/// Where none are found, which takes thousands of sets, they are the code's own.
///
/// # Panics
/// As [`decodes_with_any`], and if there is no such fragment.
#[must_use]
pub fn coefficients_beside(code: &Code, lost: u8, others: &[(u8, &[u8])]) -> Vec<u8> {
    let redundancy = code.redundancy();
    let own = code.coefficients(lost);
    let are_own = |(index, coefficients): &(u8, &[u8])| *coefficients == code.coefficients(*index);
    if redundancy.recoding().is_none() || others.iter().all(are_own) {
        return own;
    }
    let beside: Vec<&[u8]> = others
        .iter()
        .map(|(_, coefficients)| *coefficients)
        .collect();
    let mut hasher = blake3::Hasher::new_derive_key("securecloud erasure coefficients beside v1");
    hasher.update(&[lost]).update(&own);
    for (index, coefficients) in others {
        hasher.update(&[*index]).update(coefficients);
    }
    let mut draws = hasher.finalize_xof();
    let mut tried = own.clone();
    for _ in 0..DRAWS_MAX {
        if decodes_with_any(redundancy, &tried, &beside) {
            return tried;
        }
        tried = vec![0; own.len()];
        draws.fill(&mut tried);
    }
    own
}

/// Whether `basis` stays independent with any `count` of `others`.
fn every(basis: &mut Basis, others: &[&[u8]], count: usize) -> bool {
    if count == 0 {
        return true;
    }
    (0..others.len()).all(|at| {
        let rest = &others[at + 1..];
        if rest.len() + 1 < count {
            return true;
        }
        let before = basis.rows.len();
        let holds = basis.add(others[at]) && every(basis, rest, count - 1);
        basis.rows.truncate(before);
        holds
    })
}

/// Independent rows, each without what the rows before it have in their leading columns.
struct Basis {
    columns: usize,
    /// Rows whose leading cell, in the column named, is 1.
    rows: Vec<(usize, Vec<u8>)>,
}

impl Basis {
    fn new(columns: usize) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds the rows of a fragment; `false`, and some of them added, if they depend on those there.
    fn add(&mut self, fragment: &[u8]) -> bool {
        fragment.chunks(self.columns).all(|row| {
            let mut row = row.to_vec();
            for (column, earlier) in &self.rows {
                let factor = row[*column];
                field::add_products(&mut row, factor, earlier);
            }
            let Some(column) = row.iter().position(|cell| *cell != 0) else {
                return false;
            };
            let scale = field::inverse(row[column]);
            for cell in &mut row {
                *cell = field::product(*cell, scale);
            }
            self.rows.push((column, row));
            true
        })
    }
}
