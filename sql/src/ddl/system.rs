//! Which queries are for PostgreSQL's system catalog, which the server has a copy of: those of psql, of drivers, of tools.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::Visit;

use crate::catalog::CatalogSnapshot;

/// Functions about the server and the session. Alone in a query without `FROM`, the server answers them.
const ABOUT_THE_SERVER: [&str; 18] = [
    "version",
    "current_schemas",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_setting",
    "set_config",
    "format_type",
    "obj_description",
    "col_description",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "txid_current",
    "inet_server_addr",
    "inet_server_port",
    "quote_ident",
];

/// Whether a statement reads the system catalog, or asks about the server and reads nothing.
pub(super) fn is_for_catalog<T: Visit>(statement: &T, catalog: &CatalogSnapshot) -> bool {
    let mut relations = 0;
    let of_catalog = sp::visit_relations(statement, |name| {
        relations += 1;
        if is_catalog_relation(name, catalog) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if of_catalog.is_break() {
        return true;
    }
    let asks = || {
        sp::visit_expressions(statement, |expr| match expr {
            sp::Expr::Function(function) if is_about_the_server(&function.name) => ControlFlow::Break(()),
            sp::Expr::Cast { data_type: sp::DataType::Custom(name, _), .. } if is_catalog_type(name) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })
    };
    relations == 0 && asks().is_break()
}

fn is_catalog_relation(name: &sp::ObjectName, catalog: &CatalogSnapshot) -> bool {
    if in_schema(name, "pg_catalog") || in_schema(name, "information_schema") {
        return true;
    }
    let of_server = |part: &sp::ObjectNamePart| {
        let name = part
            .as_ident()
            .map(|ident| ident.value.as_str())
            .filter(|name| ["jobs", "kafka_topics", "state"].contains(name));
        name.is_some_and(|name| catalog.relation(name).is_err())
    };
    if in_schema(name, "millstream") && name.0.last().is_some_and(of_server) {
        return true;
    }
    let bare = name.0.len() == 1;
    let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str()).unwrap_or_default();
    bare && has_pg_prefix(last) && catalog.relation(last).is_err()
}

/// `regclass` and its like, which look names up, and anything `pg_catalog.…`.
fn is_catalog_type(name: &sp::ObjectName) -> bool {
    let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str()).unwrap_or_default();
    let types = ["regclass", "regtype", "regproc", "regnamespace", "oid", "name"];
    in_schema(name, "pg_catalog") || types.iter().any(|known| last.eq_ignore_ascii_case(known))
}

fn is_about_the_server(name: &sp::ObjectName) -> bool {
    let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str()).unwrap_or_default();
    in_schema(name, "pg_catalog")
        || has_pg_prefix(last)
        || (last.starts_with("has_") && last.ends_with("_privilege"))
        || ABOUT_THE_SERVER.iter().any(|known| last.eq_ignore_ascii_case(known))
}

/// Whether the part before the last is this schema.
fn in_schema(name: &sp::ObjectName, schema: &str) -> bool {
    let before = name.0.len().checked_sub(2).and_then(|index| name.0.get(index));
    before.and_then(|part| part.as_ident()).is_some_and(|ident| ident.value.eq_ignore_ascii_case(schema))
}

fn has_pg_prefix(name: &str) -> bool {
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("pg_"))
}
