//! Scalar expressions, compiled once and evaluated a batch at a time.
//!
//! This folder is the only place of the engine that names DataFusion. A [`Scalar`] wraps a physical expression;
//! operators see columns and booleans only. `PROCTIME()`, `NOW()` and their like are not functions here: they
//! compile to a hidden column that the evaluation fills from the injected clock.

mod choice;
mod fused;
mod instead;
mod product;
mod scalar;

pub use fused::fused;
pub use scalar::{EvalContext, NOW_COLUMN, Scalar};
