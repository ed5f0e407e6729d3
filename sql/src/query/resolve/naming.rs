//! The name that PostgreSQL gives to a result without `AS`.

use datafusion::sql::sqlparser::ast as sp;

/// The name of a result: that of the column or function it comes from, else `?column?`.
pub(super) fn result_name(expr: &sp::Expr) -> String {
    name_of(expr).unwrap_or_else(|| "?column?".to_owned())
}

fn name_of(expr: &sp::Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        sp::Expr::Identifier(ident) => Some(ident.value.clone()),
        sp::Expr::CompoundIdentifier(path) => path.last().map(|ident| ident.value.clone()),
        sp::Expr::CompoundFieldAccess { root, access_chain } => field_name(access_chain).or_else(|| name_of(root)),
        sp::Expr::Function(function) => match function.name.0.last() {
            Some(sp::ObjectNamePart::Identifier(ident)) => {
                let name = ident.value.to_ascii_lowercase();
                // `FLOOR(t TO unit)` is a call of a function of ours.
                Some(
                    name.strip_suffix("_to")
                        .filter(|name| matches!(*name, "ceil" | "floor" | "extract" | "timestampadd"))
                        .map_or(name.clone(), str::to_owned),
                )
            }
            Some(sp::ObjectNamePart::Function(_)) | None => None,
        },
        sp::Expr::Nested(inner) | sp::Expr::Collate { expr: inner, .. } => name_of(inner),
        sp::Expr::Cast { expr, data_type, .. } => name_of(expr).or_else(|| Some(type_name(data_type))),
        sp::Expr::TypedString(literal) => Some(type_name(&literal.data_type)),
        sp::Expr::Case { else_result, .. } => else_result.as_deref().and_then(column_name).or_else(|| fixed("case")),
        sp::Expr::Exists { .. } => fixed("exists"),
        sp::Expr::Extract { .. } => fixed("extract"),
        sp::Expr::Substring { .. } => fixed("substring"),
        sp::Expr::Trim { trim_where, .. } => fixed(match trim_where {
            Some(sp::TrimWhereField::Leading) => "ltrim",
            Some(sp::TrimWhereField::Trailing) => "rtrim",
            Some(sp::TrimWhereField::Both) | None => "btrim",
        }),
        sp::Expr::Position { .. } => fixed("position"),
        sp::Expr::Overlay { .. } => fixed("overlay"),
        sp::Expr::Ceil { .. } => fixed("ceil"),
        sp::Expr::Floor { .. } => fixed("floor"),
        sp::Expr::AtTimeZone { .. } => fixed("timezone"),
        sp::Expr::Interval(_) => fixed("interval"),
        sp::Expr::Array(_) => fixed("array"),
        sp::Expr::Struct { .. } | sp::Expr::Tuple(_) => fixed("row"),
        sp::Expr::Value(value) => match value.value {
            sp::Value::Boolean(_) => fixed("bool"),
            _ => None,
        },
        sp::Expr::Subquery(query) => match query.body.as_ref() {
            sp::SetExpr::Select(select) => match select.projection.first() {
                Some(sp::SelectItem::UnnamedExpr(expr)) => name_of(expr),
                Some(sp::SelectItem::ExprWithAlias { alias, .. }) => Some(alias.value.clone()),
                Some(_) | None => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// As PostgreSQL for the `ELSE` of a `CASE`: only a column gives it its name.
fn column_name(expr: &sp::Expr) -> Option<String> {
    match expr {
        sp::Expr::Identifier(_) | sp::Expr::CompoundIdentifier(_) => name_of(expr),
        sp::Expr::Nested(inner) => column_name(inner),
        _ => None,
    }
}

fn field_name(chain: &[sp::AccessExpr]) -> Option<String> {
    chain.iter().rev().find_map(|access| match access {
        sp::AccessExpr::Dot(sp::Expr::Identifier(ident)) => Some(ident.value.clone()),
        sp::AccessExpr::Dot(sp::Expr::Value(name)) => name.value.clone().into_string(),
        sp::AccessExpr::Dot(_) | sp::AccessExpr::Subscript(_) => None,
    })
}

/// PostgreSQL's internal name of a type.
fn type_name(data_type: &sp::DataType) -> String {
    let text = data_type.to_string().to_ascii_lowercase();
    let bare = text.split(['(', '<']).next().unwrap_or_default().trim();
    let name = match bare {
        "int" | "integer" | "int4" => "int4",
        "bigint" | "int8" => "int8",
        "smallint" | "int2" => "int2",
        "boolean" | "bool" => "bool",
        "real" | "float4" => "float4",
        "double" | "double precision" | "float8" | "float" => "float8",
        "decimal" | "numeric" => "numeric",
        "varchar" | "character varying" => "varchar",
        "string" | "text" => "text",
        other => other,
    };
    name.to_owned()
}
