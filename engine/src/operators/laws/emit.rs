//! Windows that are emitted before their close, or replaced after it, under law.

use super::cases::{ALL, Case, INVERTIBLE, WIDE, session_assign, window_aggregate};
use super::harness::Times;
use crate::plan::{EarlyEmit, OperatorSpec, WindowEmit};

/// Milliseconds that windows take rows after their close.
const LATENESS: i64 = 7;

fn emit(early: EarlyEmit, late: bool) -> WindowEmit {
    WindowEmit { early, lateness_us: if late { LATENESS * 1_000 } else { 0 }, holds_watermark: true }
}

/// The case with another emission. A row counts while the watermark is not the lateness behind the end of its window.
fn emitting(mut case: Case, of: WindowEmit) -> Case {
    let OperatorSpec::WindowAggregate(spec) = &mut case.spec else { panic!("{} has no windows", case.name) };
    spec.emit = of;
    case.name = format!("{} {of:?}", case.name);
    // What is passed on as the watermark is behind by the lateness, so that this is law 3.
    case.times = Times::NotBefore(case.output.fields().len() - 1);
    if of.lateness_us > 0 {
        case.result = case.result.replace("we - 1 > w", &format!("we - 1 + {LATENESS} > w"));
        case.late = case.late.map(|late| late.replace("we - 1 <= w", &format!("we - 1 + {LATENESS} <= w")));
    }
    case
}

fn session(retracts: bool, of: WindowEmit) -> Case {
    let mut case = session_assign();
    let OperatorSpec::SessionAssign(spec) = &mut case.spec else { panic!("{} has no sessions", case.name) };
    (spec.retracts, spec.emit) = (retracts, of);
    case.retracts = retracts;
    case.name = format!("session assign retracts {retracts} {of:?}");
    if of.lateness_us > 0 {
        case.times = Times::None;
    } else if of.updates() {
        case.times = Times::NotBefore(6);
    }
    case
}

/// Every window operator with every kind of emission.
pub(super) fn cases() -> Vec<Case> {
    use EarlyEmit::{EachEpoch, Every, Never};
    let mut cases = Vec::new();
    for window in ["tumble 10 0", "hop 4 10 3", "hop 7 3 0", "cumulate 5 15 2"] {
        for (early, late) in [(EachEpoch, false), (EachEpoch, true), (Never, true), (Every(10_000), false)] {
            cases.push(emitting(window_aggregate(window, true, ALL, false, false), emit(early, late)));
        }
        cases.push(emitting(window_aggregate(window, false, INVERTIBLE, false, true), emit(EachEpoch, false)));
        cases.push(emitting(window_aggregate(window, true, WIDE, false, true), emit(Every(10_000), true)));
    }
    cases.push(emitting(window_aggregate("tumble 10 0", true, ALL, true, false), emit(EachEpoch, true)));
    cases.push(emitting(window_aggregate("tumble 10 0", true, ALL, true, true), emit(EachEpoch, false)));
    cases.push(session(true, emit(Never, false)));
    for retracts in [false, true] {
        cases.extend(
            [(EachEpoch, false), (Never, true), (EachEpoch, true)]
                .map(|(early, late)| session(retracts, emit(early, late))),
        );
    }
    cases
}
