//! Storage policies: how objects are coded and placed, in numbered versions of which none ever changes.

use crate::transaction::{Row, Transaction};
use crate::{Catalog, CatalogError, catalog::Reach};

/// One version of a storage policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The number of this version, from 1.
    pub version: u32,
    /// What it says, as JSON; opaque here.
    pub definition: String,
}

impl Catalog {
    /// Adds a version to the policy `name`, the first one if there is none; if its latest says the same already, that one is returned.
    pub async fn put_policy(&self, name: &str, definition: &str) -> Result<Policy, CatalogError> {
        self.write(
            (name.to_owned(), definition.to_owned()),
            |tx, (name, definition)| Box::pin(put_policy(tx, name, definition)),
        )
        .await
    }

    /// A version of a policy; without a number the latest.
    pub async fn policy(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<Option<Policy>, CatalogError> {
        self.read(
            Reach::Point,
            (name.to_owned(), version),
            |tx, (name, version)| Box::pin(policy(tx, name, *version)),
        )
        .await
    }

    /// The latest version of each policy, by name.
    pub async fn policies(&self) -> Result<Vec<Policy>, CatalogError> {
        self.read(Reach::Scan, (), |tx, ()| Box::pin(policies(tx)))
            .await
    }
}

async fn put_policy(
    tx: &mut dyn Transaction,
    name: &str,
    definition: &str,
) -> Result<Policy, CatalogError> {
    let latest = policy(tx, name, None).await?;
    let version = match latest {
        Some(latest) if latest.definition == definition => return Ok(latest),
        Some(latest) => latest.version + 1,
        None => 1,
    };
    // Somebody who takes the same number at the same time makes this fail, and it is tried again.
    let sql = "INSERT INTO policy (name, version, definition) VALUES ($1, $2, $3)";
    let params = [name.into(), version.into(), definition.into()];
    tx.execute(sql, &params).await?;
    Ok(Policy {
        name: name.to_owned(),
        version,
        definition: definition.to_owned(),
    })
}

async fn policy(
    tx: &mut dyn Transaction,
    name: &str,
    version: Option<u32>,
) -> Result<Option<Policy>, CatalogError> {
    let sql = "SELECT name, version, definition FROM policy \
        WHERE name = $1 AND version <= $2 ORDER BY version DESC LIMIT 1";
    let at_most = version.unwrap_or(u32::MAX);
    let rows = tx.query(sql, &[name.into(), at_most.into()]).await?;
    let found = rows.into_iter().next().map(from_row).transpose()?;
    Ok(found.filter(|policy| version.is_none_or(|version| policy.version == version)))
}

async fn policies(tx: &mut dyn Transaction) -> Result<Vec<Policy>, CatalogError> {
    let sql = "SELECT p.name, p.version, p.definition FROM policy p \
        WHERE NOT EXISTS (SELECT 1 FROM policy q WHERE q.name = p.name AND q.version > p.version) \
        ORDER BY p.name";
    let rows = tx.query(sql, &[]).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(mut row: Row) -> Result<Policy, CatalogError> {
    Ok(Policy {
        name: row.take()?,
        version: row.take()?,
        definition: row.take()?,
    })
}
