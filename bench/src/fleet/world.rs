//! Router, trusted program, publisher and consumers of one run, from their start to their end.
//!
//! Invariant: processor time is of the whole run, from the start of each party; memory is the greatest that a process
//! has had at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::cli::OwnerKind;
use crate::processor::{Meter, children, peak_memory_bytes};
use crate::role::{Binaries, Role};

use super::load::{Load, Summary};
use super::publishing::{Batch, Publishing, Told};
use super::{PATIENCE, now_ns, owner};

/// Where files lie in memory, so that the journals of thousands of consumers, which would be on as many machines, do not
/// share one disk here.
const MEMORY_FOLDER: &str = "/dev/shm";

/// One run.
pub(crate) struct World {
    router: Role,
    address: String,
    program: u32,
    loads: Vec<Load>,
    publishing: Option<Publishing>,
    owner: Arc<sc_crypto::OwnerSecret>,
    own: Meter,
    own_before_ns: u64,
    folder: TempDir,
    _journals: TempDir,
}

/// What a run has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) router_peak_mib: f64,
    pub(crate) program_peak_mib: f64,
    pub(crate) router_cpu_s: f64,
    pub(crate) program_cpu_s: f64,
    pub(crate) publisher_cpu_s: f64,
    pub(crate) consumers_cpu_s: f64,
    /// Requests that consumers made again because no answer had come.
    pub(crate) asked_again: u64,
}

impl Usage {
    /// Under the names that tables have.
    pub(crate) fn figures(&self) -> [(&'static str, f64); 7] {
        [
            ("router peak MiB", self.router_peak_mib),
            ("trusted program peak MiB", self.program_peak_mib),
            ("router cpu s", self.router_cpu_s),
            ("trusted program cpu s", self.program_cpu_s),
            ("publisher cpu s", self.publisher_cpu_s),
            ("consumers cpu s", self.consumers_cpu_s),
            ("requests made again", self.asked_again as f64),
        ]
    }
}

impl World {
    /// Starts a router and processes of consumers; `loads` says how many consumers each has and with which
    /// subscriptions. None has connected yet.
    ///
    /// # Errors
    /// A process does not start.
    pub(crate) fn start(
        binaries: &Binaries,
        kind: OwnerKind,
        loads: &[(u64, String)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let journals = in_memory()?;
        let owner = owner::generate(kind)?;
        std::fs::write(folder.path().join("key.pub"), owner.public().to_pem())?;
        let (router, address) = start_router(binaries, folder.path())?;
        let program = only_child(&router)?;
        let mut first = 0;
        let mut started = Vec::new();
        for (count, subscriptions) in loads {
            let who = (first, *count);
            let (folder, journals) = (folder.path(), journals.path());
            started.push(Load::start(folder, journals, &address, who, subscriptions)?);
            first += count;
        }
        started.iter_mut().try_for_each(Load::ready)?;
        let mut own = Meter::new([std::process::id()]);
        Ok(Self {
            router,
            address,
            program,
            loads: started,
            publishing: None,
            owner: Arc::new(owner),
            own_before_ns: own.read_ns()?,
            own,
            folder,
            _journals: journals,
        })
    }

    /// Connects all consumers; returns when it began and when the last link was proved.
    pub(crate) fn connect(&mut self) -> anyhow::Result<(u64, u64)> {
        let begin = now_ns();
        self.tell_all("connect")?;
        Ok((begin, self.last_ns("linked")?))
    }

    /// Opens the domain, whereupon all consumers ask; returns when the publisher's link was proved, before any consumer
    /// could have asked, and when the last consumer was admitted and the publisher knew that all are.
    pub(crate) fn admit(&mut self) -> anyhow::Result<(u64, u64)> {
        let consumers: u64 = self.loads.iter().map(|load| load.count).sum();
        let journal: PathBuf = self.folder.path().join("key.journal");
        let publishing = Publishing::start(
            Arc::clone(&self.owner),
            journal,
            &self.address,
            usize::try_from(consumers)?,
        )?;
        let Told::Connected(begin) = publishing.next()? else {
            anyhow::bail!("the publisher tells of consumers before it is connected");
        };
        let Told::Complete(complete) = publishing.next()? else {
            anyhow::bail!("the publisher tells of a batch before there is one");
        };
        self.publishing = Some(publishing);
        Ok((begin, complete.max(self.last_ns("admitted")?)))
    }

    /// Publishes one batch; returns when, and how many (publication, subscription) pairs its receipt says of.
    pub(crate) fn publish(&mut self, batch: Batch) -> anyhow::Result<(u64, u64)> {
        let publishing = self.publishing.as_ref().context("nobody publishes yet")?;
        let begin = now_ns();
        publishing.publish(batch)?;
        match publishing.next()? {
            Told::Published(deliveries) => Ok((begin, deliveries)),
            other => anyhow::bail!("the publisher says {other:?} instead of a receipt"),
        }
    }

    /// Stops a process of consumers, counted from 0.
    pub(crate) fn pause(&self, load: usize) -> anyhow::Result<()> {
        self.loads[load].pause()
    }

    /// Lets a stopped process go on.
    pub(crate) fn resume(&self, load: usize) -> anyhow::Result<()> {
        self.loads[load].resume()
    }

    /// Waits until the consumers of a process have had so many deliveries; returns when they had the last.
    pub(crate) fn delivered(&mut self, load: usize, deliveries: u64) -> anyhow::Result<u64> {
        let load = &mut self.loads[load];
        load.tell(&format!("await {deliveries}"))?;
        load.at_ns("delivered")
    }

    /// Ends everything; `each` is what every single consumer must have had, if that is the same for all.
    ///
    /// # Errors
    /// Consumers have seen something that they should not, or not `deliveries` in all.
    pub(crate) fn end(mut self, deliveries: u64, each: Option<u64>) -> anyhow::Result<Usage> {
        let mut usage = self.usage()?;
        let summaries = self
            .loads
            .drain(..)
            .map(Load::end)
            .collect::<anyhow::Result<Vec<_>>>()?;
        check(&summaries, deliveries, each)?;
        usage.asked_again = summaries.iter().map(|summary| summary.asked_again).sum();
        Ok(usage)
    }

    /// What has been used so far.
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        let loads: Vec<_> = self.loads.iter().map(Load::process).collect();
        let own_ns = self.own.read_ns()? - self.own_before_ns;
        let peak_mib = |process| {
            Ok::<_, anyhow::Error>(peak_memory_bytes(process)? as f64 / f64::from(1 << 20))
        };
        let cpu_s = |processes: Vec<u32>| {
            Ok::<_, anyhow::Error>(Meter::new(processes).read_ns()? as f64 / 1e9)
        };
        Ok(Usage {
            router_peak_mib: peak_mib(self.router.process())?,
            program_peak_mib: peak_mib(self.program)?,
            router_cpu_s: cpu_s(vec![self.router.process()])?,
            program_cpu_s: cpu_s(vec![self.program])?,
            publisher_cpu_s: own_ns as f64 / 1e9,
            consumers_cpu_s: cpu_s(loads)?,
            asked_again: 0,
        })
    }

    fn tell_all(&mut self, words: &str) -> anyhow::Result<()> {
        self.loads.iter_mut().try_for_each(|load| load.tell(words))
    }

    /// When the last consumer of all had this event.
    fn last_ns(&mut self, event: &str) -> anyhow::Result<u64> {
        let times = self.loads.iter_mut().map(|load| load.at_ns(event));
        let times = times.collect::<anyhow::Result<Vec<_>>>()?;
        times.into_iter().max().context("there are no consumers")
    }
}

fn check(summaries: &[Summary], deliveries: u64, each: Option<u64>) -> anyhow::Result<()> {
    let delivered: u64 = summaries.iter().map(|summary| summary.deliveries).sum();
    ensure!(
        delivered == deliveries,
        "{delivered} deliveries instead of {deliveries}"
    );
    if let Some(each) = each {
        let fits = |summary: &Summary| (summary.least, summary.most) == (each, each);
        ensure!(
            summaries.iter().all(fits),
            "some consumers had more or fewer than {each} deliveries"
        );
    }
    Ok(())
}

fn in_memory() -> anyhow::Result<TempDir> {
    let folder = Path::new(MEMORY_FOLDER);
    Ok(if folder.is_dir() {
        TempDir::new_in(folder)?
    } else {
        TempDir::new()?
    })
}

fn start_router(binaries: &Binaries, folder: &Path) -> anyhow::Result<(Role, String)> {
    let mut router = Role::start(binaries, folder, "scbr", ["-a", "localhost:0"])?;
    let endpoints = router.event("endpoints", PATIENCE)?;
    let address = endpoints["endpoints"][0].as_str();
    let address = address.context("the router names no endpoint")?.to_owned();
    router.event("ready", PATIENCE)?;
    Ok((router, address))
}

fn only_child(router: &Role) -> anyhow::Result<u32> {
    match children(router.process())?[..] {
        [program] => Ok(program),
        ref others => anyhow::bail!(
            "the router has {} children instead of one trusted program",
            others.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(deliveries: u64, least: u64, most: u64) -> Summary {
        Summary {
            deliveries,
            least,
            most,
            asked_again: 0,
        }
    }

    #[test]
    fn one_delivery_for_each_consumer_is_what_is_expected() {
        assert!(check(&[summary(3, 1, 1), summary(2, 1, 1)], 5, Some(1)).is_ok());
    }

    #[test]
    fn a_missing_and_a_surplus_delivery_do_not_make_up_for_each_other() {
        assert!(check(&[summary(3, 0, 2)], 3, Some(1)).is_err());
    }

    #[test]
    fn a_missing_delivery_fails() {
        let error = check(&[summary(2, 0, 2)], 3, None).unwrap_err();

        assert_eq!(error.to_string(), "2 deliveries instead of 3");
    }
}
