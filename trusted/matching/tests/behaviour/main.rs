//! The public behaviour of content-based matching.

mod ascii;
mod binary;
mod blocks;
mod churn;
mod datasets;
mod index;
mod language;
mod numbers;
mod oblivious;
mod pages;
mod strategies;

use sc_matching::{Publication, Subscription, ascii::Line, ascii::parse};

/// The publication that `fields` spell, as behind `0 0 P`.
fn publication(fields: &str) -> Publication {
    match parse(&format!("0 0 P {fields}")) {
        Ok(Line::Publication(publication)) => publication,
        other => panic!("{fields}: {other:?}"),
    }
}

/// The subscription that `fields` spell, as behind `0 0 S`.
fn subscription(fields: &str) -> Subscription {
    match parse(&format!("0 0 S {fields}")) {
        Ok(Line::Subscription { subscription, .. }) => subscription,
        other => panic!("{fields}: {other:?}"),
    }
}
