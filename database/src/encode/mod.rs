//! Values as clients read them: PostgreSQL's text form and JSON.
//!
//! One value at a time from an Arrow array; the wire, the `sql` command and the tests share these. The binary
//! form is in `millstream-server`.

mod json;
mod nested;
mod temporal;
mod text;

pub use json::{write_json, write_json_row};
pub use nested::list_items;
pub use temporal::seconds_nanos;
pub use text::{TextStyle, text_value, write_text};
