//! Jobs: claimed by one, until the lease passes.

use sc_metadata::{Catalog, CatalogError, Job};

use crate::engines::on_every_engine;
use crate::house::NOW;

on_every_engine!(
    the_oldest_waiting_job_is_claimed_first,
    a_job_is_claimed_again_when_its_lease_has_passed,
    whoever_lost_a_job_learns_it_from_its_report,
    a_job_is_replaced_as_a_whole,
);

fn job(kind: &str) -> Job {
    Job {
        kind: kind.to_owned(),
        state: Job::WAITING.to_owned(),
        definition: "{}".to_owned(),
        created_ms: NOW,
        updated_ms: NOW,
        ..Job::default()
    }
}

async fn the_oldest_waiting_job_is_claimed_first(catalog: Catalog) {
    let mut ids = Vec::new();
    for kind in ["scrub", "repair", "scrub"] {
        ids.push(catalog.put_job(&job(kind)).await.unwrap());
    }
    let claim = async |kind| {
        let claimed = catalog.claim_job(kind, "me", NOW + 10, NOW).await.unwrap();
        claimed.map(|job| job.id)
    };

    assert!(ids.is_sorted_by(|one, next| one < next));
    assert_eq!(claim(Some("repair")).await, Some(ids[1]));
    assert_eq!(claim(None).await, Some(ids[0]));
    assert_eq!(claim(Some("repair")).await, None);
    assert_eq!(claim(None).await, Some(ids[2]));
    assert_eq!(claim(None).await, None);
}

async fn a_job_is_claimed_again_when_its_lease_has_passed(catalog: Catalog) {
    let id = catalog.put_job(&job("scrub")).await.unwrap();
    let claim = |owner: &'static str, now_ms| catalog.claim_job(None, owner, now_ms + 10, now_ms);

    claim("one", NOW).await.unwrap().unwrap();
    assert_eq!(claim("two", NOW + 9).await.unwrap(), None);
    let claimed = claim("two", NOW + 10).await.unwrap().unwrap();

    let expected = Job {
        id,
        state: Job::RUNNING.to_owned(),
        owner: Some("two".to_owned()),
        lease_until_ms: NOW + 20,
        updated_ms: NOW + 10,
        ..job("scrub")
    };
    assert_eq!(claimed, expected);
    assert_eq!(catalog.job(id).await.unwrap(), Some(expected));
}

async fn whoever_lost_a_job_learns_it_from_its_report(catalog: Catalog) {
    let id = catalog.put_job(&job("scrub")).await.unwrap();
    catalog.claim_job(None, "one", NOW, NOW).await.unwrap();
    catalog.claim_job(None, "two", NOW + 10, NOW).await.unwrap();
    let report = |owner: &'static str, state: &'static str| {
        catalog.advance_job(id, owner, state, "half", NOW + 30, NOW + 5)
    };

    assert!(!report("one", Job::RUNNING).await.unwrap());
    assert!(report("two", Job::RUNNING).await.unwrap());
    assert_eq!(
        catalog.job(id).await.unwrap().unwrap().lease_until_ms,
        NOW + 30
    );
    assert!(report("two", "done").await.unwrap());
    assert!(!report("two", "done").await.unwrap());
    let job = catalog.job(id).await.unwrap().unwrap();
    assert_eq!((&*job.state, &*job.progress), ("done", "half"));
}

async fn a_job_is_replaced_as_a_whole(catalog: Catalog) {
    let id = catalog.put_job(&job("scrub")).await.unwrap();
    let cancelled = Job {
        id,
        state: "cancelled".to_owned(),
        ..job("scrub")
    };

    assert_eq!(catalog.put_job(&cancelled).await, Ok(id));

    let second = catalog.put_job(&job("repair")).await.unwrap();
    let jobs = catalog.jobs(None, 9).await.unwrap();
    assert_eq!((jobs.len(), &jobs[0]), (2, &cancelled));
    assert_eq!(catalog.jobs(Some(id), 9).await.unwrap()[0].id, second);
    let unknown = Job { id: 99, ..job("x") };
    assert_eq!(
        catalog.put_job(&unknown).await,
        Err(CatalogError::NoSuchJob)
    );
    assert_eq!(catalog.job(99).await.unwrap(), None);
}
