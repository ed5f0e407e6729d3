//! From SQL text to plans: parse, bind, analyse, lower.
//!
//! **Architecture invariants.** No I/O, no thread, no clock: text and a [`catalog::CatalogSnapshot`] in; a bound
//! statement, a dataflow, or a [`SqlError`] with a position out. Connectors are seen as descriptors only. `sqlparser`
//! is named in this crate only.

mod api;
pub mod ast;
mod batch;
pub mod bound;
pub mod catalog;
mod ddl;
pub mod error;
mod explain;
mod files;
mod from_text;
mod functions;
mod locate;
mod lower;
pub mod namespace;
mod parse;
mod query;
mod refine;
mod relation_source;
mod statement_text;
pub mod types;

pub use api::{
    Opener, Target, batch_plan, bind, check_expression, check_query, explain_advice, explain_dataflow, explain_json,
    function_exists, lower, lower_set, parse, readable_plan,
};
pub use ddl::create_catalog;
pub use error::{Result, SqlError, SqlState};
pub use explain::ExplainOptions;
pub use files::{FileFormat, FileScan, file_scans};
pub use from_text::{cast_text, value_of_text};
pub use functions::{ListedFunction, functions_page, listed_functions, push_double, push_single};
pub use functions::{NativeAccumulator, NativeAccumulators, NativeFunction, NativeKernel};
pub use locate::{LOCATED_BYTES_MAX, locate};
pub use query::with_values;
pub use relation_source::RelationSource;
