//! Where a router keeps what waits for consumers that are slow or away.

use std::path::{Path, PathBuf};

use crate::cli::ScbrArgs;
use crate::wrong_use;

/// The word that stands for no folder at all.
const NONE: &str = "none";

/// The folder of this router; none if its operator wants none.
///
/// # Errors
/// None was named, and the environment names no home or the home cannot be written.
pub(crate) fn folder(arguments: &ScbrArgs) -> anyhow::Result<Option<PathBuf>> {
    match &arguments.spill {
        Some(folder) if folder == Path::new(NONE) => Ok(None),
        Some(folder) => Ok(Some(folder.clone())),
        None => {
            let state = state_folder().ok_or_else(|| {
                wrong_use("neither XDG_STATE_HOME nor HOME is set: name a folder with --spill, or say --spill none")
            })?;
            let of_all = state.join("securecloud/spill");
            std::fs::create_dir_all(&of_all).map_err(|error| {
                wrong_use(format!(
                    "{}: {error}: name a folder with --spill, or say --spill none",
                    of_all.display()
                ))
            })?;
            let name = name(&arguments.address, &arguments.connect);
            Ok(Some(of_all.join(name)))
        }
    }
}

/// The user's folder for what programs keep between their runs (XDG Base Directory Specification 0.8).
fn state_folder() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

/// A name for the router at these addresses: two at one machine have different ones.
fn name(address: &str, connect: &[String]) -> String {
    let addresses = if connect.is_empty() {
        address.to_owned()
    } else {
        connect.join("+")
    };
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "+.-".contains(letter) {
            letter
        } else {
            '_'
        }
    };
    addresses.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_has_a_folder_name_without_separators_by_its_addresses() {
        assert_eq!(name("*:5555", &[]), "__5555");
        assert_eq!(name("ipc:///tmp/../s", &[]), "ipc____tmp_.._s");
        let connect = ["localhost:5553".to_owned(), "localhost:5551".to_owned()];
        assert_eq!(name("*:5555", &connect), "localhost_5553+localhost_5551");
    }
}
