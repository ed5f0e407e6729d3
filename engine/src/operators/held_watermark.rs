//! [`HeldWatermark`]: the watermark of an operator whose rows wait for the barrier.

use super::Context;
use crate::time::EventTime;

/// Rows that were in time when they came in go out at the barrier; the watermarks that came since are passed on behind
/// them, so that they are not late for who reads them.
#[derive(Debug, Default)]
pub(crate) struct HeldWatermark(Option<EventTime>);

impl HeldWatermark {
    /// Keeps a watermark until the rows before it are out.
    pub(crate) fn hold(&mut self, watermark: EventTime) {
        self.0 = Some(watermark);
    }

    /// Passes the last watermark on. The rows before it have been emitted.
    pub(crate) fn release(&mut self, context: &mut Context<'_>) {
        if let Some(watermark) = self.0.take() {
            context.emit_watermark(watermark);
        }
    }
}
