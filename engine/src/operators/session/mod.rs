//! Session windows: rows of one key with no gap between them. [`SessionAggregate`] gives one row a session,
//! [`SessionAssign`] the rows with the columns of their session; both when the session closes. [`SessionRevise`] gives
//! rows with the session that they belong to so far.

mod aggregate;
mod assign;
mod index;
mod revise;

pub use aggregate::SessionAggregate;
pub use assign::SessionAssign;
pub use revise::SessionRevise;
