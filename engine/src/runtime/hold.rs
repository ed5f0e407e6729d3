//! [`Hold`]: what an operator is not given while it waits for something outside.

use std::collections::VecDeque;

use super::aligner::Step;
use super::ring::CREDIT_ROWS;
use crate::message::Message;

/// See the module. A barrier that the operator has handled may wait as well, so that it passes behind the rows before it.
#[derive(Debug, Default)]
pub(super) struct Hold {
    holding: bool,
    /// The barrier or end that the operator handled when it began to wait.
    control: Option<Message>,
    steps: VecDeque<Step>,
    rows: usize,
}

impl Hold {
    /// The operator begins or ceases to wait.
    pub(super) fn set(&mut self, holding: bool) {
        self.holding = holding;
    }

    /// Whether what waits leaves room for more.
    pub(super) fn has_room(&self) -> bool {
        self.rows < CREDIT_ROWS
    }

    /// The step, unless it has to wait.
    pub(super) fn pass(&mut self, step: Step) -> Option<Step> {
        if !self.holding {
            return Some(step);
        }
        self.rows += rows_of(&step);
        self.steps.push_back(step);
        None
    }

    /// The barrier or end that was handled, unless it has to wait.
    pub(super) fn keep(&mut self, control: Option<Message>) -> Option<Message> {
        if !self.holding {
            return control;
        }
        self.control = control.or(self.control.take());
        None
    }

    /// The barrier or end that waited, when the operator does not wait any more.
    pub(super) fn kept(&mut self) -> Option<Message> {
        if self.holding { None } else { self.control.take() }
    }

    /// The next step that waited, when the operator does not wait any more.
    pub(super) fn next(&mut self) -> Option<Step> {
        if self.holding {
            return None;
        }
        let step = self.steps.pop_front()?;
        self.rows -= rows_of(&step);
        Some(step)
    }
}

fn rows_of(step: &Step) -> usize {
    match step {
        Step::Delta(_, delta) => delta.rows(),
        Step::Watermark(_) | Step::Idle | Step::Barrier(_) | Step::PortEnd(_) | Step::End => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Epoch;

    #[test]
    fn a_barrier_and_what_follows_it_wait() {
        let mut hold = Hold::default();
        assert!(matches!(hold.pass(Step::Barrier(Epoch(1))), Some(Step::Barrier(Epoch(1)))));
        hold.set(true);
        assert!(hold.keep(Some(Message::Barrier(Epoch(1)))).is_none());
        assert!(hold.pass(Step::Barrier(Epoch(2))).is_none());
        assert!(hold.pass(Step::End).is_none());
        assert!(hold.kept().is_none() && hold.next().is_none());
        hold.set(false);
        assert!(matches!(hold.kept(), Some(Message::Barrier(Epoch(1)))));
        assert!(matches!(hold.next(), Some(Step::Barrier(Epoch(2)))));
        assert!(matches!(hold.next(), Some(Step::End)));
        assert!(hold.next().is_none());
    }
}
