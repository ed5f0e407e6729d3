//! Joins.

use std::fmt::Display;

use super::{Text, list};
use crate::plan::{
    AsofMatch, CurrentJoinSpec, IntervalJoinSpec, JoinKey, JoinKind, JoinSpec, LookupJoinSpec, MultiJoinSpec,
    TemporalJoinSpec, WindowJoinSpec,
};

pub(super) fn regular(spec: &JoinSpec) -> String {
    let JoinSpec { kind: of, keys: on, residual, retracts, null_aware, ttl_us } = spec;
    let mut text = Text::of(&format!("{} on {}", kind(*of), keys(on)));
    text.residual(residual.as_ref());
    text.flag("left-retracts", retracts.0);
    text.flag("right-retracts", retracts.1);
    text.flag("null-aware", *null_aware);
    text.option("left-ttl", ttl_us.0.as_ref().map(|ttl| ttl as &dyn Display));
    text.option("right-ttl", ttl_us.1.as_ref().map(|ttl| ttl as &dyn Display));
    text.0
}

pub(super) fn multi(spec: &MultiJoinSpec) -> String {
    // What comes out is not part of the state.
    let MultiJoinSpec { keys: on, columns: _ } = spec;
    let of_input = |columns: &Vec<usize>| format!("({})", list(columns.iter().map(|column| format!("#{column}"))));
    format!("on {}", list(on.iter().map(of_input)))
}

pub(super) fn interval(spec: &IntervalJoinSpec) -> String {
    let IntervalJoinSpec { kind: of, keys: on, left_time, right_time, lower_us, upper_us, residual } = spec;
    let between = format!("#{left_time} - #{right_time} in {lower_us} to {upper_us}");
    let mut text = Text::of(&format!("{} on {} {between}", kind(*of), keys(on)));
    text.residual(residual.as_ref());
    text.0
}

pub(super) fn temporal(spec: &TemporalJoinSpec) -> String {
    let TemporalJoinSpec { kind: of, keys: on, left_time, right_time, asof, residual } = spec;
    let asof = match asof {
        AsofMatch::AtOrBefore => "at-or-before",
        AsofMatch::Before => "before",
        AsofMatch::AtOrAfter => "at-or-after",
        AsofMatch::After => "after",
    };
    let mut text = Text::of(&format!("{} on {} #{right_time} {asof} #{left_time}", kind(*of), keys(on)));
    text.residual(residual.as_ref());
    text.0
}

pub(super) fn current(spec: &CurrentJoinSpec) -> String {
    let CurrentJoinSpec { kind: of, keys: on, residual, right_retracts, right_ends } = spec;
    let mut text = Text::of(&format!("{} on {}", kind(*of), keys(on)));
    text.residual(residual.as_ref());
    text.flag("right-retracts", *right_retracts);
    text.flag("right-ends", *right_ends);
    text.0
}

pub(super) fn lookup(spec: &LookupJoinSpec) -> String {
    let LookupJoinSpec { kind: of, table, lookup: _, keys: on, residual } = spec;
    let mut text = Text::of(&format!("{} {table} on {}", kind(*of), keys(on)));
    text.residual(residual.as_ref());
    text.0
}

pub(super) fn window(spec: &WindowJoinSpec) -> String {
    let WindowJoinSpec { kind: of, keys: on, window_start, window_end, residual } = spec;
    let pair = |(left, right): &(usize, usize)| format!("#{left} = #{right}");
    let on = list(on.iter().chain([window_start, window_end]).map(pair));
    let mut text = Text::of(&format!("{} on {on}", kind(*of)));
    text.residual(residual.as_ref());
    text.0
}

fn kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
        JoinKind::Mark => "mark",
    }
}

fn keys(keys: &[JoinKey]) -> String {
    let key = |JoinKey { left, right, null_equal }: &JoinKey| {
        format!("#{left} {} #{right}", if *null_equal { "is" } else { "=" })
    };
    list(keys.iter().map(key))
}
