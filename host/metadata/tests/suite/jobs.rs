//! Jobs: their parts are claimed by one at a time, until the lease passes, and leases of other things.

use bytes::Bytes;
use sc_metadata::{
    Catalog, CatalogError, JOB_PARTS, JobPart, JobReport, JobState, Join, Location, LocationState,
    OtherWork, Then,
};

use crate::engines::on_every_engine;
use crate::house::NOW;

on_every_engine!(
    parts_of_repairs_and_of_the_oldest_job_are_claimed_first,
    a_part_is_claimed_again_when_its_lease_has_passed_or_it_was_let_go,
    whoever_lost_a_part_learns_it_from_its_report,
    a_job_is_done_with_the_last_of_its_parts,
    a_job_that_is_cancelled_ends_for_its_workers,
    the_same_job_is_not_made_twice_while_it_runs,
    whoever_is_at_a_job_learns_of_what_comes_first,
    jobs_are_listed_newest_first_and_forgotten_when_they_are_old,
    a_lease_has_one_owner,
    a_location_that_was_lost_returns_with_a_job_of_this_return_alone,
    what_a_rebuild_has_not_heard_is_known,
    a_turn_comes_once_in_a_while,
);

async fn add(catalog: &Catalog, kind: &str) -> u64 {
    catalog.add_job(kind, "{}", Join::None, NOW).await.unwrap()
}

async fn claim(catalog: &Catalog, owner: &str, now_ms: u64) -> Option<(u64, u8)> {
    let claimed = catalog.claim_part(owner, now_ms + 10, now_ms).await;
    claimed.unwrap().map(|(job, part)| (job.id, part))
}

fn report(job: u64, part: u8, owner: &str, then: Then) -> JobReport {
    JobReport {
        job,
        part,
        owner: owner.to_owned(),
        cursor: Bytes::from_static(b"half"),
        progress: "so far".to_owned(),
        then,
        now_ms: NOW + 5,
    }
}

async fn parts_of_repairs_and_of_the_oldest_job_are_claimed_first(catalog: Catalog) {
    let (one, last) = (add(&catalog, "scrub").await, add(&catalog, "scrub").await);
    let repair = add(&catalog, "repair").await;
    let mut claimed = Vec::new();
    while let Some(part) = claim(&catalog, "me", NOW).await {
        claimed.push(part);
    }

    let parts = |job| (0..JOB_PARTS).map(move |part| (job, part));
    let expected: Vec<_> = parts(repair).chain(parts(one)).chain(parts(last)).collect();
    assert_eq!(claimed, expected);
    let job = catalog.job(one).await.unwrap().unwrap();
    assert_eq!(
        (job.kind.as_str(), job.state, job.created_ms),
        ("scrub", JobState::Running, NOW)
    );
    let expected = JobPart {
        number: 3,
        is_done: false,
        cursor: JobPart::range(3).start.into(),
        progress: String::new(),
        owner: Some("me".to_owned()),
        lease_until_ms: NOW + 10,
    };
    assert_eq!(job.parts[3], expected);
}

async fn a_part_is_claimed_again_when_its_lease_has_passed_or_it_was_let_go(catalog: Catalog) {
    let job = add(&catalog, "scrub").await;
    for _ in 0..JOB_PARTS {
        claim(&catalog, "one", NOW).await.unwrap();
    }

    assert_eq!(claim(&catalog, "two", NOW + 9).await, None);
    assert_eq!(claim(&catalog, "two", NOW + 10).await, Some((job, 0)));
    let let_go = report(job, 0, "two", Then::LetGo);
    assert!(catalog.report_part(let_go).await.unwrap());
    assert_eq!(claim(&catalog, "three", NOW).await, Some((job, 0)));
    assert_eq!(claim(&catalog, "three", NOW).await, None);
    catalog.let_go_parts("one").await.unwrap();
    assert_eq!(claim(&catalog, "three", NOW).await, Some((job, 1)));
}

async fn whoever_lost_a_part_learns_it_from_its_report(catalog: Catalog) {
    let job = add(&catalog, "scrub").await;
    claim(&catalog, "one", NOW).await.unwrap();
    claim(&catalog, "two", NOW + 10).await.unwrap();

    let late = catalog.report_part(report(job, 0, "one", Then::Done)).await;
    assert_eq!(late, Ok(false));
    let goes_on = report(job, 0, "two", Then::GoOn(NOW + 99));
    assert_eq!(catalog.report_part(goes_on).await, Ok(true));

    let part = &catalog.job(job).await.unwrap().unwrap().parts[0];
    assert_eq!(
        (part.owner.as_deref(), part.lease_until_ms, &part.cursor[..]),
        (Some("two"), NOW + 99, &b"half"[..])
    );
    assert_eq!(part.progress, "so far");
}

async fn a_job_is_done_with_the_last_of_its_parts(catalog: Catalog) {
    let job = add(&catalog, "scrub").await;
    for part in 0..JOB_PARTS {
        let state = catalog.job(job).await.unwrap().unwrap().state;
        assert_eq!(state, JobState::Running);
        claim(&catalog, "me", NOW).await.unwrap();
        let done = catalog.report_part(report(job, part, "me", Then::Done));
        assert!(done.await.unwrap());
    }

    let ended = catalog.job(job).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.updated_ms), (JobState::Done, NOW + 5));
    assert!(ended.parts.iter().all(|part| part.is_done));
    assert_eq!(claim(&catalog, "me", NOW + 100).await, None);
}

async fn a_job_that_is_cancelled_ends_for_its_workers(catalog: Catalog) {
    let job = add(&catalog, "scrub").await;
    claim(&catalog, "me", NOW).await.unwrap();

    assert_eq!(catalog.cancel_job(job, NOW + 1).await, Ok(true));

    let goes_on = report(job, 0, "me", Then::GoOn(NOW + 99));
    assert_eq!(catalog.report_part(goes_on).await, Ok(false));
    assert_eq!(claim(&catalog, "me", NOW).await, None);
    assert_eq!(catalog.cancel_job(job, NOW + 2).await, Ok(false));
    let unknown = catalog.cancel_job(job + 1, NOW).await;
    assert_eq!(unknown, Err(CatalogError::NoSuchJob));
}

async fn the_same_job_is_not_made_twice_while_it_runs(catalog: Catalog) {
    let join = async |kind: &str, definition: &str, join| {
        let added = catalog.add_job(kind, definition, join, NOW);
        added.await.unwrap()
    };
    let add = async |kind: &str, definition: &str| join(kind, definition, Join::Unbegun).await;
    let first = add("drain", "here").await;

    assert_eq!(add("drain", "here").await, first);
    assert_ne!(add("drain", "there").await, first);
    assert_ne!(add("repair", "here").await, first);
    // What has begun may have passed what is to be done now.
    let (begun, _) = claim(&catalog, "me", NOW).await.unwrap();
    assert_eq!(join("repair", "here", Join::Running).await, begun);
    let newer = add("repair", "here").await;
    assert_ne!(newer, begun);
    assert_eq!(join("repair", "here", Join::Running).await, newer);
    catalog.cancel_job(first, NOW).await.unwrap();
    assert_ne!(add("drain", "here").await, first);
}

async fn jobs_are_listed_newest_first_and_forgotten_when_they_are_old(catalog: Catalog) {
    let mut ids = Vec::new();
    for kind in ["one", "two", "three"] {
        ids.push(add(&catalog, kind).await);
    }
    let list = async |before, limit| -> Vec<u64> {
        let jobs = catalog.jobs(before, limit).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    };

    assert_eq!(list(None, 9).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(Some(ids[2]), 1).await, [ids[1]]);
    catalog.cancel_job(ids[1], NOW + 7).await.unwrap();
    catalog.forget_jobs(NOW + 7).await.unwrap();
    assert_eq!(list(None, 9).await.len(), 3);
    catalog.forget_jobs(NOW + 8).await.unwrap();
    assert_eq!(list(None, 9).await, [ids[2], ids[0]]);
}

async fn whoever_is_at_a_job_learns_of_what_comes_first(catalog: Catalog) {
    let scrub = add(&catalog, "scrub").await;
    let other = async || catalog.other_work(scrub, NOW).await.unwrap();
    assert_eq!(other().await, OtherWork::None, "its own parts do not count");
    let tier = add(&catalog, "tier").await;
    assert_eq!(other().await, OtherWork::Some);
    let repair = add(&catalog, "repair").await;
    assert_eq!(other().await, OtherWork::MoreUrgent);
    assert_eq!(catalog.other_work(repair, NOW).await, Ok(OtherWork::Some));
    for _ in 0..JOB_PARTS {
        assert_eq!(claim(&catalog, "me", NOW).await.unwrap().0, repair);
    }
    assert_eq!(
        other().await,
        OtherWork::Some,
        "what somebody is at does not count"
    );

    let running = catalog.running_jobs().await.unwrap();
    let running: Vec<_> = running.iter().map(|it| (it.0, it.1.as_str())).collect();
    assert_eq!(running, [(scrub, "{}"), (tier, "{}"), (repair, "{}")]);
    catalog.cancel_job(tier, NOW).await.unwrap();
    assert_eq!(other().await, OtherWork::None);
    assert_eq!(catalog.running_jobs().await.unwrap().len(), 2);
}

async fn a_lease_has_one_owner(catalog: Catalog) {
    let hold = async |owner, now_ms| {
        let held = catalog.hold_lease("debts", owner, now_ms + 10, now_ms);
        held.await.unwrap()
    };

    assert!(hold("one", NOW).await);
    assert!(!hold("two", NOW + 9).await);
    assert!(hold("one", NOW + 9).await);
    assert!(hold("two", NOW + 19).await);
    catalog.return_lease("debts", "one").await.unwrap();
    assert!(!hold("one", NOW + 20).await);
    catalog.return_lease("debts", "two").await.unwrap();
    assert!(hold("one", NOW + 20).await);
}

async fn a_turn_comes_once_in_a_while(catalog: Catalog) {
    let is_turn = async |now_ms| catalog.is_turn("scrub", 100, now_ms).await.unwrap();

    assert!(!is_turn(NOW).await);
    assert!(!is_turn(NOW + 99).await);
    assert!(is_turn(NOW + 100).await);
    assert!(!is_turn(NOW + 199).await);
    assert!(is_turn(NOW + 900).await);
}

async fn put_location(catalog: &Catalog, name: &str, state: LocationState) -> LocationState {
    let location = Location {
        name: name.to_owned(),
        settings: "{}".to_owned(),
        state,
        identity: None,
    };
    catalog.put_location(&location).await.unwrap()
}

async fn finish(catalog: &Catalog, job: u64) {
    while let Some((claimed, part)) = claim(catalog, "me", NOW).await {
        assert_eq!(claimed, job);
        let done = catalog.report_part(report(job, part, "me", Then::Done));
        assert!(done.await.unwrap());
    }
}

async fn a_location_that_was_lost_returns_with_a_job_of_this_return_alone(catalog: Catalog) {
    use LocationState::{Active, Lost, ReadOnly, Returning};
    assert_eq!(put_location(&catalog, "a", Active).await, Active);
    let set = async |state| catalog.set_location_state("a", state).await.unwrap();
    assert_eq!(set(ReadOnly).await, ReadOnly);
    assert_eq!(catalog.returning("a").await, Ok(None));
    assert_eq!(set(Lost).await, Lost);
    assert_eq!(set(Active).await, Returning);
    let first = catalog.returning("a").await.unwrap().unwrap();
    // To say it again begins nothing.
    assert_eq!(put_location(&catalog, "a", Active).await, Returning);
    assert_eq!(catalog.returning("a").await, Ok(Some(first)));
    let early = add(&catalog, "return").await;
    assert!(early > first.since);
    assert_eq!(catalog.readmit_location("a", early).await, Ok(false));
    finish(&catalog, early).await;

    // Lost again, and back: what was done for the return before counts no more.
    assert_eq!(put_location(&catalog, "a", Lost).await, Lost);
    assert_eq!(catalog.readmit_location("a", early).await, Ok(false));
    assert_eq!(set(ReadOnly).await, Returning);
    let second = catalog.returning("a").await.unwrap().unwrap();
    assert!(second.since > early);
    assert_eq!(catalog.readmit_location("a", early).await, Ok(false));
    let since = Join::Since(second.since);
    let late = catalog.add_job("return", "{}", since, NOW).await.unwrap();
    assert_eq!(
        catalog.add_job("return", "{}", since, NOW).await,
        Ok(late),
        "one that is running and new enough is joined"
    );
    finish(&catalog, late).await;

    assert_eq!(catalog.readmit_location("a", late).await, Ok(true));
    assert_eq!(catalog.readmit_location("a", late).await, Ok(false));
    assert_eq!(catalog.locations().await.unwrap()[0].state, Active);
    assert_eq!(set(ReadOnly).await, ReadOnly);
}

async fn what_a_rebuild_has_not_heard_is_known(catalog: Catalog) {
    for name in ["a", "b", "c"] {
        put_location(&catalog, name, LocationState::Active).await;
    }
    assert!(catalog.unheard().await.unwrap().is_empty());

    catalog
        .set_heard(vec!["a".into(), "c".into()])
        .await
        .unwrap();

    let unheard: Vec<_> = catalog.unheard().await.unwrap().into_iter().collect();
    assert_eq!(unheard, ["b"]);
    catalog
        .set_location_state("b", LocationState::Lost)
        .await
        .unwrap();
    catalog
        .set_location_state("b", LocationState::Active)
        .await
        .unwrap();
    assert!(catalog.returning("b").await.unwrap().unwrap().is_unheard);
    catalog.set_heard(vec!["b".into()]).await.unwrap();
    assert!(!catalog.returning("b").await.unwrap().unwrap().is_unheard);
}
