//! What became of a transaction whose COMMIT was sent and never answered.
//!
//! Each session has a row of its own, and each of its transactions writes its number there. Locking that row waits until the transaction
//! has ended on the server, and then the number says how. It holds across a crash of the server, which the numbers of PostgreSQL's own
//! transactions do not: one that left no trace is given out again.

use super::pool::Pool;
use super::statements::Trouble;
use super::{Patience, Session};
use crate::CatalogError;

impl Pool {
    /// Whether the transaction with this number of a session that is lost was committed.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be found out in time.
    pub(super) async fn was_committed(
        &self,
        session: i64,
        transaction: i64,
    ) -> Result<bool, CatalogError> {
        let mut patience = Patience::new();
        loop {
            let asked = match self.take().await {
                Ok(mut lent) => {
                    let answer = ask(&mut lent.session, session).await;
                    if answer.is_ok() {
                        self.give_back(lent);
                    }
                    answer.map_err(CatalogError::from)
                }
                Err(error) => Err(error),
            };
            match asked {
                Ok(last) => return Ok(last == Some(transaction)),
                Err(error) => patience.wait(error).await?,
            }
        }
    }
}

async fn ask(session: &mut Session, lost: i64) -> Result<Option<i64>, Trouble> {
    let sql = "SELECT last_transaction FROM session WHERE id = $1 FOR UPDATE";
    let rows = session.query(sql, &[lost.into()]).await?;
    let last = rows.into_iter().next().map(|mut row| row.take());
    last.transpose().map_err(Trouble::Refused)
}
