//! The ports that a system is to have, looked at before anything is started.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::wrong_use;

/// Checks that each address can be listened at, all at the same time; beside each stands the argument that names another port.
///
/// Nothing is held afterwards: whoever is quicker may still take a port, and then its role says so.
///
/// # Errors
/// Wrong use: the first address that is not to be had, and the argument that mends it.
pub(crate) fn must_be_free(wanted: &[(SocketAddr, &str)]) -> anyhow::Result<()> {
    let mut held = Vec::with_capacity(wanted.len());
    for (address, argument) in wanted {
        let listener = TcpListener::bind(address).map_err(|error| {
            let port = address.port();
            let why = match error.kind() {
                ErrorKind::AddrInUse => "is in use by another program".to_owned(),
                ErrorKind::PermissionDenied => "is kept for the system's own services".to_owned(),
                _ => format!("cannot be listened at: {error}"),
            };
            wrong_use(format!(
                "port {port} of {} {why}: choose another one with {argument} N (0: any that is free)",
                address.ip()
            ))
        })?;
        held.push(listener);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_the_argument_that_mends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));

        let refused = must_be_free(&[(free, "--port"), (taken, "--router-port")]);

        let told = refused.unwrap_err().to_string();
        assert!(told.contains(&taken.port().to_string()), "{told}");
        assert!(told.contains("--router-port N"), "{told}");
    }

    #[test]
    fn one_port_is_not_enough_for_two() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = listener.local_addr().unwrap();
        drop(listener);

        assert!(must_be_free(&[(one, "--port")]).is_ok());
        assert!(must_be_free(&[(one, "--port"), (one, "--router-port")]).is_err());
    }
}
