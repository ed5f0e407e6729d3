//! What the binding of queries does for statements. A thin seam, so that its names stand in one place.

pub(super) use crate::query::position::in_text;
pub(super) use crate::query::{bind_insert, bind_query, expression_type};
