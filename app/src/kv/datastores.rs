//! `datastore`: datastores are made, listed, changed and deleted.

use serde_json::{Value, json};

use super::Kv;
use super::cli::{DatastoreCommand, Switch};
use super::document::{bytes, words};
use super::remote::{DatastoreChange, NewDatastore};
use super::table::Table;
use crate::report::line;
use crate::wrong_use;

pub(super) async fn run(kv: &Kv, command: DatastoreCommand) -> anyhow::Result<()> {
    match command {
        DatastoreCommand::Create {
            name,
            policy,
            versioning,
            quota,
            index_tag,
        } => {
            let new = NewDatastore {
                name,
                policy,
                versioning,
                quota_bytes: quota.filter(|quota| *quota > 0),
                indexed_tags: index_tag,
            };
            kv.remote.create_datastore(&new).await?;
            kv.result(
                || json!({ "name": new.name, "policy": new.policy, "versioning": new.versioning, "quota_bytes": new.quota_bytes }),
                || format!("made datastore {}, policy {}", new.name, new.policy),
            );
        }
        DatastoreCommand::Ls => list(kv).await?,
        DatastoreCommand::Set {
            name,
            policy,
            versioning,
            quota,
        } => {
            let change = DatastoreChange {
                policy,
                versioning: versioning.map(|it| it == Switch::On),
                quota_bytes: quota,
            };
            set(kv, &name, &change).await?;
        }
        DatastoreCommand::Rm { name } => {
            kv.remote.delete_datastore(&name).await?;
            kv.result(
                || json!({ "name": name, "deleted": true }),
                || format!("deleted datastore {name}"),
            );
        }
    }
    Ok(())
}

async fn list(kv: &Kv) -> anyhow::Result<()> {
    let datastores = kv.remote.datastores().await?;
    if kv.is_json {
        let datastores = datastores.into_iter();
        datastores.for_each(|it| line(&Value::from(it).to_string()));
        return Ok(());
    }
    let mut table = Table::new(&[
        "name", "policy", "versions", ">objects", ">size", ">quota", ">root",
    ]);
    for it in &datastores {
        table.row([
            words(it.get("name")),
            words(it.get("policy")),
            words(it.get("versioning")),
            words(it.get("objects")),
            bytes(it.get("bytes")),
            bytes(it.get("quota_bytes")),
            words(it.get("root")),
        ]);
    }
    table.print();
    Ok(())
}

async fn set(kv: &Kv, name: &str, change: &DatastoreChange) -> anyhow::Result<()> {
    let is_nothing = change.policy.is_none() && change.versioning.is_none();
    if is_nothing && change.quota_bytes.is_none() {
        return Err(wrong_use(
            "nothing is to change: give --policy, --versioning or --quota",
        ));
    }
    kv.remote.update_datastore(name, change).await?;
    kv.result(
        || json!({ "name": name, "policy": change.policy, "versioning": change.versioning, "quota_bytes": change.quota_bytes }),
        || format!("changed datastore {name}"),
    );
    Ok(())
}
