//! Types as text: what is written, Flink's name, the Arrow type, PostgreSQL's name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use expect_test::expect;

use super::{flink_name, postgres_name};

#[test]
fn every_name() {
    let written = [
        "boolean",
        "bool",
        "tinyint",
        "int2",
        "integer",
        "int8",
        "real",
        "float",
        "float(53)",
        "double",
        "double precision",
        "decimal",
        "decimal(5)",
        "dec(10, 2)",
        "numeric",
        "numeric(23,3)",
        "char",
        "char(3)",
        "varchar",
        "varchar(20)",
        "character varying(5)",
        "string",
        "text",
        "bytes",
        "binary(4)",
        "varbinary(9)",
        "bytea",
        "date",
        "time",
        "time(3)",
        "timestamp",
        "timestamp(0)",
        "timestamp(3)",
        "timestamp(9) without time zone",
        "timestamp(3) with local time zone",
        "timestamp_ltz(3)",
        "timestamptz",
        "interval",
        "interval day(3) to second(6)",
        "row<a int, `b c` row(d string)>",
        "array<int not null>",
        "int[][3]",
        "int array",
        "map<string, array<row<x int>>>",
        "json",
        "uuid",
    ];
    let mut shown = String::new();
    for text in written {
        let made = crate::parse::data_type(text).unwrap();
        shown += &format!("{text}: {} | {} | {}\n", made.text, made.arrow, postgres_name(&made.arrow));
        let again = crate::parse::data_type(&made.text).unwrap();
        assert_eq!(again, made, "{text}: its name reads back as itself");
        let canonical = crate::parse::data_type(&flink_name(&made.arrow)).unwrap();
        assert_eq!(canonical.arrow, made.arrow, "{text}: the name of its Arrow type reads back as that type");
    }
    expect![[r#"
        boolean: BOOLEAN | Boolean | boolean
        bool: BOOLEAN | Boolean | boolean
        tinyint: TINYINT | Int8 | smallint
        int2: SMALLINT | Int16 | smallint
        integer: INT | Int32 | integer
        int8: BIGINT | Int64 | bigint
        real: FLOAT | Float32 | real
        float: FLOAT | Float32 | real
        float(53): DOUBLE | Float64 | double precision
        double: DOUBLE | Float64 | double precision
        double precision: DOUBLE | Float64 | double precision
        decimal: DECIMAL(10, 0) | Decimal128(10, 0) | numeric(10,0)
        decimal(5): DECIMAL(5, 0) | Decimal128(5, 0) | numeric(5,0)
        dec(10, 2): DECIMAL(10, 2) | Decimal128(10, 2) | numeric(10,2)
        numeric: DECIMAL(38, 18) | Decimal128(38, 18) | numeric(38,18)
        numeric(23,3): DECIMAL(23, 3) | Decimal128(23, 3) | numeric(23,3)
        char: CHAR(1) | Utf8 | text
        char(3): CHAR(3) | Utf8 | text
        varchar: STRING | Utf8 | text
        varchar(20): VARCHAR(20) | Utf8 | text
        character varying(5): VARCHAR(5) | Utf8 | text
        string: STRING | Utf8 | text
        text: STRING | Utf8 | text
        bytes: BYTES | Binary | bytea
        binary(4): BINARY(4) | Binary | bytea
        varbinary(9): VARBINARY(9) | Binary | bytea
        bytea: BYTES | Binary | bytea
        date: DATE | Date32 | date
        time: TIME(6) | Time64(µs) | time without time zone
        time(3): TIME(3) | Time32(ms) | time(3) without time zone
        timestamp: TIMESTAMP(6) | Timestamp(µs) | timestamp without time zone
        timestamp(0): TIMESTAMP(0) | Timestamp(ms) | timestamp(3) without time zone
        timestamp(3): TIMESTAMP(3) | Timestamp(ms) | timestamp(3) without time zone
        timestamp(9) without time zone: TIMESTAMP(9) | Timestamp(ns) | timestamp(9) without time zone
        timestamp(3) with local time zone: TIMESTAMP_LTZ(3) | Timestamp(ms, "UTC") | timestamp(3) with time zone
        timestamp_ltz(3): TIMESTAMP_LTZ(3) | Timestamp(ms, "UTC") | timestamp(3) with time zone
        timestamptz: TIMESTAMP_LTZ(6) | Timestamp(µs, "UTC") | timestamp with time zone
        interval: INTERVAL | Interval(MonthDayNano) | interval
        interval day(3) to second(6): INTERVAL | Interval(MonthDayNano) | interval
        row<a int, `b c` row(d string)>: ROW<a INT, `b c` ROW<d STRING>> | Struct("a": Int32, "b c": Struct("d": Utf8)) | record
        array<int not null>: ARRAY<INT> | List(Int32) | integer[]
        int[][3]: ARRAY<ARRAY<INT>> | List(List(Int32)) | integer[][]
        int array: ARRAY<INT> | List(Int32) | integer[]
        map<string, array<row<x int>>>: MAP<STRING, ARRAY<ROW<x INT>>> | Map("entries": non-null Struct("key": non-null Utf8, "value": List(Struct("x": Int32))), unsorted) | map(text,record[])
        json: STRING | Utf8 | text
        uuid: STRING | Utf8 | text
    "#]].assert_eq(&shown);
}
