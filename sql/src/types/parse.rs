//! Reads a type from tokens: Flink's names and PostgreSQL's, nested to any (bounded) depth.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryLength, CharacterLength, ExactNumberInfo, StructBracketKind, TimezoneInfo,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::words;

type Result<T, E = ParserError> = std::result::Result<T, E>;

/// How deeply types may be nested, `[]` included.
const DEPTH_MAX: usize = 64;

/// Reads a type.
///
/// # Errors
/// Where no type stands, or one that is nested too deeply. Unknown names are left to [`super::from_sqlparser`].
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<sp::DataType> {
    let mut types = Types { parser, half_closed: false };
    let made = types.data_type(0)?;
    if types.half_closed { types.parser.expected_ref("one > less", types.parser.get_current_token()) } else { Ok(made) }
}

/// A reader of types. `>>` is one token that closes two types: `half_closed` says that its first half is used.
struct Types<'p, 't> {
    parser: &'p mut Parser<'t>,
    half_closed: bool,
}

impl Types<'_, '_> {
    /// A type with the `[]` and `ARRAY` behind it.
    fn data_type(&mut self, depth: usize) -> Result<sp::DataType> {
        if depth > DEPTH_MAX {
            return Err(ParserError::RecursionLimitExceeded);
        }
        let mut made = self.base(depth)?;
        let mut wraps = depth;
        while !self.half_closed {
            if self.take(&Token::LBracket) {
                if let Token::Number(..) = words::peek(self.parser, 0) {
                    self.parser.advance_token();
                }
                self.parser.expect_token(&Token::RBracket)?;
            } else if !self.accept(&["ARRAY"]) && !self.accept(&["MULTISET"]) {
                break;
            }
            wraps += 1;
            if wraps > DEPTH_MAX {
                return Err(ParserError::RecursionLimitExceeded);
            }
            made = sp::DataType::Array(ArrayElemTypeDef::AngleBracket(Box::new(made)));
        }
        Ok(made)
    }

    /// A type inside another, with its `NOT NULL`, which is read and not kept: nested values may be null.
    fn nested(&mut self, depth: usize) -> Result<sp::DataType> {
        let made = self.data_type(depth + 1)?;
        if !self.half_closed && !self.accept(&["NOT", "NULL"]) {
            self.accept(&["NULL"]);
        }
        Ok(made)
    }

    fn base(&mut self, depth: usize) -> Result<sp::DataType> {
        let word = match words::peek(self.parser, 0) {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            Token::Word(_) => String::new(),
            _ => return words::unexpected(self.parser, "a type"),
        };
        let bracketed = matches!(words::peek(self.parser, 1), Token::Lt | Token::LParen);
        match word.as_str() {
            "ROW" | "STRUCT" if bracketed => self.row(depth),
            // A multiset is an array: elements in no order of their own.
            "ARRAY" | "MULTISET" if *words::peek(self.parser, 1) == Token::Lt => {
                self.parser.advance_token();
                self.open()?;
                let element = self.nested(depth)?;
                self.close()?;
                Ok(sp::DataType::Array(ArrayElemTypeDef::AngleBracket(Box::new(element))))
            }
            "MAP" if bracketed => self.map(depth),
            _ => match self.atom(&word)? {
                Some(made) => Ok(made),
                None => self.named(),
            },
        }
    }

    /// A type without types in it; `None` where the word is none of ours, and then nothing is taken.
    fn atom(&mut self, word: &str) -> Result<Option<sp::DataType>> {
        let plain = match word {
            "BOOLEAN" | "BOOL" => Some(sp::DataType::Boolean),
            "TINYINT" => Some(sp::DataType::TinyInt(None)),
            "SMALLINT" | "INT2" => Some(sp::DataType::SmallInt(None)),
            "INT" | "INTEGER" | "INT4" => Some(sp::DataType::Int(None)),
            "BIGINT" | "INT8" => Some(sp::DataType::BigInt(None)),
            "REAL" | "FLOAT4" => Some(sp::DataType::Real),
            "FLOAT8" => Some(sp::DataType::DoublePrecision),
            "STRING" | "TEXT" => Some(sp::DataType::Varchar(None)),
            "BYTES" | "BYTEA" => Some(sp::DataType::Bytea),
            "DATE" => Some(sp::DataType::Date),
            "JSON" => Some(sp::DataType::JSON),
            "JSONB" => Some(sp::DataType::JSONB),
            "UUID" => Some(sp::DataType::Uuid),
            _ => None,
        };
        if plain.is_some() {
            self.parser.advance_token();
            return Ok(plain);
        }
        let sized = ["FLOAT", "DOUBLE", "DECIMAL", "DEC", "NUMERIC", "CHAR", "CHARACTER", "VARCHAR", "BINARY"];
        let timed = ["VARBINARY", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMPTZ", "INTERVAL"];
        if !sized.contains(&word) && !timed.contains(&word) {
            return Ok(None);
        }
        self.parser.advance_token();
        if sized.contains(&word) { self.sized(word).map(Some) } else { self.timed(word).map(Some) }
    }

    fn sized(&mut self, word: &str) -> Result<sp::DataType> {
        let characters =
            |length: Option<u64>| length.map(|length| CharacterLength::IntegerLength { length, unit: None });
        Ok(match word {
            "FLOAT" => match self.precision()? {
                Some(bits) if bits > 24 => sp::DataType::DoublePrecision,
                _ => sp::DataType::Real,
            },
            "DOUBLE" => {
                self.accept(&["PRECISION"]);
                sp::DataType::DoublePrecision
            }
            "NUMERIC" => sp::DataType::Numeric(self.exact()?),
            "DECIMAL" | "DEC" => sp::DataType::Decimal(self.exact()?),
            "VARCHAR" => sp::DataType::Varchar(characters(self.precision()?)),
            "BINARY" => sp::DataType::Binary(self.precision()?),
            _ => {
                let varying = self.accept(&["VARYING"]);
                let length = characters(self.precision()?);
                if varying { sp::DataType::Varchar(length) } else { sp::DataType::Char(length) }
            }
        })
    }

    fn timed(&mut self, word: &str) -> Result<sp::DataType> {
        if word == "INTERVAL" {
            return self.interval();
        }
        let precision = self.precision()?;
        Ok(match word {
            "VARBINARY" => sp::DataType::Varbinary(precision.map(|length| BinaryLength::IntegerLength { length })),
            "TIME" => sp::DataType::Time(precision, self.zone()?),
            "TIMESTAMP" => sp::DataType::Timestamp(precision, self.zone()?),
            _ => sp::DataType::Timestamp(precision, TimezoneInfo::WithTimeZone),
        })
    }

    /// `WITHOUT TIME ZONE`, `WITH [LOCAL] TIME ZONE`
    fn zone(&mut self) -> Result<TimezoneInfo> {
        if self.accept(&["WITHOUT", "TIME", "ZONE"]) {
            Ok(TimezoneInfo::None)
        } else if self.accept(&["WITH", "TIME", "ZONE"]) || self.accept(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            Ok(TimezoneInfo::WithTimeZone)
        } else {
            Ok(TimezoneInfo::None)
        }
    }

    /// `INTERVAL [unit[(n)] [TO unit[(n)]]] [(n)]`: all are one type.
    fn interval(&mut self) -> Result<sp::DataType> {
        if self.unit() {
            self.precision()?;
            if self.accept(&["TO"]) && !self.unit() {
                return words::unexpected(self.parser, "a unit of time");
            }
        }
        self.precision()?;
        Ok(sp::DataType::Interval { fields: None, precision: None })
    }

    fn unit(&mut self) -> bool {
        ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"].iter().any(|unit| self.accept(&[unit]))
    }

    /// `ROW<name type ['comment'], …>` or `ROW(name type, …)`
    fn row(&mut self, depth: usize) -> Result<sp::DataType> {
        self.parser.advance_token();
        let round = self.take(&Token::LParen);
        if !round {
            self.open()?;
        }
        let mut fields = Vec::new();
        loop {
            let name = match words::peek(self.parser, 0) {
                Token::Word(_) => self.parser.parse_identifier()?,
                _ => return words::unexpected(self.parser, "the name of a field"),
            };
            let field_type = self.nested(depth)?;
            if !self.half_closed && matches!(words::peek(self.parser, 0), Token::SingleQuotedString(_)) {
                self.parser.advance_token();
            }
            fields.push(sp::StructField { field_name: Some(name), field_type, options: None });
            if self.half_closed || !self.take(&Token::Comma) {
                break;
            }
        }
        if round {
            if self.half_closed {
                return words::unexpected(self.parser, ")");
            }
            self.parser.expect_token(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok(sp::DataType::Struct(fields, StructBracketKind::AngleBrackets))
    }

    /// `MAP<key, value>`; `MAP(key, value)` is how `sqlparser` prints it.
    fn map(&mut self, depth: usize) -> Result<sp::DataType> {
        self.parser.advance_token();
        let round = self.take(&Token::LParen);
        if !round {
            self.open()?;
        }
        let key = self.nested(depth)?;
        if self.half_closed {
            return words::unexpected(self.parser, ",");
        }
        self.parser.expect_token(&Token::Comma)?;
        let value = self.nested(depth)?;
        match (round, self.half_closed) {
            (true, true) => return words::unexpected(self.parser, ")"),
            (true, false) => {
                self.parser.expect_token(&Token::RParen)?;
            }
            (false, _) => self.close()?,
        }
        Ok(sp::DataType::Map(Box::new(key), Box::new(value)))
    }

    /// A name that is none of ours, possibly qualified, for [`super::from_sqlparser`] to refuse or for the catalog.
    fn named(&mut self) -> Result<sp::DataType> {
        let name = self.parser.parse_object_name(false)?;
        let mut modifiers = Vec::new();
        if self.take(&Token::LParen) {
            loop {
                modifiers.push(self.parser.next_token().to_string());
                if !self.take(&Token::Comma) {
                    break;
                }
            }
            self.parser.expect_token(&Token::RParen)?;
        }
        Ok(sp::DataType::Custom(name, modifiers))
    }

    /// `(p)`, where it comes next.
    fn precision(&mut self) -> Result<Option<u64>> {
        if !self.take(&Token::LParen) {
            return Ok(None);
        }
        let precision = self.parser.parse_literal_uint()?;
        self.parser.expect_token(&Token::RParen)?;
        Ok(Some(precision))
    }

    /// `(p [, s])`, where it comes next.
    fn exact(&mut self) -> Result<ExactNumberInfo> {
        if !self.take(&Token::LParen) {
            return Ok(ExactNumberInfo::None);
        }
        let precision = self.parser.parse_literal_uint()?;
        let scale = if self.take(&Token::Comma) {
            let minus = self.take(&Token::Minus);
            let scale = i64::try_from(self.parser.parse_literal_uint()?).unwrap_or(i64::MAX);
            Some(if minus { -scale } else { scale })
        } else {
            None
        };
        self.parser.expect_token(&Token::RParen)?;
        Ok(match scale {
            Some(scale) => ExactNumberInfo::PrecisionAndScale(precision, scale),
            None => ExactNumberInfo::Precision(precision),
        })
    }

    fn open(&mut self) -> Result<()> {
        self.parser.expect_token(&Token::Lt).map(|_| ())
    }

    /// `>`, or half of `>>`.
    fn close(&mut self) -> Result<()> {
        if self.half_closed {
            self.half_closed = false;
        } else if self.take(&Token::ShiftRight) {
            self.half_closed = true;
        } else {
            self.parser.expect_token(&Token::Gt)?;
        }
        Ok(())
    }

    fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    fn accept(&mut self, expected: &[&str]) -> bool {
        words::accept(self.parser, expected)
    }
}
