//! Tables with options of their own in one query: `orders /*+ OPTIONS('k' = 'v') */`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;

use super::Resolver;
use crate::catalog::{CatalogSnapshot, ConnectorTable, Relation, RelationKind};
use crate::ddl::check_options;
use crate::error::{Result, SqlError, SqlState};
use crate::parse::OPTIONS_MARK;
use crate::query::position::at;

/// An option and its value.
type Pair = (String, String);

impl Resolver<'_> {
    /// The table with the options that stand behind it, under a name of its own; `None` where there are none.
    pub(super) fn hinted(&self, factor: &sp::TableFactor) -> Result<Option<(Arc<Relation>, sp::Ident)>> {
        let sp::TableFactor::Table { name, args: Some(args), .. } = factor else { return Ok(None) };
        let mut options = args.args.iter();
        if options.next().and_then(text_of_argument) != Some(OPTIONS_MARK) {
            return Ok(None);
        }
        let Some(ident) = name.0.last().and_then(|part| part.as_ident()) else { return Ok(None) };
        let refuse = |message: String| at(SqlError::new(SqlState::SYNTAX_ERROR, message), ident.span);
        let pairs = options.map(pair).collect::<Option<Vec<Pair>>>();
        let pairs = pairs.ok_or_else(|| refuse("OPTIONS takes pairs 'key' = 'value'".to_owned()))?;
        let Ok(relation) = self.catalog.find(&crate::namespace::parts(name)) else {
            let message = format!("relation \"{name}\" does not exist");
            return Err(at(SqlError::new(SqlState::UNDEFINED_TABLE, message), ident.span));
        };
        let relation = with_options(self.catalog, relation, &pairs).map_err(|error| at(error, ident.span))?;
        let shown: Vec<String> = pairs.iter().map(|(key, value)| format!("'{key}' = '{value}'")).collect();
        let name = relation.name.clone();
        let hinted = Relation { name: format!("{name} /*+ OPTIONS({}) */", shown.join(", ")), ..relation };
        Ok(Some((Arc::new(hinted), sp::Ident { value: name, ..ident.clone() })))
    }
}

/// A table of a connector with these options besides its own, or instead of them.
///
/// # Errors
/// For another relation; where the connector refuses an option.
pub(crate) fn with_options(catalog: &CatalogSnapshot, relation: &Relation, options: &[Pair]) -> Result<Relation> {
    let RelationKind::ConnectorTable(table) = &relation.kind else {
        let message = format!("OPTIONS are for tables of connectors, and \"{}\" is none", relation.name);
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
    };
    let Some(connector) = catalog.connectors.get(&table.connector) else { return Ok(relation.clone()) };
    let mut spec = table.spec.clone();
    spec.options.0.extend(options.iter().cloned());
    let written = spec.options.0.iter().map(|(key, value)| (key.clone(), value.clone(), 0)).collect::<Vec<_>>();
    spec.options = check_options(&written, connector)?;
    let kind = RelationKind::ConnectorTable(ConnectorTable { spec, ..table.clone() });
    Ok(Relation { kind, ..relation.clone() })
}

/// The option that `'key' = 'value'` is.
pub(crate) fn option(written: &sp::Expr) -> Option<Pair> {
    match written {
        sp::Expr::BinaryOp { left, op: sp::BinaryOperator::Eq, right } => {
            Some((text(left)?.to_owned(), text(right)?.to_owned()))
        }
        _ => None,
    }
}

fn text_of_argument(arg: &sp::FunctionArg) -> Option<&str> {
    match arg {
        sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(expr)) => text(expr),
        _ => None,
    }
}

fn text(expr: &sp::Expr) -> Option<&str> {
    match expr {
        sp::Expr::Value(value) => match &value.value {
            sp::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn pair(arg: &sp::FunctionArg) -> Option<Pair> {
    match arg {
        sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(written)) => option(written),
        _ => None,
    }
}
