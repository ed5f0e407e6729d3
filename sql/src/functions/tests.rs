//! Tests of the functions on small columns.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::format::Format;

#[test]
fn java_patterns_format_and_read() {
    let at = 1_436_918_401_234_567; // 2015-07-15 00:00:01.234567
    let show = |pattern: &str| Format::parse(pattern).unwrap().format(at).to_owned();
    assert_eq!(show("yyyy-MM-dd HH:mm:ss.SSS"), "2015-07-15 00:00:01.234");
    assert_eq!(show("HH:mm"), "00:00");
    assert_eq!(show("EEE d MMM yy, h a 'o''clock'"), "Wed 15 Jul 15, 12 AM o'clock");
    let read = Format::parse("yyyyMMdd HHmmss").unwrap().read("20150715 000001");
    assert_eq!(read, Some(1_436_918_401_000_000));
    assert_eq!(Format::parse("yyyy-MM-dd").unwrap().read("2015-13-01"), None);
    assert!(Format::parse("yyyy-bb").is_err());
}
