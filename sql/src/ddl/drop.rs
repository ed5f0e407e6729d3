//! `DROP`, with what depends on what is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;
use millstream_engine::plan::RelationId;

use crate::ast::{Drop, ObjectKind};
use crate::bound::BoundStatement;
use crate::catalog::{CatalogSnapshot, Relation, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};

use super::Binder;
use super::function::callees;
use super::names::{last, span, with_near};

/// What can be dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Relation(RelationId),
    /// By lower-case name.
    Function(String),
}

/// What is to be dropped, dependents first.
#[derive(Default)]
struct Plan {
    ordered: Vec<Object>,
    met: BTreeSet<Object>,
}

impl Binder<'_> {
    pub(super) fn drop(&self, drop: &Drop) -> Result<BoundStatement> {
        let mut notices = Vec::new();
        let mut named = Vec::new();
        for name in &drop.names {
            match self.dropped(drop, name)? {
                Some(object) => named.push((object, name)),
                None => notices.push(format!("{} \"{name}\" does not exist, skipping", noun(drop.kind))),
            }
        }
        let catalog = &self.context.catalog;
        if !drop.cascade {
            let together: BTreeSet<&Object> = named.iter().map(|(object, _)| object).collect();
            for (object, name) in &named {
                self.refuse_dependents(object, name, &together)?;
            }
        }
        let (relations, functions) = with_dependents(named.into_iter().map(|(object, _)| object), catalog);
        Ok(BoundStatement::Drop { relations, functions, kind: drop.kind, notices })
    }

    /// What a name stands for; `None` where it is missing and may be.
    fn dropped(&self, drop: &Drop, name: &sp::ObjectName) -> Result<Option<Object>> {
        let catalog = &self.context.catalog;
        let simple = last(name);
        if drop.kind == ObjectKind::Function {
            let lower = simple.to_ascii_lowercase();
            return match (catalog.functions.contains_key(&lower), drop.if_exists) {
                (true, _) => Ok(Some(Object::Function(lower))),
                (false, true) => Ok(None),
                (false, false) => {
                    let near = nearest(&simple, catalog.functions.keys().map(String::as_str));
                    let message = format!("function \"{simple}\" does not exist");
                    Err(self.at(with_near(SqlError::new(SqlState::UNDEFINED_FUNCTION, message), near), span(name)))
                }
            };
        }
        if drop.if_exists && self.is_missing(name) {
            return Ok(None);
        }
        let found = self.relation(name)?;
        let actual = kind_of(found);
        if actual == drop.kind {
            return Ok(Some(Object::Relation(found.id)));
        }
        let article = |kind| if kind == ObjectKind::Function { "function" } else { noun(kind) };
        let message = format!("\"{}\" is not a {}", found.name, article(drop.kind));
        let hint = format!("use DROP {} to remove a {}", noun(actual).to_ascii_uppercase(), noun(actual));
        Err(self.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint), span(name)))
    }

    /// The error where something that is not dropped as well depends on an object.
    fn refuse_dependents(&self, object: &Object, name: &sp::ObjectName, together: &BTreeSet<&Object>) -> Result<()> {
        let catalog = &self.context.catalog;
        let mut plan = Plan::default();
        plan.add(object.clone(), catalog);
        let others: Vec<&Object> =
            plan.ordered.iter().rev().filter(|other| *other != object && !together.contains(other)).collect();
        if others.is_empty() {
            return Ok(());
        }
        let what = shown(object, catalog);
        let lines = others.iter().map(|other| format!("{} depends on {what}", shown(other, catalog)));
        let message = format!("cannot drop {what} because other objects depend on it");
        let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(lines.collect::<Vec<_>>().join("\n"))
            .with_hint("use DROP … CASCADE to drop the dependent objects too");
        Err(self.at(error, span(name)))
    }
}

/// Objects and all that depends on them, dependents first: relations, and functions by lower-case name.
pub(super) fn with_dependents(
    objects: impl Iterator<Item = Object>,
    catalog: &CatalogSnapshot,
) -> (Vec<RelationId>, Vec<String>) {
    let mut plan = Plan::default();
    objects.for_each(|object| plan.add(object, catalog));
    let (mut relations, mut functions) = (Vec::new(), Vec::new());
    for object in plan.ordered {
        match object {
            Object::Relation(id) => relations.push(id),
            Object::Function(name) => functions.push(name),
        }
    }
    (relations, functions)
}

impl Plan {
    /// Adds an object behind everything that depends on it.
    fn add(&mut self, object: Object, catalog: &CatalogSnapshot) {
        // A path of objects to visit, each with what depends on it and is still to come.
        let mut path = vec![(dependents(&object, catalog), object.clone())];
        if !self.met.insert(object) {
            return;
        }
        while let Some((rest, _)) = path.last_mut() {
            match rest.pop() {
                Some(next) if self.met.insert(next.clone()) => path.push((dependents(&next, catalog), next)),
                Some(_) => {}
                None => self.ordered.extend(path.pop().map(|(_, done)| done)),
            }
        }
    }
}

/// What reads a relation or calls a function directly.
fn dependents(object: &Object, catalog: &CatalogSnapshot) -> Vec<Object> {
    let relations = catalog.relations.values().filter(|other| match object {
        Object::Relation(id) => other.depends_on.contains(id),
        Object::Function(name) => other.functions.contains(name),
    });
    let mut found: Vec<Object> = relations.map(|other| Object::Relation(other.id)).collect();
    if let Object::Function(name) = object {
        let callers = catalog.functions.iter().filter(|(_, function)| callees(function, catalog).contains(name));
        found.extend(callers.map(|(caller, _)| Object::Function(caller.clone())));
    }
    found
}

/// An object for people: `view v`.
fn shown(object: &Object, catalog: &CatalogSnapshot) -> String {
    match object {
        Object::Function(name) => format!("function {name}"),
        Object::Relation(id) => match catalog.relations.values().find(|relation| relation.id == *id) {
            Some(relation) => described(relation),
            None => "an object that is gone".to_owned(),
        },
    }
}

/// A relation for people: `materialized view v`.
pub(super) fn described(relation: &Arc<Relation>) -> String {
    format!("{} {}", noun(kind_of(relation)), relation.name)
}

fn kind_of(relation: &Relation) -> ObjectKind {
    match relation.kind {
        RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_) => ObjectKind::Table,
        RelationKind::View { .. } => ObjectKind::View,
        RelationKind::MaterializedView { .. } => ObjectKind::MaterializedView,
    }
}

fn noun(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "table",
        ObjectKind::View => "view",
        ObjectKind::MaterializedView => "materialized view",
        ObjectKind::Function => "function",
    }
}
