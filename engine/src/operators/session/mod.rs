//! Session windows: rows of one key with no gap between them. [`SessionAggregate`] gives one row a session,
//! [`SessionAssign`] the rows with the columns of their session; both when the session closes.

mod aggregate;
mod assign;
mod index;

pub use aggregate::SessionAggregate;
pub use assign::SessionAssign;
