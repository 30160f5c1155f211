//! The bundled data: real daily quotes, and subscriptions to them. `data/README.md` says where they come from.

/// 1,000 publications.
pub(crate) const PUBLICATIONS: &str = include_str!("../data/quotes.pubs");
/// 10 subscriptions.
pub(crate) const SUBSCRIPTIONS: &str = include_str!("../data/quotes.subs");
