//! Joins of streams. [`Join`] keeps both inputs whole and follows their changes.
//!
//! All of them are made of the same parts: [`keys`] gives the rows of both inputs slots, [`store`] keeps the rows of an
//! input with one chain a slot, [`walk`] follows chains to candidate pairs, a batch at a time, [`pairs`] asks the
//! residual condition and makes output rows out of row numbers. The join of equal windows is in
//! [`window_join`](super::window_join).

mod keys;
mod pairs;
mod regular;
mod store;
mod walk;

mod chunks;
mod identity;
mod side;

pub use self::regular::Join;

/// Stands for no row, and for the slot of a key that equals none.
const NONE: u32 = u32::MAX;
