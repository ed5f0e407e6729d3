//! What is decided on the finished dataflow, when it is known who reads each node: which joins are one, which old rows a sink
//! need not be given.

mod multi_join;
mod unique;
mod upsert;

use millstream_engine::plan::Dataflow;

/// The dataflow, made cheaper without another result.
pub(crate) fn refined(mut dataflow: Dataflow) -> Dataflow {
    multi_join::join_at_once(&mut dataflow);
    upsert::leave_old_rows_out(&mut dataflow);
    dataflow
}
