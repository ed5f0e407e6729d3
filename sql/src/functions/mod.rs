//! Functions: DataFusion's own and, where Flink's differ or are missing, ours over them.
//!
//! One file a family. Everything works on whole columns; constants (patterns, formats) are prepared once a batch.

mod access;
mod arithmetic;
mod average;
mod calendar;
mod charset;
mod checked;
mod clock;
mod coding;
mod collected;
mod collection;
mod convert;
mod decimal;
mod escapes;
mod flink;
mod flink_map;
mod float_key;
mod format;
mod interval_order;
mod intervals;
mod json;
mod large;
mod listing;
mod literal;
mod looking;
mod matcher;
mod moments;
mod native;
mod number_reading;
mod number_text;
mod overlaps;
mod padded;
mod pattern;
mod percentile;
mod printf;
mod recast;
mod regexes;
mod rounding;
mod seeded;
mod series;
mod signed;
mod single_row;
mod special;
mod support;
mod text_moment;
mod to_char;
mod url;
mod value_text;
mod variant;
mod words;
mod zones;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

pub(crate) use arithmetic::{checked, wrapping, wrapping_abs, wrapping_div, wrapping_neg};
pub(crate) use clock::PROCTIME;
pub(crate) use collected::COLLECT;
pub(crate) use decimal::{Decimal, decimal_operator};
pub(crate) use escapes::{LIKE_PATTERN, SIMILAR_PATTERN};
pub(crate) use flink::in_flink;
pub(crate) use float_key::{FLOAT_KEY, float_key};
pub(crate) use interval_order::{interval_bytes, interval_length, interval_of_bytes};
pub(crate) use json::push_json_text;
pub use listing::{ListedFunction, functions_page, listed_functions};
pub(crate) use literal::whole_literal;
pub(crate) use looking::looking;
pub use native::{NativeAccumulator, NativeAccumulators, NativeFunction, NativeKernel};
pub(crate) use number_reading::{readable_decimal, whole_number};
pub use number_text::{push_double, push_single};
pub(crate) use padded::{Padding, is_padded, padded_time, rounded_clock};
pub(crate) use pattern::regexp_extracts;
pub(crate) use percentile::WEIGHTED;
pub(crate) use single_row::{SEVERAL_ROWS, first_row, single_row};
pub(crate) use special::replaced;
pub(crate) use support::own_type;
pub(crate) use text_moment::{Reading, text_moment};
pub(crate) use value_text::{has_own_text, value_text};
pub(crate) use variant::variant_text;
pub(crate) use zones::{AT_TIME_ZONE, moment_of, moment_seconds, timestamp_text, wall_clock, wall_seconds};

/// All functions by lower-case name, aliases included.
pub(crate) struct Registry {
    pub(crate) scalar: HashMap<String, Arc<ScalarUDF>>,
    pub(crate) higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    pub(crate) aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub(crate) window: HashMap<String, Arc<WindowUDF>>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
}

/// Names that the planner treats itself.
const BUILT_IN: [&str; 4] = ["unnest", "unnest_outer", "make_map", "map"];

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry {
        scalar: HashMap::new(),
        higher_order: HashMap::new(),
        aggregate: HashMap::new(),
        window: HashMap::new(),
        planners: vec![Arc::new(literal::Literals), Arc::new(access::KeyAccess), Arc::new(intervals::ScaledIntervals)],
    };
    registry.planners.extend(SessionStateDefaults::default_expr_planners());
    for function in SessionStateDefaults::default_scalar_functions().into_iter().chain(ours()) {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            registry.scalar.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    for name in series::NAMES {
        if let Some(function) = registry.scalar.get(name) {
            let bounded = series::bounded(function);
            registry.scalar.insert(name.to_owned(), bounded);
        }
    }
    for name in large::names() {
        if let Some(limited) = registry.scalar.get(name).and_then(|function| large::limited(name, function)) {
            registry.scalar.insert(name.to_owned(), limited);
        }
    }
    if let Some(cardinality) = registry.scalar.get("cardinality").map(signed::size) {
        registry.scalar.insert("cardinality".to_owned(), cardinality);
    }
    for (alias, name) in ALIASES {
        if let Some(function) = registry.scalar.get(name) {
            registry.scalar.insert(alias.to_owned(), Arc::clone(function));
        }
    }
    for function in SessionStateDefaults::default_higher_order_functions() {
        registry.higher_order.insert(function.name().to_owned(), function);
    }
    for function in SessionStateDefaults::default_aggregate_functions() {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            let function = match function.name() {
                "avg" => average::rounded(&function),
                "approx_distinct" => signed::count(&function),
                _ => Arc::clone(&function),
            };
            registry.aggregate.insert(name.to_owned(), function);
        }
    }
    for function in SessionStateDefaults::default_window_functions() {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            let places = signed::PLACES.contains(&function.name());
            let function = if places { signed::place(&function) } else { Arc::clone(&function) };
            registry.window.insert(name.to_owned(), function);
        }
    }
    registry
});

/// Flink's names of functions that DataFusion has under another.
const ALIASES: [(&str, &str); 8] = [
    ("ceiling", "ceil"),
    ("collection_size", "cardinality"),
    ("map_from_arrays", "map"),
    ("regexp", "regexp_like"),
    ("sign", "signum"),
    ("truncate", "trunc"),
    ("character_length", "char_length"),
    ("lcase", "lower"),
];

/// The functions of Millstream's own, which come before DataFusion's of the same name.
fn ours() -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![clock::proctime(), clock::now(), arithmetic::modulo()];
    functions.extend(calendar::functions());
    functions.extend(coding::functions());
    functions.extend(collection::functions());
    functions.extend(convert::functions());
    functions.extend(escapes::functions());
    functions.extend(flink_map::functions());
    functions.extend(intervals::functions());
    functions.extend(json::functions());
    functions.extend(moments::functions());
    functions.extend(overlaps::functions());
    functions.extend(pattern::functions());
    functions.extend(percentile::functions());
    functions.extend(regexes::functions());
    functions.extend(rounding::functions());
    functions.extend(special::functions());
    functions.extend(to_char::functions());
    functions.extend(zones::functions());
    functions.push(collected::collect());
    functions.push(printf::function());
    functions.extend(url::functions());
    functions.extend(variant::functions());
    functions.extend(words::functions());
    functions
}

/// All functions.
pub(crate) fn registry() -> &'static Registry {
    &REGISTRY
}

/// Whether there is a function of that lower-case name.
pub(crate) fn exists(lower: &str) -> bool {
    let registry = registry();
    registry.scalar.contains_key(lower)
        || registry.aggregate.contains_key(lower)
        || registry.window.contains_key(lower)
        || registry.higher_order.contains_key(lower)
        || BUILT_IN.contains(&lower)
}

/// The names of all functions.
pub(crate) fn names() -> Vec<String> {
    let registry = registry();
    let scalar = registry.scalar.keys();
    scalar.chain(registry.aggregate.keys()).chain(registry.window.keys()).cloned().collect()
}

#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod tests;
