//! Millstream tests.
