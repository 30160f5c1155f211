//! What a policy costs and survives: arithmetic over one placement.

use std::collections::BTreeMap;

use sc_erasure::Redundancy;
use serde_json::json;

use crate::placement::Candidate;
use crate::policy::Policy;

/// Space, monthly cost, losses survived and repair traffic of a policy whose fragments lie at these candidates.
pub(crate) fn simulate(
    policy: &Policy,
    candidates: &[Candidate<'_>],
    placed: &[usize],
) -> serde_json::Value {
    let code = policy.code();
    let (data, total) = (f64::from(code.data()), f64::from(code.total()));
    let share = 1.0 / data;
    let of_each = |cost: fn(&Candidate<'_>) -> f64| {
        placed.iter().map(|&at| cost(&candidates[at])).sum::<f64>() * share
    };
    let mut read_costs: Vec<f64> = placed
        .iter()
        .map(|&at| candidates[at].settings.cost_per_gb_read)
        .collect();
    read_costs.sort_by(f64::total_cmp);
    let cheapest: f64 = read_costs.iter().take(usize::from(code.data())).sum();
    json!({
        "definition": policy,
        "space_factor": total / data,
        "cost_per_gb_month": of_each(|it| it.settings.cost_per_gb_month),
        "cost_per_gb_read": cheapest * share,
        "fragments": code.total(),
        "fragments_needed": code.data(),
        "losses_survived": {
            "fragments": code.losses(),
            "locations": groups_survived(code, placed.iter().map(|&at| candidates[at].name)),
            "providers": groups_survived(code, placed.iter().map(|&at| candidates[at].settings.provider.as_str())),
            "regions": groups_survived(code, placed.iter().map(|&at| candidates[at].settings.region.as_str())),
        },
        "repair_traffic_factor": repair_traffic(code),
        "locations": placed.iter().map(|&at| candidates[at].name).collect::<Vec<_>>(),
    })
}

/// How many of the largest groups of fragments may be lost together, whichever they are.
fn groups_survived<'n>(code: Redundancy, names: impl Iterator<Item = &'n str>) -> usize {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *held.entry(name).or_default() += 1;
    }
    let mut sizes: Vec<usize> = held.into_values().collect();
    sizes.sort_unstable_by_key(|&size| std::cmp::Reverse(size));
    let mut left = usize::from(code.losses());
    sizes
        .iter()
        .take_while(|&&size| match left.checked_sub(size) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .count()
}

/// Bytes that are read to make one lost fragment again, as a part of the object's.
fn repair_traffic(code: Redundancy) -> f64 {
    match code {
        Redundancy::Replication { .. } | Redundancy::ReedSolomon { .. } => 1.0,
        Redundancy::Rlnc { .. } => {
            // d helpers send d / ((d - k + 1) k) of the object (Dimakis et al., 2010), d bounded by the sub-packets that there are.
            let (data, total) = (f64::from(code.data()), f64::from(code.total()));
            let helpers = (total - 1.0).min(data + f64::from(code.subpackets()) - 1.0);
            helpers / ((helpers - data + 1.0) * data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_groups_are_the_ones_that_count() {
        let code = Redundancy::reed_solomon(4, 2).unwrap();

        assert_eq!(
            groups_survived(code, ["a", "b", "c", "d", "e", "f"].into_iter()),
            2
        );
        assert_eq!(
            groups_survived(code, ["a", "a", "b", "b", "c", "c"].into_iter()),
            1
        );
        assert_eq!(
            groups_survived(code, ["a", "a", "a", "b", "b", "b"].into_iter()),
            0
        );
    }

    #[test]
    fn network_coding_repairs_with_less() {
        let rlnc = Redundancy::rlnc(4, 6, 2, false).unwrap();

        assert!((repair_traffic(rlnc) - 5.0 / 8.0).abs() < 1e-9);
    }
}
