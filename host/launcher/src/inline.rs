//! The program in the host's own process, on a thread of its own.

use std::sync::Arc;

use sc_enclave::Program;
use tokio::sync::mpsc;

use crate::door::{Body, Door, IN_FLIGHT_MAX};

pub(crate) fn start(program: Arc<dyn Program>, entropy: fn(&mut [u8])) -> Door {
    let (calls, mut incoming) = mpsc::channel::<(u64, Body)>(IN_FLIGHT_MAX);
    let (outgoing, replies) = mpsc::channel(IN_FLIGHT_MAX);
    std::thread::spawn(move || {
        while let Some((token, request)) = incoming.blocking_recv() {
            let reply = program.handle(request.whole(), &mut |bytes: &mut [u8]| entropy(bytes));
            if outgoing.blocking_send((token, reply)).is_err() {
                break;
            }
        }
    });
    Door { calls, replies }
}
