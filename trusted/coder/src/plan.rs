//! Plans of repairs that recode: what is asked of helpers, before anything is.
//!
//! Invariant: a plan is one of fragments whose headers a coder of the tenant has made, and what is made by it rebuilds with all of them. It
//! follows from their coefficients alone, so the host has no say in it, and whoever is asked again has the same.
//! Source: `docs/FORMATS.md`, "Storage: repair".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sc_erasure::{FragmentHeader, RepairPlan, Shape, hash_piece};
use sc_proto::coder;

use crate::refused::Refused;
use crate::repair::Patient;
use crate::tenant::Tenant;

/// Plans that are kept: one for each set of fragments with the same coefficients, as those of segments are that have lost the same.
const PLANS_MAX: usize = 256;

/// Plans that were made, by what they are made of; also of which there is none.
#[derive(Default)]
pub(crate) struct Plans(Mutex<BTreeMap<[u8; 32], Option<Arc<RepairPlan>>>>);

impl Plans {
    /// The plan that a call asks for, of these headers.
    pub(crate) fn of(
        &self,
        call: &coder::PlanRepair,
        shape: Shape,
        others: &[FragmentHeader],
    ) -> Result<Arc<RepairPlan>, Refused> {
        let small = |index: &u32| u8::try_from(*index).map_err(|_| Refused::MALFORMED);
        let lost = small(&call.lost)?;
        let helpers: Vec<u8> = call.helpers.iter().map(small).collect::<Result<_, _>>()?;
        let redundancy = shape.redundancy();
        if redundancy.recoding().is_none() || lost >= redundancy.total() {
            return Err(Refused::MALFORMED);
        }
        let name = name(shape, lost, others, &helpers);
        let mut made = self.held().get(&name).cloned();
        if made.is_none() {
            // It takes milliseconds: not under the lock.
            let others: Vec<(u8, &[u8])> = others
                .iter()
                .map(|it| (it.index, &*it.coefficients))
                .collect();
            let plan = RepairPlan::draw(redundancy, lost, &others, &helpers).map(Arc::new);
            let mut held = self.held();
            if held.len() >= PLANS_MAX {
                held.clear();
            }
            held.insert(name, plan.clone());
            made = Some(plan);
        }
        made.flatten().ok_or(Refused::LIMIT)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Option<Arc<RepairPlan>>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// What a plan is known by: all that it follows from.
fn name(shape: Shape, lost: u8, others: &[FragmentHeader], helpers: &[u8]) -> [u8; 32] {
    let mut of = crate::record::code(shape.redundancy()).to_vec();
    of.push(lost);
    // Indexes ascend and coefficients are as many as the code has: helpers, as many as it wants, begin where others end.
    for other in others {
        of.push(other.index);
        of.extend_from_slice(&other.coefficients);
    }
    of.extend_from_slice(helpers);
    hash_piece(&of)
}

/// Answers what to ask of the helpers.
pub(crate) fn plan(
    tenant: &Tenant,
    call: &coder::PlanRepair,
    plans: &Plans,
) -> Result<coder::RepairPlanned, Refused> {
    let patient = Patient::open(tenant, call.datastore.as_ref(), &call.version, &call.record)?;
    let expected = patient.expected();
    let (others, bad) = expected.headers(&call.others)?;
    if !bad.is_empty() {
        return Ok(coder::RepairPlanned {
            scalars: Vec::new(),
            bad,
        });
    }
    let plan = plans.of(call, expected.shape, &others)?;
    let scalars = (0..plan.helpers().len()).map(|at| plan.scalars(at).cells());
    Ok(coder::RepairPlanned {
        scalars: scalars.map(Bytes::copy_from_slice).collect(),
        bad: Vec::new(),
    })
}
