//! Trees of fake devices. What answers a write is a thread behind named pipes, which, as the kernel does, answers what was written last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use tempfile::TempDir;

/// What answers a request over 64 bytes.
pub(crate) type Answer = Box<dyn FnMut([u8; 64]) -> Vec<u8> + Send>;

/// Where the samples are that evidence is tested with.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../owner/attestation/tests/samples");
    fs::read(folder.join(name)).unwrap()
}

/// The root of a tree.
pub(crate) struct Tree(TempDir);

impl Tree {
    /// A machine without any device.
    pub(crate) fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file there, with what is above it.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// An enclave under Gramine, whose quotes are what `answer` makes.
    pub(crate) fn gramine(mut answer: Answer) -> Self {
        let tree = Self::empty();
        tree.put("dev/attestation/attestation_type", "dcap\n");
        let input = tree.pipe("dev/attestation/user_report_data");
        let output = tree.pipe("dev/attestation/quote");
        thread::spawn(move || {
            while let Ok(data) = fs::read(&input) {
                let Ok(data) = data.try_into() else { return };
                if fs::write(&output, answer(data)).is_err() {
                    return;
                }
            }
        });
        tree
    }

    /// A confidential virtual machine, whose reports are what `answer` makes.
    pub(crate) fn vm(provider: &str, certificates: &[u8], mut answer: Answer) -> Self {
        let tree = Self::empty();
        let request = format!(
            "sys/kernel/config/tsm/report/securecloud-{}",
            std::process::id()
        );
        tree.put(&format!("{request}/provider"), format!("{provider}\n"));
        let generation = tree.put(&format!("{request}/generation"), "0\n");
        tree.put(&format!("{request}/auxblob"), certificates);
        let input = tree.pipe(&format!("{request}/inblob"));
        let output = tree.pipe(&format!("{request}/outblob"));
        thread::spawn(move || {
            for count in 1.. {
                let Ok(data) = fs::read(&input) else { return };
                let Ok(data) = data.try_into() else { return };
                let report = answer(data);
                if fs::write(&generation, format!("{count}\n")).is_err()
                    || fs::write(&output, report).is_err()
                {
                    return;
                }
            }
        });
        tree
    }

    fn pipe(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

/// The measurement of the machine in [`snp_report`].
pub(crate) const MEASUREMENT: [u8; 48] = [9; 48];

/// A SEV-SNP report over `data`, of a machine that was started for the owner `pin`, signed by the chip that was made for tests.
pub(crate) fn snp_report(data: [u8; 64], pin: [u8; 32]) -> Vec<u8> {
    let mut report = vec![0; 0x4a0];
    report[0] = 2;
    report[4] = 1;
    report[0x34] = 1;
    report[0x50..0x90].copy_from_slice(&data);
    report[0x90..0xc0].copy_from_slice(&MEASUREMENT);
    report[0xc0..0xe0].copy_from_slice(&pin);
    let tcb = [3, 0, 0, 0, 0, 0, 8, 115];
    report[0x38..0x40].copy_from_slice(&tcb);
    report[0x180..0x188].copy_from_slice(&tcb);
    report[0x1a0..0x1e0].fill(0xa5);
    let key = sample("made/vcek.key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key).unwrap();
    let signature = key.sign(&SystemRandom::new(), &report[..0x2a0]).unwrap();
    for (place, number) in report[0x2a0..]
        .chunks_exact_mut(72)
        .zip(signature.as_ref().chunks_exact(48))
    {
        place[..48].copy_from_slice(number);
        place[..48].reverse();
    }
    report
}

/// A host's table with the certificate of that chip.
pub(crate) fn snp_certificates() -> Vec<u8> {
    let certificate = sample("made/vcek.der");
    let mut table = vec![
        0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac,
        0xcd,
    ];
    table.extend(48_u32.to_le_bytes());
    table.extend(u32::try_from(certificate.len()).unwrap().to_le_bytes());
    table.extend([0; 24]);
    table.extend(certificate);
    table
}
