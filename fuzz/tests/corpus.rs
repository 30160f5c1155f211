//! Replays the kept inputs, as they are and damaged in many ways; the damage is the same in each run.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sc_fuzz::TARGETS;
use sc_fuzz::seeds::seeds;

/// Damaged inputs for each target.
const ROUNDS: usize = 4000;
/// And for those that provision a program, or make a whole system, for each input.
const SLOW: [(&str, usize); 2] = [("door_session", 800), ("store_operation", 300)];
/// Damage does not make an input longer than this, in bytes.
const LENGTH_MAX: usize = 8192;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The kept inputs of a target, by name.
fn kept(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(corpus().join(target)).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// A small generator (xorshift*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, b'#'];
        match self.below(3) {
            0 => TELLING[self.below(TELLING.len())],
            _ => self.below(256) as u8,
        }
    }

    /// A part of `bytes`, at most 64 long.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begin = self.below(bytes.len());
        let length = self.below((bytes.len() - begin).min(64) + 1);
        &bytes[begin..begin + length]
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 => drop(bytes.splice(at..at, self.part(other).to_vec())),
            3 => {
                let end = (at + self.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + 4).min(bytes.len());
                let value = self.byte();
                bytes[at..end].fill(value);
            }
            kind => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = match kind {
                        5 => *byte ^ 1 << self.below(8),
                        _ => self.byte(),
                    };
                }
            }
        }
        bytes.truncate(LENGTH_MAX);
    }
}

fn run(name: &str, target: sc_fuzz::Target, input: &[u8], how: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("{name} fails on {how}: {input:02x?}");
    }
}

#[test]
fn every_kept_input_keeps_every_promise() {
    for (name, target) in TARGETS {
        for (file, input) in kept(name) {
            run(name, *target, &input, &file);
        }
    }
}

#[test]
fn every_beginning_of_a_kept_input_keeps_every_promise() {
    for (name, target) in TARGETS {
        for (file, input) in kept(name) {
            let is_slow = SLOW.iter().any(|(slow, _)| slow == name);
            let step = 1 + input.len() / if is_slow { 20 } else { 100 };
            for length in (0..input.len()).step_by(step) {
                let how = format!("{file} cut at {length}");
                run(name, *target, &input[..length], &how);
            }
        }
    }
}

#[test]
fn damaged_inputs_keep_every_promise() {
    for (number, (name, target)) in TARGETS.iter().enumerate() {
        let inputs: Vec<_> = kept(name).into_iter().collect();
        let mut dice = Dice(number as u64 + 1);
        let slow = SLOW.iter().find(|(slow, _)| slow == name);
        let rounds = slow.map_or(ROUNDS, |(_, rounds)| *rounds);
        for round in 0..rounds {
            let (file, input) = &inputs[dice.below(inputs.len())];
            let (_, other) = &inputs[dice.below(inputs.len())];
            let mut damaged = input.clone();
            for _ in 0..=dice.below(4) {
                dice.damage(&mut damaged, other);
            }
            run(name, *target, &damaged, &format!("{file}, round {round}"));
        }
    }
}

#[test]
fn every_target_has_seeds_and_every_folder_a_target() {
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut folders: Vec<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|folder| folder.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();

    assert!(names.is_sorted());
    assert_eq!(folders, names);
}

#[test]
fn the_kept_seeds_are_those_that_the_sources_make() {
    for (target, name, bytes) in seeds() {
        let stored = kept(target).remove(name);
        assert_eq!(
            stored.as_deref(),
            Some(&bytes[..]),
            "{target}/{name} is old: run `cargo run -p sc-fuzz --bin seeds`"
        );
    }
}

#[test]
fn every_target_can_be_run_by_cargo_fuzz() {
    let manifest = fs::read_to_string(corpus().with_file_name("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{name}");
        let program = fs::read_to_string(corpus().with_file_name(&path)).unwrap();
        assert!(program.contains("fuzz_target!"), "{name}");
    }
}
