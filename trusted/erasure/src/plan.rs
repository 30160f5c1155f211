//! How a lost fragment is made anew of recoded packets: who sends which combinations of what it holds,
//! and how these are combined.
//!
//! Invariant: the new fragment rebuilds with any k - 1 of the others, because a plan that would not is
//! not made. A plan follows from what it is made of, so whoever has the same fragments makes the same.
//! Source: Dimakis et al., IEEE Trans. Inf. Theory 56(9), 2010, functional repair.
//!
//! What helpers send is combined by a Cauchy matrix. So it is enough to draw what they send. Modulo any
//! k - 1 others the packets of the rest have as many coordinates as a piece has packets: each such set
//! is a small [`Condition`], found once, and a draw that fails one is drawn anew for one helper alone.

use alloc::vec;
use alloc::vec::Vec;

use crate::field;
use crate::matrix::Matrix;
use crate::redundancy::Redundancy;

/// Conditions that are looked at before a plan is given up: a second or so.
const LOOKS_MAX: usize = 1_000_000;

/// A way to make a lost fragment anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPlan {
    lost: u8,
    helpers: Vec<u8>,
    scalars: Vec<Matrix>,
    combining: Matrix,
    sent: Matrix,
    coefficients: Matrix,
}

impl RepairPlan {
    /// The plan for the fragment `lost`, of all `others` that there are: their indices, each once, and
    /// their coefficients. `helpers` are those of them that send packets, in that order.
    ///
    /// `None` if the redundancy has no [`Redundancy::recoding`] or other numbers, or if nothing was
    /// found. Cost: milliseconds for 10 of 14; keep it.
    #[must_use]
    pub fn draw(
        redundancy: Redundancy,
        lost: u8,
        others: &[(u8, &[u8])],
        helpers: &[u8],
    ) -> Option<Self> {
        let recoding = redundancy.recoding()?;
        let positions = positions(redundancy, lost, others, helpers)?;
        if helpers.len() != usize::from(recoding.helpers) {
            return None;
        }
        let rows = usize::from(recoding.packets);
        let subpackets = usize::from(redundancy.subpackets());
        let combining = Matrix::cauchy(subpackets, recoding.sent());
        let conditions = conditions(redundancy, others, &positions)?;
        let mut draws = Draws::new(redundancy, lost, others, helpers);
        let parts: Vec<Matrix> = (0..helpers.len())
            .map(|at| combining.columns_of(at * rows..(at + 1) * rows))
            .collect();
        let mut scalars = Vec::new();
        let mut effects = Vec::new();
        for part in &parts {
            let drawn = draws.matrix(rows, subpackets);
            effects.push(part.multiply(&drawn));
            scalars.push(drawn);
        }
        let mut looks = 0;
        loop {
            let failed = conditions.iter().find(|condition| {
                looks += 1;
                !condition.holds(&effects)
            });
            let Some(failed) = failed else { break };
            if looks > LOOKS_MAX {
                return None;
            }
            let at = failed.rests[draws.below(failed.rests.len())].0;
            scalars[at] = draws.matrix(rows, subpackets);
            effects[at] = parts[at].multiply(&scalars[at]);
        }
        let packets = redundancy.packets();
        let mut sent = Vec::with_capacity(recoding.sent() * packets);
        for (scalars, &at) in scalars.iter().zip(&positions) {
            let held = Matrix::new(packets, others[at].1.to_vec());
            sent.extend_from_slice(scalars.multiply(&held).cells());
        }
        let sent = Matrix::new(packets, sent);
        Some(Self {
            lost,
            helpers: helpers.to_vec(),
            scalars,
            coefficients: combining.multiply(&sent),
            combining,
            sent,
        })
    }

    /// The index of the fragment that is made.
    #[must_use]
    pub fn lost(&self) -> u8 {
        self.lost
    }

    /// The indices of the fragments that help.
    #[must_use]
    pub fn helpers(&self) -> &[u8] {
        &self.helpers
    }

    /// What the helper at `position` combines its packets with: a row for each packet that it sends.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn scalars(&self, position: usize) -> &Matrix {
        &self.scalars[position]
    }

    /// The coefficients of all packets that are sent, helper by helper.
    #[must_use]
    pub fn sent(&self) -> &Matrix {
        &self.sent
    }

    /// What the packets that are sent are combined with: a row for each packet of the new fragment.
    #[must_use]
    pub fn combining(&self) -> &Matrix {
        &self.combining
    }

    /// The coefficients of the new fragment.
    #[must_use]
    pub fn coefficients(&self) -> &[u8] {
        self.coefficients.cells()
    }
}

/// Where the helpers are among the others; `None` for fragments that cannot be those of a plan.
fn positions(
    redundancy: Redundancy,
    lost: u8,
    others: &[(u8, &[u8])],
    helpers: &[u8],
) -> Option<Vec<usize>> {
    let is_fragment = |index: u8| index < redundancy.total() && index != lost;
    let are_fragments = others
        .iter()
        .enumerate()
        .all(|(at, (index, coefficients))| {
            let is_new = others[..at].iter().all(|(other, _)| other != index);
            is_new && is_fragment(*index) && coefficients.len() == redundancy.coefficient_bytes()
        });
    let is_once = |at: usize| !helpers[..at].contains(&helpers[at]);
    if lost >= redundancy.total() || !are_fragments || !(0..helpers.len()).all(is_once) {
        return None;
    }
    let position = |helper: &u8| others.iter().position(|(index, _)| index == helper);
    helpers.iter().map(position).collect()
}

/// That the new fragment rebuilds with k - 1 others.
struct Condition {
    /// For each helper that is not among these, its number and what its packets are modulo theirs.
    rests: Vec<(usize, Matrix)>,
}

impl Condition {
    /// Whether it does. The effect of a helper is what is drawn for it, combined as the new fragment is.
    fn holds(&self, effects: &[Matrix]) -> bool {
        let size = effects[0].rows();
        let mut sum = Matrix::new(size, vec![0; size * size]);
        for (at, rest) in &self.rests {
            sum.add_product(&effects[*at], rest);
        }
        sum.has_inverse()
    }
}

/// The conditions of all sets of k - 1 others; `None` if some k of the others do not rebuild.
fn conditions(
    redundancy: Redundancy,
    others: &[(u8, &[u8])],
    helpers: &[usize],
) -> Option<Vec<Condition>> {
    let chosen = usize::from(redundancy.data()) - 1;
    let rows = others
        .iter()
        .enumerate()
        .map(|(at, (_, coefficients))| Rest {
            helper: helpers.iter().position(|helper| *helper == at),
            rows: Matrix::new(redundancy.packets(), coefficients.to_vec()),
        });
    let mut conditions = Vec::new();
    choose(&rows.collect::<Vec<_>>(), 0, chosen, &mut conditions).then_some(conditions)
}

/// A fragment that was not chosen, modulo those that were.
#[derive(Clone)]
struct Rest {
    /// Its number among the helpers.
    helper: Option<usize>,
    /// Its packets, without the columns in which those chosen lead.
    rows: Matrix,
}

/// Chooses so many more fragments from `from` on, in every way; `false` if some are dependent.
fn choose(rests: &[Rest], from: usize, count: usize, conditions: &mut Vec<Condition>) -> bool {
    if count == 0 {
        let rests = rests.iter();
        let rests = rests.filter_map(|rest| Some((rest.helper?, rest.rows.clone())));
        conditions.push(Condition {
            rests: rests.collect(),
        });
        return true;
    }
    (from..rests.len()).all(|at| {
        if rests.len() - at < count {
            return true;
        }
        modulo(rests, at).is_some_and(|rests| choose(&rests, at, count - 1, conditions))
    })
}

/// The others than the one at `chosen`, modulo it; `None` if its packets are dependent.
fn modulo(rests: &[Rest], chosen: usize) -> Option<Vec<Rest>> {
    let mut others = rests.to_vec();
    let mut leading = others.remove(chosen).rows;
    let mut columns = Vec::with_capacity(leading.rows());
    for row in 0..leading.rows() {
        let column = leading.row(row).iter().position(|cell| *cell != 0)?;
        let scale = field::inverse(leading.row(row)[column]);
        let mut line = leading.row(row).to_vec();
        for cell in &mut line {
            *cell = field::product(*cell, scale);
        }
        for matrix in others.iter_mut().map(|other| &mut other.rows) {
            matrix.clear(column, &line, 0);
        }
        leading.clear(column, &line, row + 1);
        columns.push(column);
    }
    for other in &mut others {
        other.rows = other.rows.without_columns(&columns);
    }
    Some(others)
}

/// Cells that look drawn and follow from what a plan is made of.
struct Draws(blake3::OutputReader);

impl Draws {
    fn new(redundancy: Redundancy, lost: u8, others: &[(u8, &[u8])], helpers: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("securecloud erasure repair plan v1");
        hasher.update(&[
            redundancy.code_id(),
            redundancy.data(),
            redundancy.total(),
            redundancy.subpackets(),
            lost,
        ]);
        // All coefficients are of one length, and indices below the number of fragments.
        for (index, coefficients) in others {
            hasher.update(&[*index]).update(coefficients);
        }
        hasher.update(helpers);
        Self(hasher.finalize_xof())
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        let mut cells = vec![0; rows * columns];
        self.0.fill(&mut cells);
        Matrix::new(columns, cells)
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % bound
    }
}
