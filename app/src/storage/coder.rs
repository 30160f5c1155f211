//! `coder`: a trusted coding program that stores elsewhere may use.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use sc_launcher::Caller;
use sc_transport::{Frame, Handler, PeerKey, Role};

use crate::report::Report;
use crate::storage::cli::CoderArgs;
use crate::storage::serving::{Entrance, endpoint, start_coder};

/// So long calls may take to end when the role ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries calls from links to the program's door.
struct Door(Caller);

impl Handler for Door {
    async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
        let mut message = BytesMut::new();
        for part in &request.attachments {
            message.put_slice(part);
        }
        message.put_slice(&request.head);
        let Ok(length) = u32::try_from(request.head.len()) else {
            return Frame::default();
        };
        message.put_u32_le(length);
        // A program that has ended answers with nothing, which whoever called takes for a failure and tries elsewhere.
        let Ok(mut reply) = self.0.call(message.freeze()).await else {
            return Frame::default();
        };
        let Some(length) = reply.last_chunk::<4>().map(|it| u32::from_le_bytes(*it)) else {
            return Frame::default();
        };
        reply.truncate(reply.len() - 4);
        let Some(bulk) = reply.len().checked_sub(length as usize) else {
            return Frame::default();
        };
        let head = reply.split_off(bulk);
        Frame::new(head).with(reply)
    }
}

pub(crate) async fn run(arguments: CoderArgs) -> anyhow::Result<()> {
    let report = Report::new("coder", &arguments.verbosity);
    let stop = crate::scbr::stopped()?;
    let caller = start_coder(&arguments.coding, &report)?;
    let address = endpoint(&arguments.address)?;
    let keys = arguments.link.link_keys.as_deref();
    let entrance = Entrance::open(Role::Coder, keys);
    let responder = entrance.listen(&address, &report).await?;
    responder
        .serve(Arc::new(Door(caller)), stop, PATIENCE)
        .await?;
    Ok(())
}
