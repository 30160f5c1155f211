//! `upload`: uploads in parts that nobody has completed are listed and ended.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::Kv;
use super::cli::UploadCommand;
use super::document::words;
use super::ls::time;
use super::remote::Document;
use super::table::Table;
use crate::report::line;
use crate::wrong_use;

/// Bytes of a version, with which an upload's id begins.
const VERSION_LEN: usize = 16;

pub(super) async fn run(kv: &Kv, command: UploadCommand) -> anyhow::Result<()> {
    let gateway = kv
        .remote
        .gateway("uploads in parts are what a gateway's users make")?;
    match command {
        UploadCommand::Ls { name } => {
            let mut table = Table::new(&["id", "begun", "key"]);
            let mut cursor = None;
            loop {
                let (uploads, next) = gateway.uploads(&name, cursor.as_deref()).await?;
                for upload in uploads {
                    match kv.is_json {
                        true => line(&Value::from(upload).to_string()),
                        false => table.row(row(&upload)),
                    }
                }
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            table.print();
        }
        UploadCommand::Rm { name, id } => {
            if datastore_of(&id).as_deref() != Some(&*name) {
                return Err(wrong_use(format!(
                    "{id} is no upload to {name}: `securecloud kv upload ls {name}` shows their ids"
                )));
            }
            gateway.abort_upload(&id).await?;
            kv.result(
                || json!({ "id": id, "deleted": true }),
                || format!("ended the upload {id}, and its parts are gone"),
            );
        }
    }
    Ok(())
}

fn row(upload: &Document) -> [String; 3] {
    [
        words(upload.get("id")),
        time(&words(upload.get("created"))),
        words(upload.get("key")),
    ]
}

/// The datastore that an upload's id names: base64url of version, length of the datastore's name, that name and the key.
fn datastore_of(id: &str) -> Option<String> {
    let bytes = Base64UrlUnpadded::decode_vec(id).ok()?;
    let (length, rest) = bytes.get(VERSION_LEN..)?.split_first()?;
    let name = rest.get(..usize::from(*length))?;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_datastore() {
        let bytes = [&[7; VERSION_LEN][..], &[4], b"logs", b"a/b"].concat();
        let id = Base64UrlUnpadded::encode_string(&bytes);

        assert_eq!(datastore_of(&id).as_deref(), Some("logs"));
        assert_eq!(datastore_of(&id[..24]), None);
        assert_eq!(datastore_of("no id!"), None);
    }
}
