//! [`Wire`]: the fields of a message as they stand in its bytes; and how a value of a scalar type stands there.
//!
//! Nothing here knows columns. Source: "Encoding" of the Protocol Buffers documentation.

use prost_reflect::Kind;

use crate::formats::fault::Fault;

/// Groups within groups that are passed over at the most.
const GROUPS_MAX: usize = 64;

/// A number of variable length.
pub(super) const VARINT: u8 = 0;
/// Eight bytes.
pub(super) const FIXED64: u8 = 1;
/// A length and so many bytes.
pub(super) const DELIMITED: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
/// Four bytes.
pub(super) const FIXED32: u8 = 5;

/// The value of a field before its type is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw {
    /// A varint, or four or eight bytes.
    Number(u64),
    /// Bytes of the message: from, to.
    Bytes(usize, usize),
    /// A group, which is passed over.
    Group,
}

/// A part of a message, read from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<'m> {
    bytes: &'m [u8],
    /// Bytes behind us.
    pub(super) at: usize,
}

impl<'m> Wire<'m> {
    /// The bytes `from` to `to` of a message; places are counted in the message.
    pub(super) fn new(message: &'m [u8], from: usize, to: usize) -> Self {
        Self { bytes: message.get(..to).unwrap_or(message), at: from }
    }

    /// Whether all is read.
    #[inline]
    pub(super) fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The number and the wire type of the next field.
    ///
    /// # Errors
    /// Where there is none.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, u8), Box<Fault>> {
        let at = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| Fault::syntax(at, "invalid Protobuf: no field has such a number"))?;
        Ok((number, (tag & 7).to_le_bytes()[0]))
    }

    /// The value of a field.
    ///
    /// # Errors
    /// Where the message ends, or the wire type is none.
    #[inline]
    pub(super) fn raw(&mut self, number: u32, wire: u8) -> Result<Raw, Box<Fault>> {
        match wire {
            VARINT => Ok(Raw::Number(self.varint()?)),
            FIXED64 => Ok(Raw::Number(u64::from_le_bytes(self.array()?))),
            FIXED32 => Ok(Raw::Number(u64::from(u32::from_le_bytes(self.array()?)))),
            DELIMITED => {
                let at = self.at;
                let len = usize::try_from(self.varint()?).ok();
                let start = self.at;
                let end = len.and_then(|len| start.checked_add(len)).filter(|end| *end <= self.bytes.len());
                self.at = end.ok_or_else(|| Fault::syntax(at, "invalid Protobuf: the message ends too early"))?;
                Ok(Raw::Bytes(start, self.at))
            }
            GROUP_START => self.skip_group(number).map(|()| Raw::Group),
            _ => Err(Fault::syntax(self.at, "invalid Protobuf: there is no such wire type")),
        }
    }

    fn skip_group(&mut self, number: u32) -> Result<(), Box<Fault>> {
        let mut open = vec![number];
        while let Some(&inner) = open.last() {
            let at = self.at;
            match self.tag()? {
                (number, GROUP_END) if number == inner => {
                    open.pop();
                }
                (number, GROUP_START) if open.len() < GROUPS_MAX => open.push(number),
                (_, GROUP_START | GROUP_END) => {
                    return Err(Fault::syntax(at, "invalid Protobuf: groups that do not close"));
                }
                (number, wire) => {
                    self.raw(number, wire)?;
                }
            }
        }
        Ok(())
    }

    /// A number of variable length.
    ///
    /// # Errors
    /// Where it has more than 64 bits, or the message ends.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Box<Fault>> {
        let mut value: u64 = 0;
        for (index, &byte) in self.bytes.get(self.at..).unwrap_or_default().iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (index * 7);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(Fault::syntax(self.at, "invalid Protobuf: a number does not end"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Box<Fault>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk::<N>();
        let taken = *taken.ok_or_else(|| Fault::syntax(self.at, "invalid Protobuf: the message ends too early"))?;
        self.at += N;
        Ok(taken)
    }
}

/// The value of a scalar field. `B`: how bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Datum<B> {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Bytes(B),
}

/// A scalar type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    /// The scalar type of a kind; `None` for messages and enums.
    pub(super) fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Int32 => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::Uint32 => Self::Uint32,
            Kind::Uint64 => Self::Uint64,
            Kind::Sint32 => Self::Sint32,
            Kind::Sint64 => Self::Sint64,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Sfixed32 => Self::Sfixed32,
            Kind::Sfixed64 => Self::Sfixed64,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::Bool => Self::Bool,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Message(_) | Kind::Enum(_) => return None,
        })
    }

    /// Its wire type.
    pub(super) fn wire(self) -> u8 {
        match self {
            Self::Int32 | Self::Int64 | Self::Uint32 | Self::Uint64 | Self::Sint32 | Self::Sint64 | Self::Bool => {
                VARINT
            }
            Self::Fixed32 | Self::Sfixed32 | Self::Float => FIXED32,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => FIXED64,
            Self::String | Self::Bytes => DELIMITED,
        }
    }

    /// What a value of a message is.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "readers drop the high bits of 32-bit numbers")]
    pub(super) fn datum(self, raw: Raw, message: &[u8]) -> Datum<&[u8]> {
        let number = match raw {
            Raw::Number(number) => number,
            Raw::Bytes(from, to) => return Datum::Bytes(message.get(from..to).unwrap_or_default()),
            Raw::Group => 0,
        };
        let low = number as u32;
        match self {
            Self::Int32 | Self::Sfixed32 => Datum::Integer(i64::from(low.cast_signed())),
            Self::Int64 | Self::Sfixed64 => Datum::Integer(number.cast_signed()),
            Self::Uint32 | Self::Fixed32 => Datum::Integer(i64::from(low)),
            Self::Uint64 | Self::Fixed64 => Datum::Unsigned(number),
            Self::Sint32 => Datum::Integer(i64::from((low >> 1).cast_signed() ^ -(low & 1).cast_signed())),
            Self::Sint64 => Datum::Integer((number >> 1).cast_signed() ^ -(number & 1).cast_signed()),
            Self::Float => Datum::Float(f64::from(f32::from_bits(low))),
            Self::Double => Datum::Float(f64::from_bits(number)),
            Self::Bool => Datum::Boolean(number != 0),
            Self::String | Self::Bytes => Datum::Bytes(&[]),
        }
    }

    /// Appends a value. `None`, and nothing appended, where it does not fit.
    #[expect(clippy::cast_possible_truncation, reason = "a float field is declared to be less precise")]
    pub(super) fn write(self, datum: &Datum<&[u8]>, into: &mut Vec<u8>) -> Option<()> {
        let signed = match datum {
            Datum::Integer(value) => Some(*value),
            Datum::Unsigned(value) => i64::try_from(*value).ok(),
            Datum::Float(_) | Datum::Boolean(_) | Datum::Bytes(_) => None,
        };
        let unsigned = match datum {
            Datum::Integer(value) => u64::try_from(*value).ok(),
            Datum::Unsigned(value) => Some(*value),
            Datum::Float(_) | Datum::Boolean(_) | Datum::Bytes(_) => None,
        };
        let small = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
        match self {
            Self::Int32 => varint(i64::from(small(signed)?).cast_unsigned(), into),
            Self::Int64 => varint(signed?.cast_unsigned(), into),
            Self::Uint32 => varint(u64::from(u32::try_from(unsigned?).ok()?), into),
            Self::Uint64 => varint(unsigned?, into),
            Self::Sint32 => {
                let value = i64::from(small(signed)?);
                varint(((value << 1) ^ (value >> 63)).cast_unsigned(), into);
            }
            Self::Sint64 => {
                let value = signed?;
                varint(((value << 1) ^ (value >> 63)).cast_unsigned(), into);
            }
            Self::Fixed32 => into.extend_from_slice(&u32::try_from(unsigned?).ok()?.to_le_bytes()),
            Self::Fixed64 => into.extend_from_slice(&unsigned?.to_le_bytes()),
            Self::Sfixed32 => into.extend_from_slice(&small(signed)?.to_le_bytes()),
            Self::Sfixed64 => into.extend_from_slice(&signed?.to_le_bytes()),
            Self::Float | Self::Double => {
                let Datum::Float(value) = datum else { return None };
                match self {
                    Self::Float => into.extend_from_slice(&(*value as f32).to_le_bytes()),
                    _ => into.extend_from_slice(&value.to_le_bytes()),
                }
            }
            Self::Bool => {
                let Datum::Boolean(value) = datum else { return None };
                into.push(u8::from(*value));
            }
            Self::String | Self::Bytes => {
                let Datum::Bytes(value) = datum else { return None };
                varint(value.len() as u64, into);
                into.extend_from_slice(value);
            }
        }
        Some(())
    }
}

/// Appends a number of variable length.
pub(super) fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value > 0x7f {
        into.push((value & 0x7f).to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

/// Appends the number and wire type of a field.
pub(super) fn tag(number: u32, wire: u8, into: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(wire), into);
}

/// Appends what `inner` appends, with its length before it.
pub(super) fn delimited<E>(into: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let start = into.len();
    // Most lengths take one byte.
    into.push(0);
    inner(into)?;
    let len = into.len() - start - 1;
    let mut head = Vec::new();
    varint(len as u64, &mut head);
    match (head.as_slice(), into.get_mut(start)) {
        (&[byte], Some(place)) => *place = byte,
        _ => {
            into.splice(start..=start, head);
        }
    }
    Ok(())
}
