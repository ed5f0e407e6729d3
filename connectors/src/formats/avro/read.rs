//! [`Bytes`]: the primitive values of Avro's binary encoding, read one after the other.

use crate::formats::fault::Fault;

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    /// Bytes behind us.
    pub(super) at: usize,
}

impl<'a> Bytes<'a> {
    /// At the start of a message.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Where there are not so many.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Box<Fault>> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| Fault::syntax(self.at, "invalid Avro: the message ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    /// A zigzag varint.
    ///
    /// # Errors
    /// Where it is longer than 64 bits.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Box<Fault>> {
        let mut value: u64 = 0;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first().unwrap_or(&0);
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                #[expect(clippy::cast_possible_wrap, reason = "zigzag: the lowest bit is the sign")]
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Fault::syntax(self.at, "invalid Avro: a number is longer than 64 bits"))
    }

    /// A length, and so many bytes.
    ///
    /// # Errors
    /// Where there are not so many.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Box<Fault>> {
        let len = self.length()?;
        self.take(len)
    }

    fn length(&mut self) -> Result<usize, Box<Fault>> {
        let at = self.at;
        usize::try_from(self.long()?).map_err(|_| Fault::syntax(at, "invalid Avro: a length is negative"))
    }

    /// The number of items of the next block of an array or map; 0 ends it.
    ///
    /// # Errors
    /// Where the message ends.
    pub(super) fn block(&mut self) -> Result<u64, Box<Fault>> {
        let count = self.long()?;
        if count < 0 {
            // A negative count is followed by the bytes of the block.
            self.length()?;
        }
        Ok(count.unsigned_abs())
    }

    /// A float.
    ///
    /// # Errors
    /// Where the message ends.
    pub(super) fn float(&mut self) -> Result<f32, Box<Fault>> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// A double.
    ///
    /// # Errors
    /// Where the message ends.
    pub(super) fn double(&mut self) -> Result<f64, Box<Fault>> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Where there are not so many.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Box<Fault>> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| Fault::syntax(at, "invalid Avro: the message ends too early"))
    }

    /// Bytes left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }
}

/// A number in big-endian two's complement; `None` where it does not fit.
pub(super) fn unscaled(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let skip = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at_checked(skip)?;
    if head.iter().any(|byte| *byte != fill) {
        return None;
    }
    let mut whole = [fill; 16];
    whole.get_mut(16 - tail.len()..)?.copy_from_slice(tail);
    let value = i128::from_be_bytes(whole);
    ((value < 0) == negative).then_some(value)
}
