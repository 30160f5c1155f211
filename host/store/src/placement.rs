//! Which location gets which fragment: a pure decision.
//!
//! Invariant: a placement breaks no rule of its policy; what cannot be placed is said with the reason and the numbers.
//!
//! Each candidate has a rank of its own for each segment (its hash with the segment's id, "rendezvous hashing": Thaler and Ravishankar,
//! 1998), so that load spreads evenly and a location that is added takes only its share. Candidates that are not well come last.

use crate::location::LocationSettings;
use crate::policy::Policy;

/// A location that might take fragments.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'l> {
    /// Its name.
    pub name: &'l str,
    /// What it is.
    pub settings: &'l LocationSettings,
    /// Whether it takes new fragments at all.
    pub is_writable: bool,
    /// Whether it answered when it was last asked.
    pub is_well: bool,
}

/// Why a policy cannot be carried out here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// Fewer places than fragments, all rules taken together.
    #[error(
        "the policy needs places for {needed} fragments, and the locations that it allows have {found}: add locations, or loosen its placement"
    )]
    TooFew {
        /// Fragments that must be placed.
        needed: usize,
        /// Places that there are.
        found: usize,
    },
    /// A location that must hold a fragment is not there, or takes none.
    #[error(
        "the policy requires location {0}, which is not there, takes no fragments, or is left out by its other rules"
    )]
    Required(String),
}

/// How many of a segment's fragments something holds already.
#[derive(Default)]
struct Tally<'l> {
    entries: Vec<(&'l str, u8)>,
}

impl<'l> Tally<'l> {
    fn of(&self, name: &str) -> u8 {
        let entry = self.entries.iter().find(|entry| entry.0 == name);
        entry.map_or(0, |entry| entry.1)
    }

    fn add(&mut self, name: &'l str) {
        match self.entries.iter_mut().find(|entry| entry.0 == name) {
            Some(entry) => entry.1 = entry.1.saturating_add(1),
            None => self.entries.push((name, 1)),
        }
    }
}

/// The rules of one policy, as far as they are used up.
struct Room<'p, 'l> {
    policy: &'p Policy,
    locations: Tally<'l>,
    providers: Tally<'l>,
    regions: Tally<'l>,
}

impl<'l> Room<'_, 'l> {
    fn admits(&self, it: &Candidate<'l>) -> bool {
        let rules = &self.policy.placement;
        let fits = |bound: Option<u8>, held: u8| bound.is_none_or(|bound| held < bound);
        fits(rules.per_location.or(Some(1)), self.locations.of(it.name))
            && fits(rules.per_provider, self.providers.of(&it.settings.provider))
            && fits(rules.per_region, self.regions.of(&it.settings.region))
    }

    fn take(&mut self, it: &Candidate<'l>) {
        self.locations.add(it.name);
        self.providers.add(&it.settings.provider);
        self.regions.add(&it.settings.region);
    }
}

/// Whether the policy lets `it` hold fragments at all.
fn is_allowed(policy: &Policy, it: &Candidate<'_>) -> bool {
    let rules = &policy.placement;
    let settings = it.settings;
    let among =
        |set: &std::collections::BTreeSet<String>, name: &str| set.is_empty() || set.contains(name);
    it.is_writable
        && !rules.forbidden_locations.contains(it.name)
        && among(&rules.regions, &settings.region)
        && !rules.forbidden_regions.contains(&settings.region)
        && (rules.classes.is_empty() || rules.classes.contains(&settings.class))
}

/// The locations that may hold fragments of a segment, those first that should be tried first.
pub(crate) fn allowed(
    policy: &Policy,
    candidates: &[Candidate<'_>],
    segment: &[u8; 32],
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len())
        .filter(|&at| is_allowed(policy, &candidates[at]))
        .collect();
    let required = &policy.placement.required_locations;
    order.sort_by_key(|&at| {
        let it = &candidates[at];
        let is_required = required.contains(it.name);
        (!is_required, !it.is_well, rank(it.name, segment))
    });
    order
}

/// A location for each of the policy's fragments, as the index of a candidate; those required and those that are well come first. What takes
/// over for one that fails is [`replace`].
///
/// # Errors
/// [`PlacementError`]: not even all fragments of a healthy system would have a place.
pub fn place(
    policy: &Policy,
    candidates: &[Candidate<'_>],
    segment: &[u8; 32],
) -> Result<Vec<usize>, PlacementError> {
    let total = usize::from(policy.code().total());
    let order = allowed(policy, candidates, segment);
    let required = &policy.placement.required_locations;
    if let Some(missing) = required
        .iter()
        .find(|name| !order.iter().any(|&at| candidates[at].name == **name))
    {
        return Err(PlacementError::Required(missing.clone()));
    }
    let mut room = Room {
        policy,
        locations: Tally::default(),
        providers: Tally::default(),
        regions: Tally::default(),
    };
    let mut placed = Vec::with_capacity(total);
    // Round after round, so that no location holds two fragments while another that may hold one has none.
    loop {
        let before = placed.len();
        for &at in &order {
            if placed.len() < total && room.admits(&candidates[at]) {
                room.take(&candidates[at]);
                placed.push(at);
            }
        }
        if placed.len() == total || placed.len() == before {
            break;
        }
    }
    if placed.len() < total {
        return Err(PlacementError::TooFew {
            needed: total,
            found: placed.len(),
        });
    }
    let holds = |name: &&String| placed.iter().any(|&at| candidates[at].name == **name);
    if let Some(left_out) = required.iter().find(|name| !holds(name)) {
        return Err(PlacementError::Required(left_out.clone()));
    }
    Ok(placed)
}

/// A location that may take over fragment `failed` of `placed`, if there is one: another than all that hold one, or tried to.
#[must_use]
pub fn replace(
    policy: &Policy,
    candidates: &[Candidate<'_>],
    placed: &[usize],
    failed: usize,
    tried: &[usize],
    segment: &[u8; 32],
) -> Option<usize> {
    let mut room = Room {
        policy,
        locations: Tally::default(),
        providers: Tally::default(),
        regions: Tally::default(),
    };
    for (fragment, &at) in placed.iter().enumerate() {
        if fragment != failed {
            room.take(&candidates[at]);
        }
    }
    (0..candidates.len())
        .filter(|at| !tried.contains(at) && !placed.contains(at))
        .filter(|&at| candidates[at].is_well && is_allowed(policy, &candidates[at]))
        .filter(|&at| room.admits(&candidates[at]))
        .min_by_key(|&at| rank(candidates[at].name, segment))
}

/// A location's rank for a segment: FNV-1a of both, mixed.
fn rank(name: &str, segment: &[u8; 32]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes().chain(segment[..16].iter().copied()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(region: &str, provider: &str) -> LocationSettings {
        let text = format!(
            r#"{{"backend":{{"kind":"memory"}},"region":"{region}","provider":"{provider}"}}"#
        );
        LocationSettings::parse(&text).unwrap()
    }

    fn policy(rest: &str) -> Policy {
        Policy::parse(&format!(
            r#"{{"redundancy":{{"kind":"rs","data":4,"parity":2}}{rest}}}"#
        ))
        .unwrap()
    }

    struct World(Vec<(String, LocationSettings)>);

    impl World {
        fn six() -> Self {
            let each = (0..6).map(|at| {
                let settings = settings(["x", "y", "z"][at % 3], ["p", "q"][at / 3]);
                (format!("l{at}"), settings)
            });
            Self(each.collect())
        }

        fn candidates(&self) -> Vec<Candidate<'_>> {
            let each = self.0.iter().map(|(name, settings)| Candidate {
                name,
                settings,
                is_writable: true,
                is_well: true,
            });
            each.collect()
        }
    }

    #[test]
    fn each_location_holds_one_fragment_unless_the_policy_allows_more() {
        let world = World::six();

        let mut placed = place(&policy(""), &world.candidates(), &[7; 32]).unwrap();

        placed.sort_unstable();
        assert_eq!(placed, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_provider_holds_no_more_than_it_may() {
        let world = World::six();
        let rule = r#","placement":{"per_provider":2}"#;

        let error = place(&policy(rule), &world.candidates(), &[7; 32]).unwrap_err();

        assert_eq!(
            error,
            PlacementError::TooFew {
                needed: 6,
                found: 4
            }
        );
    }

    #[test]
    fn two_on_each_of_three_where_that_is_allowed() {
        let world = World::six();
        let mut candidates = world.candidates();
        candidates.truncate(3);
        let rule = r#","placement":{"per_location":2}"#;

        let mut placed = place(&policy(rule), &candidates, &[7; 32]).unwrap();

        placed.sort_unstable();
        assert_eq!(placed, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_required_location_that_is_not_there_is_named() {
        let world = World::six();
        let rule = r#","placement":{"required_locations":["l9"]}"#;

        let error = place(&policy(rule), &world.candidates(), &[7; 32]).unwrap_err();

        assert_eq!(error, PlacementError::Required("l9".into()));
    }

    #[test]
    fn a_required_location_that_other_rules_leave_out_is_named() {
        let world = World::six();
        let one_each = r#"{"redundancy":{"kind":"replication","copies":2},"placement":{"required_locations":["l0","l1"],"per_provider":1}}"#;
        let policy = Policy::parse(one_each).unwrap();

        let error = place(&policy, &world.candidates(), &[7; 32]).unwrap_err();

        assert!(matches!(error, PlacementError::Required(_)), "{error}");
    }

    #[test]
    fn load_spreads_over_locations() {
        let world = World::six();
        let one = Policy::parse(r#"{"redundancy":{"kind":"replication","copies":1}}"#).unwrap();
        let mut held = [0; 6];

        for number in 0..6000_u32 {
            let mut segment = [0; 32];
            segment[..4].copy_from_slice(&number.to_le_bytes());
            held[place(&one, &world.candidates(), &segment).unwrap()[0]] += 1;
        }

        assert!(
            held.iter().all(|count| (800..1200).contains(count)),
            "{held:?}"
        );
    }

    #[test]
    fn who_takes_over_breaks_no_rule_and_is_not_one_that_failed() {
        let world = World::six();
        let hot = Policy::parse(
            r#"{"redundancy":{"kind":"replication","copies":3},"placement":{"per_region":1}}"#,
        )
        .unwrap();
        let candidates = world.candidates();
        let placed = place(&hot, &candidates, &[1; 32]).unwrap();

        let other = replace(&hot, &candidates, &placed, 0, &[placed[0]], &[1; 32]).unwrap();

        assert_eq!(
            candidates[other].settings.region,
            candidates[placed[0]].settings.region
        );
        assert_eq!(
            replace(&hot, &candidates, &placed, 0, &[placed[0], other], &[1; 32]),
            None
        );
    }
}
