//! The thread that writes: takes all operations that wait, commits them together, and then answers them.
//!
//! A commit waits for the disk, and while it does further operations arrive; the busier the catalogue, the more of them share a commit.
//! Invariant: an operation that fails undoes its own statements and nobody else's (a savepoint each).

use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::statements::Statements;
use crate::CatalogError;
use crate::catalog::Operation;

/// Operations that may wait; whoever has one more waits to hand it over.
const WAITING_MAX: usize = 1024;

/// Operations that share a commit, so that the first does not wait for too many others.
const GROUP_MAX: usize = 256;

/// The way to the thread that writes. When this is dropped, what waited is done and the file is closed: whoever comes after may have another in
/// its place.
#[derive(Debug)]
pub(super) struct Writer {
    /// There until it is dropped.
    waiting: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the catalogue's writer broke down");
        }
    }
}

impl Writer {
    pub(super) fn start(statements: Statements) -> Result<Self, CatalogError> {
        let (waiting, arriving) = mpsc::channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("catalogue".to_owned())
            .spawn(move || write(statements, arriving))
            .map_err(|error| CatalogError::Unavailable(error.to_string()))?;
        Ok(Self {
            waiting: Some(waiting),
            thread: Some(thread),
        })
    }

    /// Has an operation run; answers when it is committed.
    pub(super) async fn run<A, R>(
        &self,
        args: A,
        operation: Operation<A, R>,
    ) -> Result<R, CatalogError>
    where
        A: Send + Sync + 'static,
        R: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Waiting {
            args,
            operation,
            result: None,
            reply,
        });
        let ended = || CatalogError::Unavailable("the catalogue's writer has ended".to_owned());
        let waiting = self.waiting.as_ref().ok_or_else(ended)?;
        waiting.send(work).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn write(mut statements: Statements, mut arriving: mpsc::Receiver<Box<dyn Work>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while arriving.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let committed = commit(&mut statements, &mut group, &mut arriving);
        if let Err(error) = &committed {
            tracing::warn!(%error, operations = group.len(), "a commit of the catalogue failed");
        }
        for work in group.drain(..) {
            work.answer(&committed);
        }
    }
}

/// Runs a group, joined by what arrives while it does, and commits it.
fn commit(
    statements: &mut Statements,
    group: &mut Vec<Box<dyn Work>>,
    arriving: &mut mpsc::Receiver<Box<dyn Work>>,
) -> Result<(), CatalogError> {
    statements.control("BEGIN IMMEDIATE")?;
    let mut at = 0;
    while at < group.len() {
        let done = group[at].run(statements);
        if let Err(error) = done {
            roll_back(statements)?;
            return Err(error);
        }
        at += 1;
        if at == group.len()
            && at < GROUP_MAX
            && let Ok(work) = arriving.try_recv()
        {
            group.push(work);
        }
    }
    let committed = statements.control("COMMIT");
    if committed.is_err() {
        roll_back(statements)?;
    }
    committed
}

/// Ends the transaction, if the error that came before has not ended it already.
fn roll_back(statements: &mut Statements) -> Result<(), CatalogError> {
    match statements.is_open() {
        true => statements.control("ROLLBACK"),
        false => Ok(()),
    }
}

/// An operation that waits, whatever it takes and returns.
trait Work: Send {
    /// Runs it in a savepoint.
    ///
    /// # Errors
    /// Only if the savepoint fails, and with it the transaction.
    fn run(&mut self, statements: &mut Statements) -> Result<(), CatalogError>;

    /// Tells the caller what came of it, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, committed: &Result<(), CatalogError>);
}

struct Waiting<A, R> {
    args: A,
    operation: Operation<A, R>,
    result: Option<Result<R, CatalogError>>,
    reply: oneshot::Sender<Result<R, CatalogError>>,
}

impl<A: Send + Sync, R: Send> Work for Waiting<A, R> {
    fn run(&mut self, statements: &mut Statements) -> Result<(), CatalogError> {
        statements.control("SAVEPOINT operation")?;
        let result = statements.run(&self.args, self.operation);
        if result.is_err() {
            statements.control("ROLLBACK TO operation")?;
        }
        self.result = Some(result);
        statements.control("RELEASE operation")
    }

    fn answer(self: Box<Self>, committed: &Result<(), CatalogError>) {
        let result = match (committed, self.result) {
            // Nothing of the group was done, but an operation that was refused stays so.
            (_, Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => unreachable!("a group is committed after all of it has run"),
        };
        // A caller who has gone does not want to know.
        drop(self.reply.send(result));
    }
}
