//! The rows of a query as a count and a sum of hashes, which tell whether two ways to compute it agree.

use arrow::array::RecordBatch;
use futures::StreamExt;
use xxhash_rust::xxh3::xxh3_64;

use super::child::told;
use super::task::{Digest, Mode};
use crate::encode::{TextStyle, write_text};
use crate::session::{Body, Session};

/// Computes a query; columns at these places do not count.
pub(super) async fn digest(
    session: &mut Session,
    setup: &str,
    select: &str,
    mode: Mode,
    left_out: &[usize],
) -> Result<Digest, String> {
    session.execute_script(setup).await.map_err(|error| told(&error))?;
    let mode = format!("SET 'execution.runtime-mode' = '{}'", mode.setting());
    session.execute_script(&mode).await.map_err(|error| told(&error))?;
    let outcome = session.execute_script(select).await.map_err(|error| told(&error))?;
    let Some(Body::Rows(mut rows)) = outcome.map(|outcome| outcome.body) else {
        return Err("the query gives no rows".into());
    };
    let style = session.settings().style();
    let mut digest = Digest { rows: 0, sum: 0 };
    while let Some(batch) = rows.batches.next().await {
        add(&mut digest, &batch.map_err(|error| told(&error))?, left_out, style);
    }
    Ok(digest)
}

fn add(digest: &mut Digest, batch: &RecordBatch, left_out: &[usize], style: TextStyle) {
    let cells = batch.columns().iter().enumerate().filter(|(index, _)| !left_out.contains(index));
    let cells: Vec<_> = cells.map(|(_, column)| column).collect();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        text.clear();
        for column in &cells {
            // A null and an empty string differ, and so do ("a", "b") and ("ab", "").
            match column.is_null(row) {
                true => text.push('\0'),
                false => write_text(column.as_ref(), row, style, &mut text),
            }
            text.push('\x1f');
        }
        digest.sum = digest.sum.wrapping_add(xxh3_64(text.as_bytes()));
    }
    digest.rows += batch.num_rows() as u64;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, StringArray};

    use super::{Digest, add};
    use crate::encode::TextStyle;

    fn of(numbers: &[i64], texts: &[Option<&str>], left_out: &[usize]) -> Digest {
        let numbers = Arc::new(Int64Array::from(numbers.to_vec()));
        let batch = RecordBatch::try_from_iter([
            ("number", numbers as arrow::array::ArrayRef),
            ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ]);
        let mut digest = Digest { rows: 0, sum: 0 };
        add(&mut digest, &batch.unwrap(), left_out, TextStyle::default());
        digest
    }

    #[test]
    fn order_does_not_count_and_values_do() {
        let all = of(&[1, 2], &[Some("a"), None], &[]);
        assert_eq!(all, of(&[2, 1], &[None, Some("a")], &[]));
        assert_ne!(all, of(&[1, 2], &[Some("a"), Some("")], &[]), "null is not an empty string");
        assert_ne!(all, of(&[1, 2], &[None, Some("a")], &[]), "values of different rows");
        assert_eq!(of(&[1, 2], &[None, None], &[0]), of(&[3, 4], &[None, None], &[0]), "a column left out");
    }
}
