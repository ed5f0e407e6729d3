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

#[test]
fn a_full_or_read_only_directory_is_named_with_what_is_wrong() {
    use std::io;
    use std::path::Path;
    // The numbers of Linux for a full device, a quota that is used up, and a file system that is read-only.
    let told = [(28, "No space left on device"), (122, "quota"), (30, "Read-only file system")];
    for (number, text) in told {
        let error =
            directory::refuse("cannot write", Path::new("/state/runs/1"), &io::Error::from_raw_os_error(number));
        let error = error.to_string();
        assert!(error.contains("cannot write \"/state/runs/1\"") && error.contains(text), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_leaves_nothing_and_the_store_goes_on() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path().to_str().unwrap()).unwrap();
    store.put("runs/0", b"whole").unwrap();
    // A directory where an object should be: nobody may write there, not even root.
    fs::create_dir_all(home.path().join("runs/1/below")).unwrap();
    for write in [store.put("runs/1", b"x"), store.put_if_absent("runs/0/x", b"x").map(drop)] {
        assert!(write.unwrap_err().to_string().contains("runs"));
    }
    assert_eq!(store.list("runs/").unwrap(), ["runs/0"]);
    let runs = home.path().join("runs");
    fs::set_permissions(&runs, fs::Permissions::from_mode(0o555)).unwrap();
    match store.put("runs/2", b"x") {
        // Root may.
        Ok(()) => {}
        Err(error) => assert!(error.to_string().contains("runs/2") && error.to_string().contains("denied"), "{error}"),
    }
    fs::set_permissions(&runs, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(store.get("runs/0").unwrap().unwrap(), b"whole");
    store.put("runs/3", b"x").unwrap();
}

#[test]
fn an_object_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path().to_str().unwrap()).unwrap();
    fs::create_dir_all(home.path().join("runs/1")).unwrap();
    assert!(store.get("runs/1").unwrap_err().to_string().contains("runs/1"));
}
