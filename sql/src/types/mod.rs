//! SQL types: from tokens to `sqlparser`'s types (`parse`), from those to Arrow ([`from_sqlparser`]), and from Arrow to
//! the names that Flink and PostgreSQL print ([`flink_name`], [`postgres_name`]).
//!
//! A cast in a query and a column of a table go the same way, so they have the same Arrow type.

mod names;
mod parse;
mod resolve;
mod variant;

#[cfg(test)]
mod tests;

pub use names::{flink_name, postgres_name};
pub(crate) use parse::parse;
pub use resolve::{from_arrow, from_sqlparser};
pub use variant::{is_variant, variant};
