//! A process of many consumers, each with an identity, a socket, a journal and a task of its own.
//!
//! It says events as the roles do and is told what to do on its standard input: `connect`, `await N`, `end`. It ends when
//! nobody speaks to it any more.

use std::cell::RefCell;
use std::io::stdin;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, ensure};
use sc_client::{
    IdentitySigner, Journal, LinkNews, Memory, News, OsEntropy, Subscriber, SubscriberLoop,
    SubscriberSettings,
};
use sc_crypto::{OwnerPublic, OwnerSecret};
use sc_matching::Subscription;
use sc_transport::{Attach, Driver, Endpoint, LinkSettings, Role};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use crate::cli::ConsumersArgs;
use crate::descriptors;
use crate::report::line;
use crate::workload::parse_subscriptions;

use super::tally::Tally;
use super::{now_ns, owner};

/// Consumers of one process that connect at once: more would overflow the queue of connections that the router has not
/// taken yet, and wait a second for their next attempt.
const DIALS_MAX: usize = 128;

/// One consumer before it connects.
struct Consumer {
    place: usize,
    identity: Arc<OwnerSecret>,
    subscriptions: Vec<(u64, Subscription)>,
    journal: Journal,
}

/// What all consumers of this process share.
struct Shared {
    owner: OwnerPublic,
    attach: Attach,
    dials: Semaphore,
    tally: RefCell<Tally>,
}

/// What this process may be told.
enum Command {
    Connect,
    Await(u64),
    End,
}

/// Runs the process.
///
/// # Errors
/// Something is not there that should be, or a command is none.
pub(crate) fn run(arguments: &ConsumersArgs) -> anyhow::Result<()> {
    // A socket and a journal for each.
    descriptors::raise(2 * arguments.count)?;
    let consumers = prepare(arguments)?;
    let endpoint: Endpoint = arguments.address.parse()?;
    let shared = Shared {
        owner: OwnerPublic::from_pem(&read(&arguments.owner)?)?,
        attach: Attach::Connect(vec![endpoint]),
        dials: Semaphore::new(DIALS_MAX),
        tally: RefCell::new(Tally::new(consumers.len())),
    };
    let (sender, commands) = unbounded_channel();
    std::thread::spawn(move || read_commands(&sender));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, obey(consumers, Rc::new(shared), commands))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Makes identities and opens journals, so that this is over before anything is measured.
fn prepare(arguments: &ConsumersArgs) -> anyhow::Result<Vec<Consumer>> {
    let subscriptions = parse_subscriptions(&read(&arguments.subscriptions)?)?;
    let count = usize::try_from(arguments.count)?;
    ensure!(
        count > 0 && subscriptions.len().is_multiple_of(count),
        "{} subscriptions are not the same number for each of {count} consumers",
        subscriptions.len()
    );
    let each = subscriptions.len() / count;
    let consumers = (arguments.first..).zip(0..count).map(|(number, place)| {
        let path = arguments.journals.join(format!("{number}.journal"));
        Ok(Consumer {
            place,
            identity: Arc::new(owner::consumer(number)),
            subscriptions: subscriptions[place * each..(place + 1) * each].to_vec(),
            journal: Journal::open(&path)?.0,
        })
    });
    consumers.collect()
}

/// Hands on what this process is told, until nobody speaks any more: then it is to end.
fn read_commands(commands: &UnboundedSender<anyhow::Result<Command>>) {
    for words in stdin().lines() {
        let command = words
            .map_err(anyhow::Error::from)
            .and_then(|words| parse(&words));
        if commands.send(command).is_err() {
            return;
        }
    }
}

fn parse(words: &str) -> anyhow::Result<Command> {
    Ok(match words.split_once(' ') {
        None if words == "connect" => Command::Connect,
        None if words == "end" => Command::End,
        Some(("await", count)) => Command::Await(count.parse()?),
        _ => anyhow::bail!("{words:?} is no command"),
    })
}

async fn obey(
    consumers: Vec<Consumer>,
    shared: Rc<Shared>,
    mut commands: UnboundedReceiver<anyhow::Result<Command>>,
) -> anyhow::Result<()> {
    say(&json!({ "event": "ready" }));
    let mut waiting = consumers;
    while let Some(command) = commands.recv().await {
        match command? {
            Command::Connect => {
                for consumer in waiting.drain(..) {
                    spawn_local(live(consumer, Rc::clone(&shared)));
                }
            }
            Command::Await(deliveries) => {
                shared.tally.borrow_mut().wait_for(deliveries);
                say_all(&shared);
            }
            Command::End => {
                say(&shared.tally.borrow().summary());
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Connects a consumer and lets it consume; an error is a fault of the whole run.
async fn live(consumer: Consumer, shared: Rc<Shared>) {
    if let Err(error) = consume(consumer, &shared).await {
        shared.tally.borrow_mut().on_fault(format!("{error:#}"));
        say_all(&shared);
    }
}

async fn consume(consumer: Consumer, shared: &Shared) -> anyhow::Result<()> {
    let Consumer {
        place,
        identity,
        subscriptions,
        journal,
    } = consumer;
    let mut dial = Some(shared.dials.acquire().await?);
    let signer = IdentitySigner(Arc::clone(&identity));
    let settings = LinkSettings::default();
    let driver =
        Driver::initiator(&shared.attach, None, Role::Subscriber, settings, signer).await?;
    let subscriber = Subscriber::new(
        shared.owner.clone(),
        identity,
        subscriptions,
        SubscriberSettings::default(),
        Memory::default(),
        Box::new(OsEntropy),
    );
    let mut consuming = SubscriberLoop::new(subscriber, driver, journal);
    loop {
        let news = consuming
            .next(&mut |delivery| {
                let count = delivery.subscriptions.len();
                shared
                    .tally
                    .borrow_mut()
                    .on_delivery(place, count, now_ns());
            })
            .await?;
        let mut tally = shared.tally.borrow_mut();
        match news {
            News::Link(LinkNews::Connected) => {
                drop(dial.take());
                tally.on_proved(place, now_ns());
            }
            News::Link(other) => tally.on_fault(format!("{other:?}")),
            News::Event(event) => tally.on_event(place, &event, now_ns()),
            News::Delivered | News::Settled => {}
        }
        drop(tally);
        say_all(shared);
    }
}

fn say_all(shared: &Shared) {
    let said = shared.tally.borrow_mut().take_said();
    said.iter().for_each(say);
}

fn say(event: &Value) {
    line(&event.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_anything_else_is_an_error() {
        assert!(matches!(parse("connect"), Ok(Command::Connect)));
        assert!(matches!(parse("await 17"), Ok(Command::Await(17))));
        assert!(matches!(parse("end"), Ok(Command::End)));
        for words in ["", "await", "await x", "connect 1"] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
