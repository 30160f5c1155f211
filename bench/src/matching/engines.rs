//! The engines: the index of this project and its peers, each as its authors describe it.

mod index;
mod rows;
mod scan;

pub(crate) use index::Index;
pub(crate) use scan::Scan;
