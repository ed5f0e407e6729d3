//! Values that are no text, appended to a [`Column`]: bytes and numbers of binary formats.

use super::columns::{Column, Values};

impl Column {
    /// Appends bytes as they are to a column of STRING or BYTES. False, and nothing appended, where it is neither, or
    /// they are no UTF-8.
    pub(crate) fn push_bytes(&mut self, value: &[u8]) -> bool {
        let fits = match &mut self.values {
            Values::Utf8(bytes) => std::str::from_utf8(value).is_ok() && {
                bytes.data.extend_from_slice(value);
                bytes.close()
            },
            Values::Binary(bytes) => {
                bytes.data.extend_from_slice(value);
                bytes.close()
            }
            Values::Boolean(_)
            | Values::Int8(_)
            | Values::Int16(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Float32(_)
            | Values::Float64(_)
            | Values::Decimal(_, _, _)
            | Values::Date(_)
            | Values::Time32(_)
            | Values::Time64(_)
            | Values::Timestamp(_, _, _)
            | Values::Row(_)
            | Values::List(_, _)
            | Values::Map(_, _) => false,
        };
        if fits {
            self.set();
        } else {
            self.truncate(self.len());
        }
        fits
    }
}
