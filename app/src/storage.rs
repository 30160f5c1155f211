//! The roles of storage, and all of them at once.

mod agent;
mod backend;
pub(crate) mod cli;
mod coder;
mod credentials;
mod files;
mod gateway;
mod lock;
mod opener;
mod ports;
mod serving;
mod store;
mod up;
mod whole;

pub(crate) use agent::Agent;
pub(crate) use backend::run as run_backend;
pub(crate) use coder::run as run_coder;
pub(crate) use credentials::run as run_credentials;
pub(crate) use files::OwnerFolder;
pub(crate) use gateway::run as run_gateway;
pub(crate) use lock::FolderLock;
pub(crate) use serving::{connect, endpoint};
pub(crate) use store::run as run_store;
pub(crate) use store::{HELD, LOCK};
pub(crate) use up::default_folder;
pub(crate) use up::run as run_up;
pub(crate) use up::{Running, UpSettings, start};
pub(crate) use whole::own_catalogue;
