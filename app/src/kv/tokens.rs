//! `token`: what a gateway's users show is made, listed and deleted.
//!
//! Invariant: a token goes into a file that its owner alone may read, or to standard output where that was asked for by name.

use std::path::Path;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Kv;
use super::cli::{GrantText, TokenCommand};
use super::document::words;
use super::ls::time;
use super::remote::{Document, Http, NewToken, RemoteError};
use super::table::Table;
use crate::keys::{ANOTHER_NAME, all_absent, write_new};
use crate::report::line;
use crate::wrong_use;

/// What only the owner may do with the file.
const MODE: u32 = 0o600;

pub(super) async fn run(kv: &Kv, command: TokenCommand) -> anyhow::Result<()> {
    let gateway = kv
        .remote
        .gateway("tokens are what a gateway's users show")?;
    match command {
        TokenCommand::Create {
            file,
            label,
            grant,
            lifetime,
        } => {
            let new = NewToken {
                label,
                grants: grants(&grant),
                lifetime_s: match lifetime {
                    Some(lifetime) if lifetime.as_secs() == 0 => {
                        return Err(wrong_use("a token lives at least one second"));
                    }
                    lifetime => lifetime.map(|it| it.as_secs()),
                },
            };
            create(kv, gateway, &file, &new).await
        }
        TokenCommand::Ls => list(kv, gateway).await,
        TokenCommand::Rm { id } => {
            gateway.delete_token(&id).await?;
            kv.result(
                || json!({ "id": id, "deleted": true }),
                || format!("deleted token {id}; other gateways may take it for some seconds more"),
            );
            Ok(())
        }
    }
}

fn grants(grants: &[GrantText]) -> Value {
    let grants = grants.iter();
    grants
        .map(|grant| json!({ "datastores": grant.datastores, "rights": grant.rights }))
        .collect()
}

async fn create(kv: &Kv, gateway: &Http, file: &Path, new: &NewToken) -> anyhow::Result<()> {
    let is_standard_output = file == Path::new("-");
    if !is_standard_output {
        all_absent(&[file], ANOTHER_NAME)?;
    }
    let mut made = gateway.create_token(new).await?;
    let Some(Value::String(token)) = made.remove("token") else {
        return Err(RemoteError::Malformed("no token where one was asked for").into());
    };
    let token = Zeroizing::new(token);
    if is_standard_output {
        line(&token);
        return Ok(());
    }
    let text = Zeroizing::new(format!("{}\n", *token));
    if let Err(error) = write_new(file, text.as_bytes(), MODE, false) {
        // Nobody holds it, so nobody is to be believed by it.
        let id = words(made.get("id"));
        let _ = gateway.delete_token(&id).await;
        return Err(error);
    }
    kv.result(
        || Value::from(made.clone()),
        || {
            let (id, file) = (words(made.get("id")), file.display());
            format!("token {id} is in {file} (mode 0600): give it to whoever is to use it")
        },
    );
    Ok(())
}

async fn list(kv: &Kv, gateway: &Http) -> anyhow::Result<()> {
    let mut table = Table::new(&["id", "label", "made", "expires", "grants"]);
    let mut cursor = None;
    loop {
        let (tokens, next) = gateway.tokens(cursor.as_deref()).await?;
        for token in tokens {
            match kv.is_json {
                true => line(&Value::from(token).to_string()),
                false => table.row(row(&token)),
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    table.print();
    Ok(())
}

fn row(token: &Document) -> [String; 5] {
    let grants = token.get("grants").and_then(Value::as_array);
    let grants = grants.into_iter().flatten().map(|grant| {
        let words = |name: &str| words(grant.get(name)).replace(", ", ",");
        format!("{}:{}", words("datastores"), words("rights"))
    });
    [
        words(token.get("id")),
        words(token.get("label")),
        time(&words(token.get("created"))),
        time(&words(token.get("expires"))),
        grants.collect::<Vec<_>>().join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_told_as_they_are_typed() {
        let typed: GrantText = "readings,orders-*:read,list".parse().unwrap();
        let token = json!({
            "id": "1", "label": "backup", "created": "2026-11-29T20:15:00.000Z",
            "grants": grants(&[typed]),
        });
        let Value::Object(token) = token else {
            panic!("it is an object");
        };

        assert_eq!(
            row(&token),
            [
                "1",
                "backup",
                "2026-11-29T20:15:00Z",
                "",
                "readings,orders-*:read,list"
            ]
        );
    }
}
