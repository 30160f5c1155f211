//! The embedded engine.
use crate::CatalogError;
use crate::catalog::{Operation, Reach};
use std::path::Path;

#[derive(Debug)]
pub(crate) struct Sqlite;
#[derive(Debug)]
pub(crate) struct Memory;

fn unfinished<T>() -> Result<T, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".into()))
}

impl Sqlite {
    pub(crate) fn open(_path: &Path) -> Result<Self, CatalogError> {
        unfinished()
    }
    pub(crate) async fn write<A, R>(
        &self,
        _args: A,
        _operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        unfinished()
    }
    pub(crate) async fn read<A, R>(
        &self,
        _reach: Reach,
        _args: A,
        _operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        unfinished()
    }
}
impl Memory {
    pub(crate) fn open() -> Result<Self, CatalogError> {
        unfinished()
    }
    pub(crate) fn run<A, R>(
        &self,
        _args: &A,
        _operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        unfinished()
    }
}
