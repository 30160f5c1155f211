//! An owner's policy: which evidence it accepts.
//!
//! As text, one rule a line: `simulation-key HEX` (an Ed25519 key, 32 bytes), `measurement HEX` (32 bytes); `#` begins a comment.
//! Without a `measurement` line any program is accepted on the platforms named. That simulation may be accepted at all is no rule of
//! a file: whoever starts a program says it there and then.

use sc_crypto::VerifyingKey;
use sc_enclave::simulation_development_key;

/// What an owner accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether simulated evidence may be accepted at all.
    pub allow_simulation: bool,
    /// Keys of the simulated platforms that are accepted.
    pub simulation_keys: Vec<VerifyingKey>,
    /// Measurements that are accepted; `None` accepts any.
    pub measurements: Option<Vec<[u8; 32]>>,
}

/// A line of a policy that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: expected `simulation-key HEX` or `measurement HEX` with 64 hexadecimal digits"
)]
pub struct PolicyError {
    /// Its number, from 1.
    pub line: usize,
}

impl Policy {
    /// Accepts any program that the development simulation vouches for: no protection at all, for one's own machine.
    #[must_use]
    pub fn development() -> Self {
        Self {
            allow_simulation: true,
            simulation_keys: vec![simulation_development_key().verifying_key()],
            measurements: None,
        }
    }

    /// Reads a policy's text.
    ///
    /// # Errors
    /// [`PolicyError`] at the first line that is no rule.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for (number, line) in text.lines().enumerate() {
            let rule = line.split('#').next().unwrap_or_default();
            policy
                .add(rule.split_whitespace().collect::<Vec<_>>().as_slice())
                .ok_or(PolicyError { line: number + 1 })?;
        }
        Ok(policy)
    }

    fn add(&mut self, words: &[&str]) -> Option<()> {
        match words {
            [] => {}
            ["simulation-key", key] => self
                .simulation_keys
                .push(VerifyingKey::from_bytes(digest(key)?)),
            ["measurement", value] => self
                .measurements
                .get_or_insert_default()
                .push(digest(value)?),
            _ => return None,
        }
        Some(())
    }
}

/// 32 bytes from 64 hexadecimal digits.
fn digest(hex: &str) -> Option<[u8; 32]> {
    // Digits alone: a parser of numbers would take a sign for one as well.
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (byte, digits) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_rules_and_comments() {
        let measurement = "ab".repeat(32);
        let policy = Policy::parse(&format!("# mine\n\nmeasurement {measurement} # v1\n")).unwrap();

        assert!(!policy.allow_simulation);
        assert_eq!(policy.measurements, Some(vec![[0xab; 32]]));
    }

    #[test]
    fn a_line_that_is_no_rule_is_named() {
        for text in [
            "#\nallow-simulation",
            "\nmeasurement 12",
            "#\nmeasurement",
            "\nsimulation-key zz",
        ] {
            assert_eq!(Policy::parse(text), Err(PolicyError { line: 2 }), "{text}");
        }
    }

    #[test]
    fn rules_add_up_in_either_case_of_letters() {
        let (low, high) = ("ab".repeat(32), "CD".repeat(32));
        let text = format!(
            "simulation-key {low}\nsimulation-key {high}\n  measurement\t{low}\nmeasurement {high}"
        );

        let policy = Policy::parse(&text).unwrap();

        let keys = [[0xab; 32], [0xcd; 32]].map(VerifyingKey::from_bytes);
        assert_eq!(policy.simulation_keys, keys);
        assert_eq!(policy.measurements, Some(vec![[0xab; 32], [0xcd; 32]]));
    }

    #[test]
    fn what_is_no_pair_of_digits_is_no_digest() {
        let good = "ab".repeat(31);
        for end in ["+a", "-1", " a", "0x", "g0", "é", "a", "abc", "ab ab", ""] {
            let text = format!("measurement {good}{end}");
            assert_eq!(
                Policy::parse(&text),
                Err(PolicyError { line: 1 }),
                "{end:?}"
            );
        }
    }

    #[test]
    fn an_empty_policy_accepts_nothing() {
        let policy = Policy::parse("# nothing\n\n").unwrap();

        assert_eq!(policy, Policy::default());
        assert!(!policy.allow_simulation && policy.simulation_keys.is_empty());
    }
}
