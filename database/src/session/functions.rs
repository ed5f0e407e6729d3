//! `SHOW FUNCTIONS`: the functions that were made with `CREATE FUNCTION`, and those that are built in.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::Field;
use millstream_sql::catalog::{CatalogSnapshot, SqlFunction};
use millstream_sql::listed_functions;

use super::show::{text, texts};

/// The columns.
pub(super) fn fields() -> Vec<Field> {
    vec![text("name"), text("signature"), text("body"), text("category"), text("description")]
}

/// The functions that were made.
pub(super) fn own(catalog: &CatalogSnapshot) -> Vec<ArrayRef> {
    let found: Vec<_> = catalog.functions.values().map(Arc::as_ref).collect();
    columns(&found, &[])
}

/// The functions that were made, then those that are built in, each once under its name.
pub(super) fn all(catalog: &CatalogSnapshot) -> Vec<ArrayRef> {
    let own: Vec<_> = catalog.functions.values().map(Arc::as_ref).collect();
    let mut built_in: Vec<_> = listed_functions().into_iter().filter(|function| function.missing.is_none()).collect();
    built_in.sort_by_key(|function| function.name().to_lowercase());
    let lines: Vec<[String; 4]> = built_in
        .iter()
        .map(|function| {
            [function.name(), function.signature, function.category, function.description].map(str::to_owned)
        })
        .collect();
    columns(&own, &lines)
}

fn columns(own: &[&SqlFunction], built_in: &[[String; 4]]) -> Vec<ArrayRef> {
    let signature = |function: &SqlFunction| {
        let parameters = function.parameters.iter().map(|(name, kind)| format!("{name} {}", kind.text));
        format!("({}) RETURNS {}", parameters.collect::<Vec<_>>().join(", "), function.returns.text)
    };
    let [names, signatures, categories, descriptions] =
        [0, 1, 2, 3].map(|part| built_in.iter().filter_map(move |line| line.get(part).cloned()));
    let nothing = built_in.iter().map(|_| None);
    let body: StringArray = own.iter().map(|function| Some(function.body.clone())).chain(nothing).collect();
    vec![
        texts(own.iter().map(|function| function.name.clone()).chain(names)),
        texts(own.iter().map(|function| signature(function)).chain(signatures)),
        Arc::new(body),
        texts(own.iter().map(|_| "User-defined".to_owned()).chain(categories)),
        texts(own.iter().map(|_| String::new()).chain(descriptions)),
    ]
}
