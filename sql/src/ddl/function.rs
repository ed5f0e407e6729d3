//! `CREATE FUNCTION … RETURN expr`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::ast::CreateFunction;
use crate::bound::BoundStatement;
use crate::catalog::{CatalogSnapshot, SqlFunction};
use crate::error::{Result, SqlError, SqlState};
use crate::types;

use super::expressions::{check_of_one_row, functions_of};
use super::names::{last, span};
use super::{Binder, queries};

impl Binder<'_> {
    pub(super) fn create_function(&self, function: &CreateFunction) -> Result<BoundStatement> {
        let name = last(&function.name);
        let catalog = &self.context.catalog;
        match catalog.functions.get(&name.to_ascii_lowercase()) {
            Some(existing) if function.if_not_exists => {
                return Ok(BoundStatement::CreateFunction { function: existing.as_ref().clone(), exists: true });
            }
            Some(_) if !function.or_replace => {
                let error = SqlError::new(SqlState::DUPLICATE_FUNCTION, format!("function \"{name}\" already exists"));
                return Err(self.at(error.with_hint("use CREATE OR REPLACE FUNCTION"), span(&function.name)));
            }
            _ => {}
        }
        check_of_one_row(&function.body, "a function").map_err(|error| self.at(error, span(&function.name)))?;
        let calls = functions_of(&function.body, catalog);
        if reaches(&calls, &name.to_ascii_lowercase(), catalog) {
            let error =
                SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, format!("function \"{name}\" calls itself"));
            return Err(self.at(error, span(&function.name)));
        }
        let found = queries::expression_type(&function.body, &self.parameters(function)?, self.context)?;
        if !can_cast_types(&found, &function.returns.arrow) {
            let message = format!(
                "function \"{name}\" is declared to return {} and its body is {}",
                function.returns.text,
                types::flink_name(&found)
            );
            let error = SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, message);
            return Err(self.at(error, span(&function.name)));
        }
        let parameters = function.parameters.iter().map(|(name, kind)| (name.value.clone(), kind.clone())).collect();
        let returns = function.returns.clone();
        let function = SqlFunction { name, parameters, returns, body: function.body_text.clone() };
        Ok(BoundStatement::CreateFunction { function, exists: false })
    }

    /// The parameters as columns, which the body reads.
    fn parameters(&self, function: &CreateFunction) -> Result<SchemaRef> {
        let mut seen = BTreeSet::new();
        for (name, _) in &function.parameters {
            if !seen.insert(name.value.to_ascii_lowercase()) {
                let message = format!("parameter name \"{}\" used more than once", name.value);
                return Err(self.at(SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, message), name.span));
            }
        }
        let fields = function.parameters.iter().map(|(name, kind)| Field::new(&name.value, kind.arrow.clone(), true));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }
}

/// The SQL functions that a function calls.
pub(super) fn callees(function: &SqlFunction, catalog: &CatalogSnapshot) -> BTreeSet<String> {
    // The body was parsed when the function was made; were it not to parse again, nothing could call it.
    crate::parse::expression(&function.body).map(|body| functions_of(&body, catalog)).unwrap_or_default()
}

/// Whether calls lead to the function `name` in the end.
fn reaches(calls: &BTreeSet<String>, name: &str, catalog: &CatalogSnapshot) -> bool {
    let mut open: Vec<String> = calls.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if next == name {
            return true;
        }
        if let Some(function) = catalog.functions.get(&next).filter(|_| seen.insert(next.clone())) {
            open.extend(callees(function, catalog));
        }
    }
    false
}
