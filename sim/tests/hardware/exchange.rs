//! M1 to M4 of both programs.

use sc_attestation::{AllowedProgram, Policy, ProgramIdentity, Refused, Tcb};
use sc_cbr::{DomainKey, DomainSecrets};
use sc_client::{Challenged, ProvisioningError};
use sc_coder::CoderRoots;
use sc_crypto::{OwnerSecret, Secret};
use sc_enclave::{
    Attester, ConfirmationKey, Program, ProvisionError, Purpose, SecretsMessage, Transcript,
    owner_pin,
};
use sc_program::Tee;
use sc_proto::provision::{Confirmation, Evidence, Offer, Secrets, evidence::Kind};
use sc_proto::{Message, cbr, coder};

use crate::devices::{Answer, MEASUREMENT, Tree, sample, snp_certificates, snp_report};

/// Within what the chip of these tests has for certificates and lists: 2027-06-01, in milliseconds.
const NOW_MS: u64 = 1_811_808_000_000;
/// The root of these tests, as `made/make.sh` prints it.
const ROOT: &str = "292abd97c8efb39ac02d9488e775cc7cb90b10bfb44454cf79ab33c15ead9b13";

fn owner(number: u8) -> OwnerSecret {
    OwnerSecret::generate(&mut |bytes: &mut [u8]| bytes.fill(number))
}

fn pin(owner: &OwnerSecret) -> [u8; 32] {
    owner_pin(owner.signing_key().verifying_key())
}

/// Makes a tree of devices, and says what the program in it is told that it runs in.
type Machine<'a> = dyn Fn() -> (Tee, Tree) + 'a;

/// A trusted program, with its own words for the four messages.
enum Trusted {
    Cbr(sc_cbr::Engine),
    Coder(sc_coder::Engine),
}

impl Trusted {
    fn both(tree: &Machine<'_>) -> Vec<(Tree, Self)> {
        let (tee, first) = tree();
        let cbr = sc_cbr::Engine::new(tee.attester(first.root()).unwrap());
        let (tee, second) = tree();
        let attester = tee.attester(second.root()).unwrap();
        let kernel = sc_erasure::Kernel::fastest(sc_erasure::Features::none());
        let coder = sc_coder::Engine::new(attester, kernel);
        vec![(first, Self::Cbr(cbr)), (second, Self::Coder(coder))]
    }

    fn purpose(&self) -> Purpose {
        match self {
            Self::Cbr(_) => Purpose::Cbr,
            Self::Coder(_) => Purpose::Coder,
        }
    }

    /// A call's bytes, and the reply's. A coder's have content before them, of which provisioning has none.
    fn handle(&self, request: Vec<u8>) -> bytes::Bytes {
        let entropy = &mut sc_program::entropy;
        match self {
            Self::Cbr(engine) => engine.handle(request.into(), entropy),
            Self::Coder(engine) => {
                let mut message = Vec::new();
                sc_coder::join(&mut message, &request);
                let reply = engine.handle(message.into(), entropy);
                sc_coder::split(reply).unwrap().1
            }
        }
    }

    /// M1 and M2; the reason where it is refused.
    fn challenge(&self, challenge: sc_proto::provision::Challenge) -> Result<Offer, i32> {
        match self {
            Self::Cbr(_) => {
                let call = cbr::Call {
                    call: Some(cbr::call::Call::Challenge(challenge)),
                };
                let reply = cbr::Reply::decode(self.handle(call.encode_to_vec())).unwrap();
                match reply.reply.unwrap() {
                    cbr::reply::Reply::Offer(offer) => Ok(offer),
                    cbr::reply::Reply::Refusal(refusal) => Err(refusal.reason),
                    other => panic!("no answer to a challenge: {other:?}"),
                }
            }
            Self::Coder(_) => {
                let call = coder::Call {
                    call: Some(coder::call::Call::Challenge(challenge)),
                };
                let reply = coder::Reply::decode(self.handle(call.encode_to_vec())).unwrap();
                match reply.reply.unwrap() {
                    coder::reply::Reply::Offer(offer) => Ok(offer),
                    coder::reply::Reply::Refusal(refusal) => Err(refusal.reason),
                    other => panic!("no answer to a challenge: {other:?}"),
                }
            }
        }
    }

    /// M3 and M4.
    fn secrets(&self, secrets: Secrets) -> Option<Confirmation> {
        match self {
            Self::Cbr(_) => {
                let call = cbr::Call {
                    call: Some(cbr::call::Call::Secrets(secrets)),
                };
                let reply = cbr::Reply::decode(self.handle(call.encode_to_vec())).unwrap();
                match reply.reply.unwrap() {
                    cbr::reply::Reply::Opened(opened) => opened.confirmation,
                    _ => None,
                }
            }
            Self::Coder(_) => {
                let call = coder::Call {
                    call: Some(coder::call::Call::Secrets(secrets)),
                };
                let reply = coder::Reply::decode(self.handle(call.encode_to_vec())).unwrap();
                match reply.reply.unwrap() {
                    coder::reply::Reply::Provisioned(provisioned) => provisioned.confirmation,
                    _ => None,
                }
            }
        }
    }

    /// What its owner entrusts to it.
    fn own_secrets(&self, owner: &OwnerSecret) -> Vec<u8> {
        let secrets = match self {
            Self::Cbr(_) => DomainSecrets {
                floor: sc_cbr::Origin::default(),
                key: DomainKey::new(Secret::from_bytes([5; 32])),
                session: 1,
                start: 1,
                time_ms: NOW_MS,
                plain: false,
                owner: owner.public().clone(),
                certificate: Vec::new(),
            }
            .encode(),
            Self::Coder(_) => CoderRoots::new(NOW_MS, 1, vec![(1, Secret::from_bytes([6; 32]))])
                .unwrap()
                .encode(),
        };
        secrets.to_vec()
    }

    /// All four messages, between `owner` and this program.
    fn provision(
        &self,
        owner: &OwnerSecret,
        policy: &Policy,
        now_ms: u64,
    ) -> Result<Confirmed, ProvisioningError> {
        let mut entropy = sc_program::entropy;
        let (challenged, challenge) = Challenged::begin(owner, self.purpose(), &mut entropy);
        let offer = self.challenge(challenge).expect("it makes evidence");
        let secrets = self.own_secrets(owner);
        let (entrusted, appraisal, message) =
            challenged.entrust(owner, policy, &offer, &secrets, now_ms, &mut entropy)?;
        entrusted.confirm(self.secrets(message).as_ref())?;
        Ok(Confirmed {
            tee_line: appraisal.tee_line,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Confirmed {
    tee_line: &'static str,
}

/// A machine of SEV-SNP that was started for the owner `pin`.
fn snp_machine(pin: [u8; 32]) -> impl Fn() -> (Tee, Tree) {
    move || {
        let answer: Answer = Box::new(move |data| snp_report(data, pin));
        let tree = Tree::vm("sev_guest", &snp_certificates(), answer);
        (Tee::Vm, tree)
    }
}

fn snp_policy() -> Policy {
    let text = format!(
        "sev-snp {} svn 1\namd-root {ROOT}\namd-tcb snp 8\n",
        "09".repeat(MEASUREMENT.len())
    );
    let mut policy = Policy::parse(&text).unwrap();
    for file in ["made/ark.der", "made/ask.der", "made/none.crl"] {
        policy.collateral.add(&sample(file)).unwrap();
    }
    policy
}

#[test]
fn both_programs_are_provisioned_in_a_machine_of_sev_snp() {
    for (_tree, program) in Trusted::both(&snp_machine([0; 32])) {
        let confirmed = program.provision(&owner(1), &snp_policy(), NOW_MS);

        let tee_line = "TEE: AMD SEV-SNP";
        assert_eq!(confirmed, Ok(Confirmed { tee_line }));
    }
}

#[test]
fn an_owner_whose_policy_does_not_name_the_machine_keeps_its_keys() {
    for (_tree, program) in Trusted::both(&snp_machine([0; 32])) {
        let refused = |change: fn(&mut Policy), now_ms| {
            let mut policy = snp_policy();
            change(&mut policy);
            program.provision(&owner(1), &policy, now_ms).err()
        };
        let year_ms = 365 * 24 * 60 * 60 * 1000;

        assert_eq!(
            refused(|policy| policy.programs.clear(), NOW_MS),
            Some(Refused::UnknownMeasurement.into())
        );
        assert_eq!(
            refused(|policy| policy.amd_roots.clear(), NOW_MS),
            Some(Refused::NoCollateral("an AMD processor").into())
        );
        assert_eq!(
            refused(|policy| policy.is_owner_pinned = true, NOW_MS),
            Some(Refused::NotPinned.into())
        );
        assert_eq!(
            refused(|_| {}, NOW_MS + year_ms),
            Some(Refused::Stale("AMD's list of revoked certificates").into())
        );
    }
}

#[test]
fn a_machine_that_was_started_for_one_owner_serves_it_alone() {
    let (own, other) = (owner(1), owner(2));
    let policy = Policy {
        is_owner_pinned: true,
        ..snp_policy()
    };
    for (_tree, program) in Trusted::both(&snp_machine(pin(&own))) {
        assert!(program.provision(&own, &policy, NOW_MS).is_ok());

        let mut entropy = sc_program::entropy;
        let (_, challenge) = Challenged::begin(&other, program.purpose(), &mut entropy);
        let refused = program.challenge(challenge).unwrap_err();
        let expected = match program {
            Trusted::Cbr(_) => cbr::refusal::Reason::Owner as i32,
            Trusted::Coder(_) => coder::refusal::Reason::Owner as i32,
        };
        assert_eq!(refused, expected);
    }
}

/// A host that answers with a report of an earlier provisioning, which is genuine and of this machine.
#[test]
fn a_report_that_was_recorded_completes_no_provisioning() {
    let replaying = || {
        let mut first = None;
        let answer: Answer = Box::new(move |data| {
            let recorded = *first.get_or_insert(data);
            snp_report(recorded, [0; 32])
        });
        let tree = Tree::vm("sev_guest", &snp_certificates(), answer);
        (Tee::Vm, tree)
    };
    for (_tree, program) in Trusted::both(&replaying) {
        assert_eq!(
            program.provision(&owner(1), &snp_policy(), NOW_MS).err(),
            Some(Refused::OtherReportData.into())
        );
    }
}

/// What a genuine sample needs to be accepted: its collateral, and rules that name it.
fn policy_for(evidence: &Evidence, collateral: &[&str], now: u64) -> Policy {
    let mut policy = Policy {
        may_lack_amd_revocations: true,
        ..Policy::default()
    };
    for file in collateral {
        policy.collateral.add(&sample(file)).unwrap();
    }
    let statement = sc_attestation::read(&policy, Some(evidence), now).unwrap();
    policy.programs.push(match statement.program {
        ProgramIdentity::Sgx { enclave, svn, .. } => AllowedProgram::SgxEnclave { enclave, svn },
        ProgramIdentity::Tdx { machine, runtime } => AllowedProgram::Tdx {
            machine,
            runtime: runtime.map(Some),
        },
        ProgramIdentity::Snp { measurement, svn } => AllowedProgram::Snp { measurement, svn },
        other => panic!("no sample is {other:?}"),
    });
    if let Tcb::Intel {
        status, advisories, ..
    } = statement.tcb
    {
        policy.states.push(status);
        policy.advisories = advisories;
    }
    policy
}

/// Quotes and reports that Intel's and AMD's hardware has really signed, replayed by a host in the place of its own: each is accepted by the
/// owner's policy for what it says, and none leads to a key.
#[test]
fn genuine_evidence_that_was_recorded_completes_no_provisioning() {
    let digits = String::from_utf8(sample("sev/report_milan.hex")).unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let report: Vec<u8> = (0..digits.trim().len()).step_by(2).map(byte).collect();
    let amd = ["sev/cert_chain_milan", "sev/vcek_milan.der"];
    let recorded = [
        (
            Kind::SgxQuote(sample("dcap-qvl/sgx_quote").into()),
            &["dcap-qvl/sgx_quote_collateral.json"][..],
            1_750_809_600,
        ),
        (
            Kind::TdxQuote(sample("dcap-qvl/tdx_quote").into()),
            &["dcap-qvl/tdx_quote_collateral.json"],
            1_750_809_600,
        ),
        (
            Kind::TdxQuote(sample("dcap-qvl/tdx_quote_td15ex").into()),
            &["dcap-qvl/tdx_quote_td15ex_collateral.json"],
            1_792_454_400,
        ),
        (Kind::SnpReport(report.into()), &amd, 1_750_809_600),
    ];
    for (kind, collateral, now) in recorded {
        let evidence = Evidence {
            kind: Some(kind.clone()),
        };
        let policy = policy_for(&evidence, collateral, now);
        let tree = || match kind.clone() {
            Kind::SgxQuote(quote) => (
                Tee::GramineSgx,
                Tree::gramine(Box::new(move |_| quote.to_vec())),
            ),
            Kind::TdxQuote(quote) => (
                Tee::Vm,
                Tree::vm("tdx_guest", &[], Box::new(move |_| quote.to_vec())),
            ),
            Kind::SnpReport(report) => (
                Tee::Vm,
                Tree::vm("sev_guest", &[], Box::new(move |_| report.to_vec())),
            ),
            Kind::Simulation(_) => unreachable!("nothing of it was recorded"),
        };
        for (_tree, program) in Trusted::both(&tree) {
            assert_eq!(
                program.provision(&owner(1), &policy, now * 1000).err(),
                Some(Refused::OtherReportData.into())
            );
        }
    }
}

/// In an enclave and in a machine of TDX nothing here can sign as Intel's hardware does. The devices get what has to be vouched for, what they
/// answer reaches the owner as it is, and the program opens what an owner who had appraised it would send.
#[test]
fn devices_of_intel_are_given_the_transcript_and_the_program_opens_what_was_sealed_to_it() {
    let enclave = || {
        let tree = Tree::gramine(Box::new(|data| data.to_vec()));
        (Tee::GramineSgx, tree)
    };
    let machine = || {
        let tree = Tree::vm("tdx_guest", &[], Box::new(|data| data.to_vec()));
        (Tee::Vm, tree)
    };
    let trees: [(&str, &Machine<'_>); 2] = [("sgx", &enclave), ("tdx", &machine)];
    for (platform, tree) in trees {
        for (_tree, program) in Trusted::both(tree) {
            assert_opens(platform, &program);
        }
    }
}

fn assert_opens(platform: &str, program: &Trusted) {
    let owner = owner(1);
    let mut entropy = sc_program::entropy;
    let (_, challenge) = Challenged::begin(&owner, program.purpose(), &mut entropy);
    let nonce: [u8; 32] = challenge.nonce.as_ref().try_into().unwrap();
    let offer = program.challenge(challenge).unwrap();
    let key = sc_crypto::SealingPublicKey::from_bytes(&offer.kem_key).unwrap();
    let verifying = owner.signing_key().verifying_key();
    let transcript = Transcript::new(&nonce, verifying, program.purpose(), platform, &key);

    let ((Some(Kind::SgxQuote(answered)), "sgx") | (Some(Kind::TdxQuote(answered)), "tdx")) =
        (offer.evidence.unwrap().kind, platform)
    else {
        panic!("evidence of another kind than {platform}")
    };
    assert_eq!(answered[..], transcript.as_bytes()[..]);

    let confirmation = ConfirmationKey::random(&mut entropy);
    let message = SecretsMessage::seal(
        &transcript,
        &nonce,
        &key,
        owner.signing_key(),
        &confirmation,
        &program.own_secrets(&owner),
        &mut entropy,
    );
    let confirmed = program.secrets(message).unwrap();
    assert_eq!(confirmation.verify(&transcript, &confirmed), Ok(()));
}

#[test]
fn a_device_that_fails_later_makes_no_evidence_and_no_simulation_takes_its_place() {
    let mut count = 0;
    let failing: Answer = Box::new(move |_| {
        count += 1;
        assert!(count < 2, "this thread ends here, as a device that is gone");
        vec![0; 64]
    });
    let tree = Tree::vm("sev_guest", &[], failing);
    let attester = Tee::Vm.attester(tree.root()).unwrap();
    std::fs::remove_dir_all(tree.root().join("sys")).unwrap();
    let program = Trusted::Cbr(sc_cbr::Engine::new(attester));

    let (_, challenge) = Challenged::begin(&owner(1), Purpose::Cbr, &mut sc_program::entropy);

    let reason = cbr::refusal::Reason::Evidence as i32;
    assert_eq!(program.challenge(challenge), Err(reason));
}

#[test]
fn a_confirmation_of_another_program_is_not_believed() {
    let mut programs = Trusted::both(&snp_machine([0; 32])).into_iter();
    let (_tree, program) = programs.next().unwrap();
    let mut entropy = sc_program::entropy;
    let owner = owner(1);
    let (challenged, challenge) = Challenged::begin(&owner, Purpose::Cbr, &mut entropy);
    let offer = program.challenge(challenge).unwrap();
    let secrets = program.own_secrets(&owner);
    let (entrusted, ..) = challenged
        .entrust(
            &owner,
            &snp_policy(),
            &offer,
            &secrets,
            NOW_MS,
            &mut entropy,
        )
        .unwrap();

    let forged = Confirmation {
        mac: vec![0; 32].into(),
    };
    assert_eq!(
        entrusted.confirm(Some(&forged)),
        Err(ProvisionError::NotAuthentic)
    );
}

/// An attester answers whatever kind of evidence it is; which one is claimed is part of the transcript.
#[test]
fn each_device_has_its_own_name_in_the_transcript() {
    let names = [("tdx_guest", "tdx"), ("sev_guest", "sev-snp")];
    for (provider, name) in names {
        let tree = Tree::vm(provider, &[], Box::new(|data| data.to_vec()));
        let attester: Box<dyn Attester> = Tee::Vm.attester(tree.root()).unwrap();
        assert_eq!(attester.platform(), name);
    }
}
