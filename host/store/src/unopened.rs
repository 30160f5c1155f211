//! A location that could not be opened: known, listed, and without an answer.

use std::ops::Range;

use bytes::Bytes;
use sc_backend::{Backend, BackendError, Description, FragmentName, Listed, Reply, Usage};

/// Stands where a location's backend would; each call fails, and says why it was not opened.
pub(crate) struct Unopened(pub(crate) String);

impl Unopened {
    fn fail<'a, T: Send + 'a>(&self) -> Reply<'a, T> {
        let error = BackendError::Unavailable(self.0.clone());
        Box::pin(async { Err(error) })
    }
}

impl Backend for Unopened {
    fn describe<'a>(&'a self) -> Reply<'a, Description> {
        self.fail()
    }

    fn put<'a>(&'a self, _name: &'a FragmentName, _body: Bytes) -> Reply<'a, ()> {
        self.fail()
    }

    fn get<'a>(&'a self, _name: &'a FragmentName) -> Reply<'a, Bytes> {
        self.fail()
    }

    fn read<'a>(&'a self, _name: &'a FragmentName, _range: Range<u64>) -> Reply<'a, Bytes> {
        self.fail()
    }

    fn delete<'a>(&'a self, _name: &'a FragmentName) -> Reply<'a, bool> {
        self.fail()
    }

    fn list<'a>(
        &'a self,
        _after: Option<&'a FragmentName>,
        _limit: usize,
    ) -> Reply<'a, Vec<Listed>> {
        self.fail()
    }

    fn usage<'a>(&'a self) -> Reply<'a, Usage> {
        self.fail()
    }
}
