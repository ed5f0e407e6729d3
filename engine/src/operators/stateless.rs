//! stub
use crate::{error::Result, message::Delta, plan::Step, time::ProcessingTime};
/// stub
pub fn run_steps(_s: &[Step], _d: Delta, _n: ProcessingTime) -> Result<Option<Delta>> {
    todo!()
}
