//! Joins of streams.
//!
//! [`Join`] keeps both inputs whole and follows their changes; [`MultiJoin`] keeps several that only grow; [`IntervalJoin`]
//! keeps what bounds of event time let meet; [`TemporalJoin`] joins rows with the version of a table that is valid at their
//! time, [`ForwardJoin`] with the next row of another input, [`CurrentJoin`] with what a table holds when they arrive,
//! [`LookupJoin`] with a table outside; [`WindowJoin`] joins rows of equal windows.
//!
//! All are made of the same parts: `keys` gives the keys of both inputs slots; `store` keeps the rows of an input, with
//! one chain a slot, in the batches of `chunks`; `walk` follows chains to candidate pairs, a batch at a time; `pairs` asks
//! the residual condition and makes output rows out of row numbers.

mod current;
mod forward;
mod interval;
mod keys;
mod lookup;
mod lookup_cache;
#[cfg(test)]
mod lookup_tests;
mod multi;
mod pairs;
mod product;
mod regular;
pub(crate) mod store;
mod temporal;
mod timed;
mod versions;
mod walk;
mod window;

mod chunks;
mod identity;
mod side;

pub use self::current::CurrentJoin;
pub use self::forward::ForwardJoin;
pub use self::interval::IntervalJoin;
pub use self::lookup::LookupJoin;
pub use self::multi::MultiJoin;
pub use self::regular::Join;
pub use self::temporal::TemporalJoin;
pub use self::window::WindowJoin;

/// Stands for no row, and for the slot of a key that equals none.
pub(crate) const NONE: u32 = u32::MAX;
