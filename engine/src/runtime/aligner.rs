//! [`Aligner`]: what a node does with the control messages of its input channels.
//!
//! A channel is one way into a node: one for a forward edge, one for each shard of an exchange. The aligner keeps the
//! least watermark, holds a channel back after its barrier until all have theirs, and tells when all have ended.

use std::collections::VecDeque;

use super::ring::{CREDIT_ROWS, rows_of};
use crate::message::{Delta, Epoch, Message};
use crate::time::EventTime;

/// What a node must do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Take rows on a port.
    Delta(usize, Delta),
    /// The least watermark rose to this.
    Watermark(EventTime),
    /// All channels are idle.
    Idle,
    /// All channels have passed the barrier.
    Barrier(Epoch),
    /// All channels of a port have ended; others have not.
    PortEnd(usize),
    /// All channels have ended.
    End,
}

/// One way into a node.
#[derive(Debug)]
struct Channel {
    port: usize,
    watermark: EventTime,
    idle: bool,
    barrier: Option<Epoch>,
    ended: bool,
    /// What came after the barrier.
    held: VecDeque<Message>,
    held_rows: usize,
}

/// Aligns the channels of one node.
#[derive(Debug)]
pub(super) struct Aligner {
    channels: Vec<Channel>,
    watermark: EventTime,
    idle: bool,
    ended: bool,
}

impl Aligner {
    /// An aligner whose channel `i` leads to port `ports[i]`.
    pub(super) fn new(ports: Vec<usize>) -> Self {
        let channel = |port| Channel {
            port,
            watermark: EventTime::MIN,
            idle: false,
            barrier: None,
            ended: false,
            held: VecDeque::new(),
            held_rows: 0,
        };
        Self {
            channels: ports.into_iter().map(channel).collect(),
            watermark: EventTime::MIN,
            idle: false,
            ended: false,
        }
    }

    /// Whether the channel waits for the barrier of the others.
    pub(super) fn is_held(&self, channel: usize) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.barrier.is_some())
    }

    /// Whether the rows that are held back on the channel leave room for more.
    pub(super) fn has_room(&self, channel: usize) -> bool {
        self.channels.get(channel).is_none_or(|channel| channel.held_rows < CREDIT_ROWS)
    }

    /// Notes that rows came on a channel, for a caller that has them processed itself.
    pub(super) fn touch(&mut self, channel: usize) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.idle = false;
        }
    }

    /// Takes a message of a channel; appends what the node must do to `steps`.
    pub(super) fn accept(&mut self, channel: usize, message: Message, steps: &mut Vec<Step>) {
        let mut work = VecDeque::from([(channel, message)]);
        while let Some((index, message)) = work.pop_front() {
            let Some(channel) = self.channels.get_mut(index) else { continue };
            if channel.barrier.is_some() {
                channel.held_rows += rows_of(&message);
                channel.held.push_back(message);
                continue;
            }
            match message {
                Message::Delta(delta) => {
                    channel.idle = false;
                    steps.push(Step::Delta(channel.port, delta));
                }
                Message::Watermark(watermark) => {
                    channel.idle = false;
                    channel.watermark = channel.watermark.max(watermark);
                    self.advance(false, steps);
                }
                Message::Idle => {
                    channel.idle = true;
                    self.advance(false, steps);
                }
                Message::Barrier(epoch) => channel.barrier = Some(epoch),
                Message::End => {
                    channel.ended = true;
                    channel.watermark = EventTime::MAX;
                    let port = channel.port;
                    let mut open = self.channels.iter().filter(|channel| !channel.ended).peekable();
                    if open.peek().is_some() && open.all(|channel| channel.port != port) {
                        steps.push(Step::PortEnd(port));
                    }
                    self.advance(false, steps);
                }
            }
            self.align(steps, &mut work);
        }
    }

    /// Recomputes the least watermark of the channels that have not ended. Idle ones are left out at a barrier only: before,
    /// rows that came to the other end of such a channel may still be on their way.
    fn advance(&mut self, at_barrier: bool, steps: &mut Vec<Step>) {
        let open = || self.channels.iter().filter(|channel| !channel.ended);
        let active = || open().filter(|channel| !channel.idle);
        let all_idle = active().next().is_none();
        let leaves_idle_out = at_barrier || self.channels.len() == 1;
        let (least, idle) = if open().next().is_none() {
            (EventTime::MAX, false)
        } else if !leaves_idle_out {
            (open().map(|channel| channel.watermark).min().unwrap_or(EventTime::MIN), self.idle && all_idle)
        } else if all_idle {
            (open().map(|channel| channel.watermark).max().unwrap_or(EventTime::MIN), true)
        } else {
            (active().map(|channel| channel.watermark).min().unwrap_or(EventTime::MIN), false)
        };
        if least > self.watermark {
            self.watermark = least;
            self.idle = false;
            steps.push(Step::Watermark(least));
        }
        if idle && !self.idle {
            steps.push(Step::Idle);
        }
        self.idle = idle;
    }

    /// Passes a barrier that all channels have, and lets their held messages go; ends when all have ended.
    fn align(&mut self, steps: &mut Vec<Step>, work: &mut VecDeque<(usize, Message)>) {
        let open = || self.channels.iter().filter(|channel| !channel.ended);
        if open().next().is_none() {
            if !self.ended {
                self.ended = true;
                steps.push(Step::End);
            }
            return;
        }
        if open().any(|channel| channel.barrier.is_none()) {
            return;
        }
        // Barriers come in order on every channel, so that all of them carry the same epoch.
        let Some(epoch) = open().filter_map(|channel| channel.barrier).min() else { return };
        debug_assert!(open().all(|channel| channel.barrier == Some(epoch)));
        self.advance(true, steps);
        steps.push(Step::Barrier(epoch));
        for (index, channel) in self.channels.iter_mut().enumerate() {
            channel.barrier = None;
            channel.held_rows = 0;
            work.extend(channel.held.drain(..).map(|message| (index, message)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ports: Vec<usize>, messages: Vec<(usize, Message)>) -> String {
        let mut aligner = Aligner::new(ports);
        let mut steps = Vec::new();
        for (channel, message) in messages {
            aligner.accept(channel, message, &mut steps);
        }
        steps
            .iter()
            .map(|step| match step {
                Step::Delta(port, delta) => format!("delta {port} {} ", delta.rows()),
                Step::Watermark(at) => format!("watermark {} ", at.0),
                Step::Idle => "idle ".to_owned(),
                Step::Barrier(epoch) => format!("barrier {epoch} "),
                Step::PortEnd(port) => format!("port {port} ends "),
                Step::End => "end ".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_least_watermark_counts() {
        let wm = |us| Message::Watermark(EventTime(us));
        assert_eq!(run(vec![0, 1], vec![(0, wm(5)), (1, wm(3)), (1, wm(9))]), "watermark 3 watermark 5 ");
    }

    #[test]
    fn an_idle_channel_leaves_the_minimum_and_comes_back() {
        let wm = |us| Message::Watermark(EventTime(us));
        let barriers = |epoch| [(0, Message::Barrier(Epoch(epoch))), (1, Message::Barrier(Epoch(epoch)))];
        let messages = [
            vec![(0, wm(5)), (1, Message::Idle)],
            barriers(1).to_vec(),
            vec![(0, Message::Idle)],
            barriers(2).to_vec(),
            vec![(1, wm(7))],
            barriers(3).to_vec(),
            vec![(0, wm(8)), (1, wm(9))],
        ];
        let steps = run(vec![0, 0], messages.concat());
        assert_eq!(steps, "watermark 5 barrier 1 idle barrier 2 watermark 7 barrier 3 watermark 8 ");
    }

    #[test]
    fn rows_on_their_way_from_an_idle_channel_are_waited_for() {
        let wm = |us| Message::Watermark(EventTime(us));
        let messages = vec![
            (1, Message::Idle),
            (0, wm(5)),
            (0, Message::Barrier(Epoch(1))),
            (1, wm(3)),
            (1, Message::Barrier(Epoch(1))),
        ];
        assert_eq!(run(vec![0, 0], messages), "watermark 3 barrier 1 ");
    }

    #[test]
    fn the_only_channel_need_not_wait() {
        let messages = vec![(0, Message::Watermark(EventTime(5))), (0, Message::Idle)];
        assert_eq!(run(vec![0], messages), "watermark 5 idle ");
    }

    #[test]
    fn a_channel_waits_after_its_barrier() {
        let steps = run(
            vec![0, 0],
            vec![
                (0, Message::Barrier(Epoch(1))),
                (0, Message::Watermark(EventTime(4))),
                (0, Message::End),
                (1, Message::Watermark(EventTime(2))),
                (1, Message::Barrier(Epoch(1))),
                (1, Message::Barrier(Epoch(2))),
            ],
        );
        assert_eq!(steps, "barrier 1 watermark 2 barrier 2 ");
    }

    #[test]
    fn all_ended_is_the_end() {
        assert_eq!(
            run(vec![0, 1], vec![(0, Message::End), (1, Message::End)]),
            format!("port 0 ends watermark {} end ", i64::MAX)
        );
    }

    #[test]
    fn a_port_ends_with_its_last_channel() {
        let messages = vec![(1, Message::End), (0, Message::End), (2, Message::Watermark(EventTime(3)))];
        assert_eq!(run(vec![0, 0, 1], messages), "port 0 ends watermark 3 ");
    }
}
