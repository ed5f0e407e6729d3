//! stub
use crate::{error::Result, operators::Operator, plan::Node};
/// stub
pub fn build(_n: &Node, _i: &[arrow::datatypes::SchemaRef], _s: usize) -> Result<Box<dyn Operator>> {
    todo!()
}
