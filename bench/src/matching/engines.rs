//! The engines: the index of this project and its peers, each as its authors describe it.

mod aspe;
mod counting;
mod forest;
mod index;
mod oblivious;
mod ordered;
mod prefilter;
mod rein;
mod rows;
mod scan;
mod tree;

pub(crate) use aspe::Aspe;
pub(crate) use counting::Counting;
pub(crate) use forest::Forest;
pub(crate) use index::Index;
pub(crate) use oblivious::Oblivious;
pub(crate) use prefilter::Prefilter;
pub(crate) use rein::Rein;
pub(crate) use scan::Scan;
pub(crate) use tree::Tree;

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use sc_matching::{Features, Kernel, Subscription};

    use crate::matching::engine::{Engine, EngineName, Publications, Sample};
    use crate::matching::workload::tests::{all_generated, generated};
    use crate::matching::workload::{Workload, WorkloadName};

    const SUBSCRIPTIONS: u32 = 400;
    const PUBLICATIONS: usize = 60;

    fn first(workload: &Workload) -> Vec<Subscription> {
        (0..SUBSCRIPTIONS)
            .map(|n| workload.subscription(n))
            .collect()
    }

    fn filled(name: EngineName, workload: &Workload) -> Box<dyn Engine> {
        let subscriptions = first(workload);
        let sample = Sample {
            subscriptions: &subscriptions[..50],
            publications: &workload.publications,
        };
        let mut engine = name
            .create(&sample, Kernel::fastest(Features::ALL))
            .unwrap();
        for (id, subscription) in subscriptions.iter().enumerate() {
            engine.insert(id as u32, subscription).unwrap();
        }
        engine
    }

    /// The ids that an engine finds for each of the first publications, ascending.
    fn found(engine: &dyn Engine, workload: &Workload) -> Vec<Vec<u32>> {
        let list = &workload.publications[..PUBLICATIONS];
        let bytes = Publications::encode(list).unwrap();
        let publications = Publications::decode(list, &bytes).unwrap();
        let mut pass = engine.pass(&publications).unwrap();
        let answer = |at| {
            let mut ids = vec![7; 3];
            pass.ids(at, &mut ids);
            ids.sort_unstable();
            ids
        };
        (0..PUBLICATIONS).map(answer).collect()
    }

    /// What the language defines, for the subscriptions whose ids are `kept`.
    fn defined(workload: &Workload, kept: impl Fn(u32) -> bool) -> Vec<Vec<u32>> {
        let subscriptions = first(workload);
        let matching = |publication| {
            let ids = (0..SUBSCRIPTIONS).filter(|id| kept(*id));
            ids.filter(|id| subscriptions[*id as usize].matches(publication))
                .collect()
        };
        let publications = workload.publications[..PUBLICATIONS].iter();
        publications.map(matching).collect()
    }

    #[test]
    fn every_engine_finds_what_the_language_defines_on_every_workload() {
        for name in all_generated() {
            let workload = generated(name);
            let defined = defined(&workload, |_| true);

            for engine in EngineName::value_variants() {
                let found = found(&*filled(*engine, &workload), &workload);

                assert_eq!(found, defined, "{engine} on {name:?}");
            }
        }
    }

    #[test]
    fn what_was_removed_is_not_found_and_what_comes_again_is() {
        let gone = |id: u32| id.is_multiple_of(3);
        let back = |id: u32| id.is_multiple_of(6);
        for name in [
            WorkloadName::E80a1,
            WorkloadName::Fan10,
            WorkloadName::Quotes,
        ] {
            let workload = generated(name);
            let after_removal = defined(&workload, |id| !gone(id));
            let after_return = defined(&workload, |id| !gone(id) || back(id));
            let engines = EngineName::value_variants().iter();
            for engine in engines.filter(|engine| **engine != EngineName::ATree) {
                let mut filled = filled(*engine, &workload);

                for id in (0..SUBSCRIPTIONS).filter(|id| gone(*id)) {
                    assert_eq!(filled.remove(id), Ok(true), "{engine}");
                    assert_eq!(filled.remove(id), Ok(false), "{engine}");
                }
                let without = found(&*filled, &workload);
                for id in (0..SUBSCRIPTIONS).filter(|id| back(*id)) {
                    filled.insert(id, &workload.subscription(id)).unwrap();
                }
                let with = found(&*filled, &workload);

                assert_eq!(without, after_removal, "{engine} on {name:?}");
                assert_eq!(with, after_return, "{engine} on {name:?}");
            }
        }
    }

    #[test]
    fn an_engine_without_removal_says_so() {
        let workload = generated(WorkloadName::Range0);
        let mut tree = filled(EngineName::ATree, &workload);

        assert!(tree.remove(0).is_err());
    }
}
