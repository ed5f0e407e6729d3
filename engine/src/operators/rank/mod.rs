//! Rank: the first rows of each partition, for Top-N, deduplication and `ORDER BY … LIMIT`.
//!
//! Rows are kept as bytes in an arena ([`arena`]), in the layout that compares as the order asks ([`layout`]); each
//! partition is a list of them in order ([`ordered`], [`partitions`]). [`top_n`] emits net changes at the barrier,

pub(crate) mod arena;
mod changes;
mod expiry;
pub(crate) mod layout;
pub(crate) mod ordered;
pub(crate) mod partitions;
mod top_n;

use arrow::datatypes::SchemaRef;

use self::top_n::TopN;
use super::Operator;
use crate::error::Result;
use crate::plan::RankSpec;

/// The operator that the description asks for.
///
/// # Errors
/// Where the description cannot work.
pub(super) fn build(spec: &RankSpec, input: &SchemaRef, output: SchemaRef) -> Result<Box<dyn Operator>> {
    Ok(Box::new(TopN::new(spec, input, output)?))
}
