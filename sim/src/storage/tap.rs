//! A way to a store on which somebody sits: what passes is kept, and may be changed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sc_client::kv::{LinkReply, StoreLink};
use sc_transport::Frame;

use super::world::Direct;

/// What is made of a request.
type AlterRequest = Box<dyn FnMut(Frame) -> Frame + Send>;
/// What is made of a reply, with the request before it.
type AlterReply = Box<dyn FnMut(&Frame, Frame) -> Frame + Send>;

#[derive(Default)]
struct Sitting {
    /// Requests as they were sent, and replies as they were made.
    seen: Vec<(Frame, Frame)>,
    of_requests: Option<AlterRequest>,
    of_replies: Option<AlterReply>,
}

/// The way, and the handle by which a test acts on it; clones are the same one.
#[derive(Clone)]
pub struct Tap {
    store: Direct,
    sitting: Arc<Mutex<Sitting>>,
}

impl Tap {
    /// Sits on the way to a store, and changes nothing yet.
    #[must_use]
    pub fn new(store: Direct) -> Self {
        Self {
            store,
            sitting: Arc::default(),
        }
    }

    /// From now on the store is handed what `alter` makes of a request.
    pub fn alter_requests(&self, alter: impl FnMut(Frame) -> Frame + Send + 'static) {
        self.sitting().of_requests = Some(Box::new(alter));
    }

    /// From now on the client is handed what `alter` makes of a request and its reply.
    pub fn alter_replies(&self, alter: impl FnMut(&Frame, Frame) -> Frame + Send + 'static) {
        self.sitting().of_replies = Some(Box::new(alter));
    }

    /// Changes nothing any more.
    pub fn leave_alone(&self) {
        let mut sitting = self.sitting();
        sitting.of_requests = None;
        sitting.of_replies = None;
    }

    /// The last request that passed, as it was sent, and the store's reply, as it was made.
    ///
    /// # Panics
    /// If nothing has passed.
    #[must_use]
    pub fn last(&self) -> (Frame, Frame) {
        let sitting = self.sitting();
        sitting.seen.last().expect("something has passed").clone()
    }

    /// Every frame that has passed, requests and replies.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let sitting = self.sitting();
        let both = sitting.seen.iter().cloned();
        both.flat_map(|(request, reply)| [request, reply]).collect()
    }

    fn sitting(&self) -> MutexGuard<'_, Sitting> {
        self.sitting.lock().expect("no holder of this lock panics")
    }
}

impl StoreLink for Tap {
    fn call(&self, request: Frame, deadline: Duration) -> LinkReply<'_> {
        Box::pin(async move {
            let sent = request.clone();
            let handed = match &mut self.sitting().of_requests {
                Some(alter) => alter(request),
                None => request,
            };
            let reply = self.store.call(handed, deadline).await?;
            let mut sitting = self.sitting();
            sitting.seen.push((sent.clone(), reply.clone()));
            Ok(match &mut sitting.of_replies {
                Some(alter) => alter(&sent, reply),
                None => reply,
            })
        })
    }
}
