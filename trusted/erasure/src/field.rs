//! The field of bytes, GF(2^8).
//!
//! Invariant: the polynomial is x^8 + x^4 + x^3 + x^2 + 1 ([`POLYNOMIAL`]) and the generator is x, as
//! in ISA-L and most storage systems; sums are exclusive or.

/// The polynomial that products are reduced by.
pub const POLYNOMIAL: u16 = 0x11d;

/// Elements other than 0.
const ORDER: usize = 255;

/// Powers of x, twice over, so that the sum of two logarithms needs no reduction.
const POWERS: [u8; 2 * ORDER] = powers();

/// The exponent of each element; that of 0 has no meaning.
const LOGARITHMS: [u8; 256] = logarithms();

const fn powers() -> [u8; 2 * ORDER] {
    let mut powers = [0; 2 * ORDER];
    let mut power: u16 = 1;
    let mut exponent = 0;
    while exponent < 2 * ORDER {
        powers[exponent] = power as u8;
        power <<= 1;
        if power > 255 {
            power ^= POLYNOMIAL;
        }
        exponent += 1;
    }
    powers
}

const fn logarithms() -> [u8; 256] {
    let mut logarithms = [0; 256];
    let mut exponent = 0;
    while exponent < ORDER {
        logarithms[POWERS[exponent] as usize] = exponent as u8;
        exponent += 1;
    }
    logarithms
}

/// The product of two elements.
#[must_use]
pub const fn product(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[LOGARITHMS[a as usize] as usize + LOGARITHMS[b as usize] as usize]
}

/// The element whose product with `a` is 1.
///
/// # Panics
/// If `a` is 0, which has none.
#[must_use]
pub const fn inverse(a: u8) -> u8 {
    assert!(a != 0, "0 has no inverse");
    POWERS[ORDER - LOGARITHMS[a as usize] as usize]
}

/// The generator to the power of `exponent`; they differ for exponents below 255.
#[must_use]
pub(crate) const fn power(exponent: u8) -> u8 {
    POWERS[exponent as usize]
}

/// The products of `a` with each low half of a byte, then those with each high half.
///
/// Takes the same time and touches the same memory whatever `a` is: it may be secret.
pub(crate) const fn halves(a: u8) -> [u8; 32] {
    let bits = bits(a);
    let mut halves = [0; 32];
    let mut bit = 0;
    while bit < 4 {
        let mut half = 0;
        while half < 16 {
            if half >> bit & 1 == 1 {
                halves[half] ^= bits[bit];
                halves[16 + half] ^= bits[4 + bit];
            }
            half += 1;
        }
        bit += 1;
    }
    halves
}

/// The products of `a` with each power of x below 8, that is, with each bit of a byte.
///
/// Takes the same time and touches the same memory whatever `a` is: it may be secret.
pub(crate) const fn bits(a: u8) -> [u8; 8] {
    let mut bits = [a; 8];
    let mut bit = 1;
    while bit < 8 {
        let before = bits[bit - 1];
        let carry = 0_u8.wrapping_sub(before >> 7);
        bits[bit] = before << 1 ^ carry & POLYNOMIAL as u8;
        bit += 1;
    }
    bits
}

/// What [`halves`] gives for each element.
static HALVES: [[u8; 32]; 256] = all_halves();

const fn all_halves() -> [[u8; 32]; 256] {
    let mut all = [[0; 32]; 256];
    let mut a = 0;
    while a < 256 {
        all[a] = halves(a as u8);
        a += 1;
    }
    all
}

/// Adds the products of `a` with `row` to `sums`, element by element. None of them may be secret.
pub(crate) fn add_products(sums: &mut [u8], a: u8, row: &[u8]) {
    if a == 0 {
        return;
    }
    let halves = &HALVES[usize::from(a)];
    for (sum, element) in sums.iter_mut().zip(row) {
        let (low, high) = (element & 15, element >> 4);
        *sum ^= halves[usize::from(low)] ^ halves[16 + usize::from(high)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication as it is taught: shift, add, reduce.
    fn slow_product(a: u8, b: u8) -> u8 {
        let mut sum = 0;
        let mut shifted = u16::from(a);
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                sum ^= shifted;
            }
            shifted <<= 1;
            if shifted > 255 {
                shifted ^= POLYNOMIAL;
            }
        }
        sum as u8
    }

    #[test]
    fn products_agree_with_shifts_and_sums() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(product(a, b), slow_product(a, b), "{a} times {b}");
            }
        }
    }

    #[test]
    fn an_element_times_its_inverse_is_one() {
        for a in 1..=255 {
            assert_eq!(product(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn products_of_parts_add_up_to_the_product() {
        for a in 0..=255 {
            let (halves, bits) = (halves(a), bits(a));
            for b in 0..=255_u8 {
                let of_bits = (0..8).filter(|bit| b >> bit & 1 == 1);
                let mut sum = [0];
                add_products(&mut sum, a, &[b]);

                assert_eq!(
                    halves[usize::from(b & 15)] ^ halves[16 + usize::from(b >> 4)],
                    product(a, b)
                );
                assert_eq!(of_bits.fold(0, |sum, bit| sum ^ bits[bit]), product(a, b));
                assert_eq!(sum, [product(a, b)]);
            }
        }
    }
}
