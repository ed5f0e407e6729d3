//! Wrong input over the wire: each statement gets an error with its SQLSTATE, or an answer, and the connection lives on.
//!
//! The messages are written by hand: no client library sends bytes that are no text.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use millstream_server::config::Config;
use millstream_server::pgwire::PgServer;
use millstream_server::session::Database;

/// Bytes of a statement that is long.
const LONG: usize = 10 << 20;
/// How deep statements are nested.
const DEEP: usize = 10_000;

/// A connection of the protocol's version 3.
struct Connection {
    stream: TcpStream,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        let body = b"\x00\x03\x00\x00user\x00test\x00database\x00millstream\x00\x00";
        stream.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut connection = Self { stream };
        connection.answer();
        connection
    }

    /// The SQLSTATE that a simple query is answered with, and behind `@` where its error points to, else its first value.
    fn query(&mut self, text: &[u8]) -> String {
        self.send(b'Q', &[text, b"\x00"].concat());
        self.answer()
    }

    fn send(&mut self, tag: u8, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        self.stream.write_all(&[&[tag], length.as_slice(), body].concat()).unwrap();
    }

    /// Reads up to the next `ReadyForQuery`.
    fn answer(&mut self) -> String {
        let mut found = String::new();
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).expect("the connection is dead");
            let length = u32::from_be_bytes(head[1..].try_into().unwrap());
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body).unwrap();
            match head[0] {
                b'Z' => return found,
                b'E' => {
                    let field = |tag: &[u8]| body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(tag));
                    found = String::from_utf8(field(b"C").unwrap().to_vec()).unwrap();
                    if let Some(position) = field(b"P") {
                        found.push('@');
                        found.push_str(std::str::from_utf8(position).unwrap());
                    }
                }
                b'D' if found.is_empty() => {
                    let value = body.get(6..).unwrap_or_default();
                    found = String::from_utf8_lossy(value.get(..20.min(value.len())).unwrap()).into_owned();
                }
                _ => (),
            }
        }
    }
}

fn repeated(before: &str, inner: &str, after: &str) -> String {
    format!("SELECT {}{inner}{}", before.repeat(DEEP), after.repeat(DEEP))
}

fn nested() -> Vec<(String, &'static str)> {
    let tables = format!("SELECT * FROM {}(VALUES (1)) AS t{}", "(SELECT * FROM ".repeat(DEEP), ") AS t".repeat(DEEP));
    let json = |open: &str, close: &str| format!("'{}1{}'", open.repeat(DEEP), close.repeat(DEEP));
    vec![
        (repeated("(", "1", ")"), "54001@10007"),
        (repeated("CASE WHEN TRUE THEN ", "1", " END"), "54001"),
        (repeated("ARRAY[", "1", "]"), "54001"),
        (repeated("ROW(", "1", ")"), "54001"),
        (repeated("(SELECT ", "1", ")"), "54001"),
        (repeated("ABS(", "1", ")"), "54001"),
        (repeated("NOT ", "TRUE", ""), "54001"),
        (repeated("1 + ", "1", ""), "54001@2010"),
        (tables, "54001"),
        (format!("SELECT CAST(NULL AS {}INT{})", "ARRAY<".repeat(DEEP), ">".repeat(DEEP)), "54001"),
        (format!("SELECT PARSE_JSON({})", json("[", "]")), "22000"),
        (format!("SELECT {} IS JSON", json("{\"a\":", "}")), "f"),
        (
            format!(
                "WITH {} SELECT 1",
                (0..DEEP).map(|n| format!("c{n} AS (SELECT 1)")).collect::<Vec<_>>().join(", ")
            ),
            "54001",
        ),
    ]
}

fn values() -> Vec<(&'static str, &'static str)> {
    vec![
        ("SELECT 1 / 0", "22012"),
        ("SELECT 1.5 / 0", "22012"),
        ("SELECT 1 % 0", "22012"),
        ("SELECT 9223372036854775807 + 1", "22003"),
        ("SELECT CAST(3000000000 AS INT)", "22003"),
        ("SELECT ABS(-9223372036854775807 - 1)", "22003"),
        ("SELECT (-9223372036854775807 - 1) / -1", "22003"),
        ("SELECT CAST('123456' AS DECIMAL(4, 2))", "22003"),
        ("SELECT CAST('abc' AS INT)", "22P02"),
        ("SELECT CAST('2020-13-01' AS DATE)", "22007"),
        ("SELECT TIMESTAMP '9999-12-31 00:00:00' + INTERVAL '100000000' YEAR", "22008"),
        ("SELECT REGEXP_EXTRACT('a', '(')", "2201B"),
        ("SELECT 'a' ~ '('", "2201B"),
        ("SELECT 'a' SIMILAR TO '('", "2201B"),
        ("SELECT JSON_VALUE('{}', 'lax $.[')", "42601"),
        ("SELECT JSON_QUERY('{}', 'nope')", "42601"),
        ("SELECT JSON_EXISTS('{}', '$[')", "42601"),
        ("SELECT LENGTH(REPEAT('x', 10000000000))", "54000"),
        ("SELECT LENGTH(REPEAT(s, 2000000000)) FROM (VALUES ('xxxxxxxx'), ('y')) AS t (s)", "54000"),
        ("SELECT LENGTH(LPAD('x', 2147483647, 'yy'))", "54000"),
        ("SELECT LENGTH(RPAD('x', 10000000000))", "54000"),
        ("SELECT LENGTH(REPLACE(REPEAT('x', 1000000), 'x', REPEAT('y', 100000)))", "54000"),
        ("SELECT CARDINALITY(ARRAY_REPEAT(1, 1000000000))", "54000"),
        ("SELECT CARDINALITY(ARRAY_REPEAT(ARRAY_REPEAT(ARRAY_REPEAT(1, 10000), 10000), 10000))", "54000"),
        ("SELECT CARDINALITY(GENERATE_SERIES(1, 100000000000))", "53200"),
        ("SELECT REPEAT('ab', 2), REPLACE('aaa', 'a', 'bb'), ARRAY_REPEAT(1, 3)", "abab"),
    ]
}

#[test]
fn wrong_input_is_an_error_and_the_connection_lives_on() {
    let runtime = super::runtime();
    let database = Database::start(Config { shards: 1, ..Config::standard() }).unwrap();
    let server = runtime.block_on(PgServer::bind((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let address = server.address().unwrap();
    let serving = runtime.spawn(server.serve(database.clone()));
    let mut connection = Connection::new(address);
    let mut wrong = Vec::new();
    let mut check = |connection: &mut Connection, text: &[u8], wanted: &str| {
        let found = connection.query(text);
        let alive = connection.query(b"SELECT 'alive'");
        if !found.starts_with(wanted) || alive != "alive" {
            wrong.push(format!("{}: {found}, not {wanted}", String::from_utf8_lossy(&text[..text.len().min(80)])));
        }
    };
    for (text, wanted) in nested() {
        check(&mut connection, text.as_bytes(), wanted);
    }
    for (text, wanted) in values() {
        check(&mut connection, text.as_bytes(), wanted);
    }
    check(&mut connection, format!("SELECT LENGTH('{}')", "x".repeat(LONG)).as_bytes(), "10485760");
    check(&mut connection, format!("SELECT 1{}", " + 1".repeat(LONG / 40)).as_bytes(), "54001");
    check(&mut connection, b"SELECT '\xff\xfe'", "22021@9");
    check(&mut connection, b"\xc3", "22021@1");
    check(&mut connection, b"SELECT 'a\x00b'", "22021@10");
    // In the extended protocol what follows is skipped up to the Sync.
    connection.send(b'P', b"\x00SELECT '\xff'\x00\x00\x00");
    connection.send(b'E', b"\x00\x00\x00\x00\x00");
    connection.send(b'S', b"");
    assert_eq!(connection.answer(), "22021@9");
    assert_eq!(connection.query(b"SELECT 'alive'"), "alive");
    serving.abort();
    database.shutdown();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
