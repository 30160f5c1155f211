//! Reed-Solomon parity against ISA-L's, byte for byte.

use sc_erasure::{Code, Features, Kernel, Redundancy};

/// A code and its parity, from `tests/vectors/isal.txt`.
struct Known {
    data: u8,
    parity: u8,
    row_bytes: usize,
    rows: Vec<Vec<u8>>,
}

fn known() -> Vec<Known> {
    let mut lines = include_str!("../vectors/isal.txt").lines();
    let mut known = Vec::new();
    while let Some(line) = lines.next() {
        let numbers: Vec<usize> = line
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let rows = lines.by_ref().take(numbers[1]).map(|row| {
            let digits = row.as_bytes().chunks(2);
            let bytes = digits.map(|digits| {
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            });
            bytes.collect()
        });
        known.push(Known {
            data: numbers[0] as u8,
            parity: numbers[1] as u8,
            row_bytes: numbers[2],
            rows: rows.collect(),
        });
    }
    known
}

/// The data that the parity is of, as the vectors' README says.
fn data(bytes: usize) -> Vec<u8> {
    let numbers = std::iter::successors(Some(1_u32), |x| {
        Some(x.wrapping_mul(1_103_515_245).wrapping_add(12_345))
    });
    numbers
        .skip(1)
        .take(bytes)
        .map(|x| (x >> 24) as u8)
        .collect()
}

#[test]
fn reed_solomon_parity_is_that_of_isal() {
    let known = known();
    assert_eq!(known.len(), 8);
    for kernel in Kernel::supported(Features::ALL) {
        for case in &known {
            let redundancy = Redundancy::reed_solomon(case.data, case.parity).unwrap();
            let block = data(usize::from(case.data) * case.row_bytes);
            let code = Code::new(redundancy, kernel);

            let pieces = crate::pieces(&code, &block);

            assert_eq!(
                pieces[usize::from(case.data)..],
                case.rows,
                "{} {redundancy:?}",
                kernel.name()
            );
        }
    }
}
