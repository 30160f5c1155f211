//! Callers that want the same thing at the same time.

use std::collections::BTreeSet;

use sc_metadata::{Catalog, CatalogError, Commit, Condition, JOB_PARTS, Join};
use tokio::task::JoinHandle;

use crate::engines::on_every_engine;
use crate::house::{DUE, House, LEASE, SEGMENT_STORED, TENANT, commit, segment, version_id};

on_every_engine!(
    of_many_puts_the_one_that_began_last_stays,
    of_many_conditional_puts_one_succeeds,
    an_intent_is_committed_or_expired,
    a_quota_holds_against_many,
    sums_are_exact_after_many_operations_at_once,
    each_part_of_a_job_is_claimed_once,
    versions_of_a_policy_are_numbered_one_by_one,
);

/// Runs the same thing at once in `count` tasks; returns what came of each.
async fn at_once<F>(count: u64, run: impl Fn(u64) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<JoinHandle<_>> = (0..count).map(|task| tokio::spawn(run(task))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn of_many_puts_the_one_that_began_last_stays(catalog: Catalog) {
    let house = House::new(catalog.clone(), false).await;

    let committed = at_once(24, |task| {
        let house = house.clone();
        async move {
            let version = house.begin("a", task).await;
            (house.commit(version).await.unwrap(), version)
        }
    })
    .await;

    let last = committed
        .iter()
        .max_by_key(|(committed, _)| committed.number)
        .unwrap();
    assert_eq!(house.current("a").await, Some(last.1));
    let superseded: BTreeSet<_> = committed
        .iter()
        .flat_map(|(committed, _)| committed.superseded.clone())
        .collect();
    assert_eq!(superseded.len(), 23);
    assert_eq!(house.garbage().await.len(), 23);
    let datastore = house.datastore().await;
    assert_eq!((datastore.objects, datastore.used_bytes), (1, 100));
}

async fn of_many_conditional_puts_one_succeeds(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;

    let committed = at_once(16, |task| {
        let house = house.clone();
        async move {
            let version = house.begin("a", task).await;
            let only_first = Commit {
                condition: Condition::IfAbsent,
                ..commit(version)
            };
            house.catalog.commit_object(only_first).await
        }
    })
    .await;

    let (won, lost): (Vec<_>, Vec<_>) = committed.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    assert!(
        lost.iter()
            .all(|lost| *lost == Err(CatalogError::ConditionFailed))
    );
    assert_eq!(house.versions().await.len(), 1);
}

async fn an_intent_is_committed_or_expired(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    for number in 0..20 {
        house.begin("a", number).await;
    }

    let outcomes = at_once(40, |task| {
        let house = house.clone();
        async move {
            let version = version_id(task / 2);
            if task % 2 == 0 {
                house.commit(version).await.is_ok()
            } else {
                house
                    .catalog
                    .expire_intent(version, LEASE, DUE)
                    .await
                    .unwrap()
            }
        }
    })
    .await;

    for (number, pair) in (0..).zip(outcomes.chunks(2)) {
        let &[committed, expired] = pair else {
            unreachable!("tasks come in pairs");
        };
        assert_ne!(committed, expired, "version {number}");
        let segments = house
            .catalog
            .segments(version_id(number), 0..9)
            .await
            .unwrap();
        assert_eq!(segments.len(), usize::from(committed));
    }
    let garbage = outcomes.chunks(2).filter(|pair| pair[1]).count();
    assert_eq!(house.garbage().await.len(), garbage);
}

async fn a_quota_holds_against_many(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;
    let quota = catalog.update_datastore(house.id, None, None, Some(Some(350)));
    quota.await.unwrap();

    let committed = at_once(12, |task| {
        let house = house.clone();
        async move {
            let version = house.begin(&format!("key-{task}"), task).await;
            house.commit(version).await.is_ok()
        }
    })
    .await;

    assert_eq!(
        committed.into_iter().filter(|committed| *committed).count(),
        3
    );
    assert_eq!(house.datastore().await.used_bytes, 300);
}

async fn sums_are_exact_after_many_operations_at_once(catalog: Catalog) {
    let house = House::new(catalog.clone(), true).await;

    at_once(12, |task| {
        let house = house.clone();
        async move {
            for turn in 0..8 {
                let number = task * 100 + turn;
                let name = format!("key-{}", number % 5);
                let version = house.begin(&name, number).await;
                let segment = segment(version, 0, 0, 0);
                let fewer = house
                    .catalog
                    .set_fragments(segment.id, &segment.fragments[..2]);
                let (fewer, committed) = tokio::join!(fewer, house.commit(version));
                fewer.unwrap();
                committed.unwrap();
                match turn % 4 {
                    0 => drop(house.delete(&name, Some(10_000 + number)).await),
                    1 => drop(house.delete_version(&name, version).await),
                    _ => (),
                }
            }
        }
    })
    .await;

    let versions = house.versions().await;
    let usage = catalog.usage(TENANT).await.unwrap();
    let data = versions.iter().filter(|version| !version.is_marker).count() as u64;
    assert_eq!(usage.versions, versions.len() as u64);
    assert_eq!(usage.bytes, 100 * data);
    assert_eq!(usage.stored_bytes, (SEGMENT_STORED - 50) * data);
    let objects: BTreeSet<_> = versions
        .into_iter()
        .filter(|version| version.is_current && !version.is_marker)
        .map(|version| version.key)
        .collect();
    assert_eq!(
        house.keys().await,
        objects.iter().cloned().collect::<Vec<_>>()
    );
    assert_eq!(usage.objects, objects.len() as u64);
}

async fn each_part_of_a_job_is_claimed_once(catalog: Catalog) {
    let jobs = at_once(6, |_| {
        let catalog = catalog.clone();
        async move {
            catalog
                .add_job("scrub", "{}", Join::Running, 0)
                .await
                .unwrap()
        }
    })
    .await;
    assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");

    let claimed = at_once(8, |task| {
        let catalog = catalog.clone();
        async move {
            let owner = format!("owner-{task}");
            let mut parts = Vec::new();
            // Whoever was beaten to a part asks again.
            for _ in 0..40 {
                let claimed = catalog.claim_part(&owner, LEASE, 0).await.unwrap();
                parts.extend(claimed.map(|(_, part)| part));
            }
            parts
        }
    })
    .await;

    let mut parts = claimed.concat();
    parts.sort_unstable();
    assert_eq!(parts, (0..JOB_PARTS).collect::<Vec<_>>());
}

async fn versions_of_a_policy_are_numbered_one_by_one(catalog: Catalog) {
    let policies = at_once(8, |task| {
        let catalog = catalog.clone();
        async move { catalog.put_policy("hot", &format!("{task}")).await.unwrap() }
    })
    .await;

    let versions: BTreeSet<_> = policies.iter().map(|policy| policy.version).collect();
    assert_eq!(versions, (1..=8).collect());
}
