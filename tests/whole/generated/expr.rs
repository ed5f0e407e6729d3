//! Random expressions over columns. None fails on any row, and none depends on the order of additions.

use super::random::Random;
use super::world::{Column, KINDS, Kind};

/// An expression of a kind.
pub(super) fn scalar(kind: Kind, scope: &[Column], depth: usize, random: &mut Random) -> String {
    let columns: Vec<&str> = scope.iter().filter(|column| column.kind == kind).map(|column| &*column.name).collect();
    if depth == 0 || random.chance(50) {
        if columns.is_empty() || random.chance(5) {
            return kind.literal(random);
        }
        return random.pick(&columns).to_owned();
    }
    let mut inner = |kind: Kind| scalar(kind, scope, depth - 1, random);
    let (one, other) = (inner(kind), inner(kind));
    match random.below(4) {
        0 => return format!("CASE WHEN {} THEN {one} ELSE {other} END", predicate(scope, depth - 1, random)),
        1 => return format!("COALESCE({one}, {other})"),
        _ => {}
    }
    match (kind, random.below(3)) {
        (Kind::Int, 0) => format!("({one} + {other})"),
        (Kind::Int, 1) => format!("CHAR_LENGTH({})", scalar(Kind::Text, scope, depth - 1, random)),
        (Kind::Int, _) => format!("(ABS({one}) % 5)"),
        (Kind::Decimal, 0) => format!("({one} - {other})"),
        (Kind::Decimal, _) => format!("({one} + {})", scalar(Kind::Int, scope, depth - 1, random)),
        (Kind::Text, 0) => format!("UPPER({one})"),
        (Kind::Text, 1) => format!("({one} || {other})"),
        (Kind::Text, _) => format!("SUBSTRING({one} FROM 1 FOR 1)"),
        (Kind::Time, _) => format!("({one} + INTERVAL '2' HOUR)"),
        (Kind::Date, _) => format!("({one} + INTERVAL '1' DAY)"),
        (Kind::Bool, _) => predicate(scope, depth - 1, random),
        // A negated zero is a zero with another text.
        (Kind::Double, _) => format!("(CAST(1 AS DOUBLE) - {one})"),
    }
}

/// A comparison operator.
pub(super) fn comparison(random: &mut Random) -> &'static str {
    random.pick(&["=", "<>", "<", "<=", ">", ">="])
}

/// A condition.
pub(super) fn predicate(scope: &[Column], depth: usize, random: &mut Random) -> String {
    if depth > 0 && random.chance(30) {
        let (left, right) = (predicate(scope, depth - 1, random), predicate(scope, depth - 1, random));
        return match random.below(3) {
            0 => format!("({left} AND {right})"),
            1 => format!("({left} OR {right})"),
            _ => format!("(NOT {left})"),
        };
    }
    let kind = match scope.is_empty() {
        true => KINDS[random.below(KINDS.len())],
        false => scope[random.below(scope.len())].kind,
    };
    let one = scalar(kind, scope, depth, random);
    match random.below(10) {
        0 => format!("{one} IS NULL"),
        1 => format!("{one} IS NOT NULL"),
        2 => format!("{one} IN ({}, {})", kind.literal(random), kind.literal(random)),
        3 => format!("{one} BETWEEN {} AND {}", kind.literal(random), kind.literal(random)),
        4 => format!("{one} IS NOT DISTINCT FROM {}", scalar(kind, scope, 0, random)),
        5 if kind == Kind::Text => format!("{one} LIKE 'a%'"),
        5 if kind == Kind::Bool => one,
        _ => format!("{one} {} {}", comparison(random), scalar(kind, scope, 0, random)),
    }
}

/// An aggregate over rows of a scope, and the kind of its result. Sums of doubles would depend on the order.
pub(super) fn aggregate(scope: &[Column], random: &mut Random) -> (String, Kind) {
    let filter = match random.chance(20) {
        true => format!(" FILTER (WHERE {})", predicate(scope, 1, random)),
        false => String::new(),
    };
    let distinct = if random.chance(25) { "DISTINCT " } else { "" };
    let kind = scope[random.below(scope.len())].kind;
    let arg = scalar(kind, scope, 1, random);
    let (call, kind) = match (random.below(9), kind) {
        (0, _) => ("COUNT(*)".to_owned(), Kind::Int),
        (1 | 2, _) => (format!("COUNT({distinct}{arg})"), Kind::Int),
        (3, Kind::Bool) => (format!("BOOL_AND({arg})"), Kind::Bool),
        (_, Kind::Bool) => (format!("BOOL_OR({arg})"), Kind::Bool),
        (3 | 4, Kind::Int) => (format!("SUM({distinct}{arg})"), Kind::Int),
        (3 | 4, Kind::Decimal) => (format!("SUM({distinct}{arg})"), Kind::Decimal),
        (5, Kind::Int | Kind::Decimal) => (format!("AVG({distinct}{arg})"), Kind::Decimal),
        (6, Kind::Text) => (format!("STRING_AGG({arg}, ',' ORDER BY {arg})"), Kind::Text),
        (7, _) => (format!("MAX({arg})"), kind),
        (_, _) => (format!("MIN({arg})"), kind),
    };
    (call + &filter, kind)
}
