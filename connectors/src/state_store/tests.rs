//! What every state store promises, held by the one in a directory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use super::*;

#[test]
fn a_directory_keeps_its_promises() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("state");
    let store = open(&format!("file://{}", root.display())).unwrap();
    assert_eq!(store.list("runs/").unwrap(), Vec::<String>::new());
    assert_eq!(store.get("runs/1/0").unwrap(), None);
    store.put("runs/1/0", b"one").unwrap();
    store.put("runs/1/0", b"two").unwrap();
    store.put("runs/0", b"").unwrap();
    assert_eq!(store.get("runs/1/0").unwrap().unwrap(), b"two");
    assert_eq!(store.list("runs/").unwrap(), ["runs/0", "runs/1/0"]);
    assert!(store.put_if_absent("generations/1", b"a").unwrap());
    assert!(!store.put_if_absent("generations/1", b"b").unwrap());
    assert_eq!(store.get("generations/1").unwrap().unwrap(), b"a");
    store.delete("runs/1/0").unwrap();
    store.delete("runs/1/0").unwrap();
    assert_eq!(store.list("runs/").unwrap(), ["runs/0"]);
    for bad in ["", "/etc/x", "../x", "runs/../../x"] {
        assert!(store.put(bad, b"").is_err(), "{bad}");
    }
}

#[test]
fn what_a_crash_left_is_deleted_and_never_listed() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path().to_str().unwrap()).unwrap();
    store.put("runs/0", b"").unwrap();
    let torn = home.path().join("runs/.17-3.tmp");
    fs::write(&torn, b"half").unwrap();
    assert_eq!(store.list("runs/").unwrap(), ["runs/0"]);
    open(home.path().to_str().unwrap()).unwrap();
    assert!(!torn.exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(file.join("below").to_str().unwrap()).unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
    assert!(open("ftp://host/x").unwrap_err().to_string().contains("ftp"));
}
