//! Values as clients read them: PostgreSQL's types, its text and binary forms, and JSON.
//!
//! One value at a time from an Arrow array; the wire, the `sql` command and the tests share these. What a message looks
//! like is in [`crate::pgwire`].

mod binary;
mod float;
mod json;
mod nested;
mod numeric;
mod pg_type;
mod temporal;
mod text;

pub use binary::write_binary;
pub use json::{write_json, write_json_row};
pub use pg_type::pg_type;
pub use text::{TextStyle, text_value, write_text};
