//! The engine for scale.
use crate::CatalogError;
use crate::catalog::{Operation, Reach};

#[derive(Debug)]
pub(crate) struct Postgres;

fn unfinished<T>() -> Result<T, CatalogError> {
    Err(CatalogError::Unavailable("not there yet".into()))
}

impl Postgres {
    pub(crate) async fn connect(_url: &str) -> Result<Self, CatalogError> {
        unfinished()
    }
    pub(crate) async fn write<A, R>(
        &self,
        _args: &A,
        _operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        unfinished()
    }
    pub(crate) async fn read<A, R>(
        &self,
        _reach: Reach,
        _args: &A,
        _operation: Operation<A, R>,
    ) -> Result<R, CatalogError> {
        unfinished()
    }
}
