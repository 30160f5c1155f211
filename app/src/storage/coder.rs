//! `coder`: a trusted coding program that stores elsewhere may use.

use std::sync::Arc;
use std::time::Duration;

use sc_launcher::Caller;
use sc_store::{pieces, split};
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
        let message = pieces(&request.attachments, &request.head);
        // A program that has ended answers with nothing, which whoever called takes for a failure and tries elsewhere.
        let reply = self.0.call(message).await.ok().and_then(split);
        reply.map_or_else(Frame::default, |(bulk, head)| Frame::new(head).with(bulk))
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
