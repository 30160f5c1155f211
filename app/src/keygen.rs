//! `keygen`: owners' keys and link keys.

use std::path::Path;

use sc_client::OsEntropy;
use sc_crypto::OwnerSecret;
use sc_transport::{LinkKeys, os_entropy};

use crate::cli::KeygenArgs;
use crate::keys::{all_absent, beside, read_private, write_new};
use crate::report::line;
use crate::wrong_use;

/// What to do about keys that are there.
const OR_FORCE: &str = "choose another name, or --force to replace it";

pub(crate) fn run(arguments: &KeygenArgs) -> anyhow::Result<()> {
    let name = &arguments.name;
    if arguments.link {
        return make_link_keys(name, arguments.force);
    }
    let (private_file, public_file) = (beside(name, ".prv"), beside(name, ".pub"));
    if !arguments.force {
        // Half a pair would be worse than none.
        let private_file = (arguments.public_from.is_none()).then_some(&*private_file);
        let files: Vec<_> = private_file.into_iter().chain([&*public_file]).collect();
        all_absent(&files, OR_FORCE)?;
    }
    let owner = match (&arguments.public_from, arguments.rsa) {
        (Some(private_file), _) => read_private(private_file)?,
        (None, Some(bits)) => {
            OwnerSecret::generate_rsa(bits).map_err(|error| wrong_use(error.to_string()))?
        }
        (None, None) => OwnerSecret::generate(&mut OsEntropy),
    };
    if arguments.public_from.is_none() {
        write_new(
            &private_file,
            owner.to_pem().as_bytes(),
            0o600,
            arguments.force,
        )?;
        line(&format!(
            "private key  {} (mode 0600: back it up, show it to nobody)",
            private_file.display()
        ));
    }
    write_new(
        &public_file,
        owner.public().to_pem().as_bytes(),
        0o644,
        arguments.force,
    )?;
    line(&format!(
        "public key   {} (for consumers)",
        public_file.display()
    ));
    line(&format!("fingerprint  {}", owner.public().fingerprint()));
    Ok(())
}

fn make_link_keys(name: &Path, force: bool) -> anyhow::Result<()> {
    let keys = LinkKeys::generate(&mut os_entropy());
    let file = beside(name, ".link");
    if !force {
        all_absent(&[&file], OR_FORCE)?;
    }
    write_new(&file, keys.to_text().as_bytes(), 0o600, force)?;
    line(&format!(
        "link keys    {} (mode 0600; name the peers' public keys in it)",
        file.display()
    ));
    line(&format!("public       {}", keys.public()));
    Ok(())
}
