//! What is decided on the finished dataflow, when it is known who reads each node: which old rows a sink need not be given.

mod unique;
mod upsert;

use millstream_engine::plan::Dataflow;

/// The dataflow, made cheaper without another result.
pub(crate) fn refined(mut dataflow: Dataflow) -> Dataflow {
    upsert::leave_old_rows_out(&mut dataflow);
    dataflow
}
