//! The promises of a store, kept by one in a bucket: against a server in the test that fails as real ones do, and against a
//! real one where `MILLSTREAM_TEST_STATE_URL` names it (`tests/object_stores/run.py --promises` does).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::bucket::{ATTEMPTS, elements, encoded};

/// What the server does to the next requests.
#[derive(Default)]
struct Trouble {
    /// So many are answered with an error of the server.
    busy: AtomicU32,
    /// So many are carried out, and the connection is closed without an answer.
    silent: AtomicU32,
}

impl Trouble {
    fn one(of: &AtomicU32) -> bool {
        of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    trouble: Trouble,
    requests: AtomicU32,
}

/// A server that knows one bucket, on a port of its own.
fn serve() -> (Arc<Bucket>, u16) {
    let bucket = Arc::new(Bucket::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(&bucket);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that goes away is no matter.
            let _ = answer(&shared, stream.unwrap());
        }
    });
    (bucket, port)
}

fn answer(bucket: &Bucket, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut length, mut absent) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(bytes) = header.strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
        absent |= header == "if-none-match: *";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    bucket.requests.fetch_add(1, Ordering::SeqCst);
    if Trouble::one(&bucket.trouble.busy) {
        return respond(stream, 503, b"<Error><Code>SlowDown</Code><Message>later</Message></Error>");
    }
    let (status, body) = carry_out(bucket, &method, &target, body, absent);
    if Trouble::one(&bucket.trouble.silent) {
        return Ok(());
    }
    respond(stream, status, &body)
}

fn carry_out(bucket: &Bucket, method: &str, target: &str, body: Vec<u8>, absent: bool) -> (u16, Vec<u8>) {
    let mut objects = bucket.objects.lock();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(key) = path.strip_prefix("/bucket/") else { return (404, b"<Code>NoSuchBucket</Code>".to_vec()) };
    match method {
        "PUT" if absent && objects.contains_key(key) => (412, b"<Code>PreconditionFailed</Code>".to_vec()),
        "PUT" => {
            objects.insert(key.to_owned(), body);
            (200, Vec::new())
        }
        "DELETE" => (if objects.remove(key).is_some() { 204 } else { 404 }, Vec::new()),
        "GET" if key.is_empty() => {
            let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
            let prefix = parameter("prefix=").unwrap_or_default().replace("%2F", "/");
            let from = parameter("continuation-token=").unwrap_or_default().replace("%2F", "/");
            let mut keys = objects.keys().filter(|key| key.starts_with(&prefix) && **key > from);
            // Two a page.
            let page: Vec<&String> = keys.by_ref().take(2).collect();
            let mut text: String = page.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
            if keys.next().is_some() {
                text += &format!("<NextContinuationToken>{}</NextContinuationToken>", page[1]);
            }
            (200, text.into_bytes())
        }
        _ => objects.get(key).map_or((404, b"<Code>NoSuchKey</Code>".to_vec()), |bytes| (200, bytes.clone())),
    }
}

fn respond(mut stream: TcpStream, status: u16, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

fn environment(name: &str) -> Option<String> {
    matches!(name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY").then(|| "test".to_owned())
}

fn store(port: u16) -> RemoteStore {
    let url = format!("s3://bucket/in/there?endpoint=http%3A%2F%2F127.0.0.1:{port}&timeout-ms=20000");
    impatient(RemoteStore::open(&StoreUrl::parse(&url).unwrap(), &environment).unwrap())
}

fn impatient(store: RemoteStore) -> RemoteStore {
    RemoteStore { bucket: store.bucket.impatient(), ..store }
}

fn promises(store: &dyn StateStore) {
    for path in store.list("").unwrap() {
        store.delete(&path).unwrap();
    }
    assert_eq!(store.list("runs/").unwrap(), Vec::<String>::new());
    assert_eq!(store.get("runs/1/0").unwrap(), None);
    store.put("runs/1/0", b"one").unwrap();
    store.put("runs/1/0", b"two").unwrap();
    store.put("runs/0", b"").unwrap();
    assert_eq!(store.get("runs/1/0").unwrap().unwrap(), b"two");
    assert_eq!(store.get("runs/0").unwrap().unwrap(), b"");
    assert_eq!(store.list("runs/").unwrap(), ["runs/0", "runs/1/0"]);
    assert!(store.put_if_absent("generations/1", b"a").unwrap());
    assert!(!store.put_if_absent("generations/1", b"b").unwrap());
    assert_eq!(store.get("generations/1").unwrap().unwrap(), b"a");
    for number in 0..7 {
        store.put(&format!("runs/many-{number}"), &vec![number; 100_000]).unwrap();
    }
    assert_eq!(store.list("runs/").unwrap().len(), 9);
    assert_eq!(store.get("runs/many-6").unwrap().unwrap(), vec![6; 100_000]);
    store.delete("runs/1/0").unwrap();
    store.delete("runs/1/0").unwrap();
    assert_eq!(store.list("runs/").unwrap().len(), 8);
    for bad in ["", "/etc/x", "../x", "runs/../../x"] {
        assert!(store.put(bad, b"").is_err(), "{bad}");
    }
}

#[test]
fn a_bucket_keeps_the_promises_of_a_store() {
    let (bucket, port) = serve();
    promises(&store(port));
    assert!(bucket.objects.lock().keys().all(|key| key.starts_with("in/there/")));
}

#[test]
fn a_service_outside_keeps_them() {
    let Ok(url) = std::env::var("MILLSTREAM_TEST_STATE_URL") else { return };
    promises(&*crate::state_store::open(&url).unwrap());
}

#[test]
fn requests_that_fail_in_passing_are_sent_again() {
    let (bucket, port) = serve();
    let store = store(port);
    for trouble in [&bucket.trouble.busy, &bucket.trouble.silent] {
        trouble.store(ATTEMPTS - 1, Ordering::SeqCst);
        store.put("runs/1", b"one").unwrap();
        trouble.store(ATTEMPTS - 1, Ordering::SeqCst);
        assert_eq!(store.get("runs/1").unwrap().unwrap(), b"one");
    }
    bucket.trouble.busy.store(ATTEMPTS, Ordering::SeqCst);
    let error = store.put("runs/1", b"two").unwrap_err().to_string();
    assert!(error.contains("s3://bucket/in/there/runs/1") && error.contains("SlowDown later"), "{error}");
    assert_eq!(store.get("runs/1").unwrap().unwrap(), b"one");
}

#[test]
fn a_conditional_write_whose_answer_is_lost_is_known_again() {
    let (bucket, port) = serve();
    let store = store(port);
    bucket.trouble.silent.store(1, Ordering::SeqCst);
    assert!(store.put_if_absent("manifests/1", b"mine").unwrap());
    bucket.trouble.silent.store(1, Ordering::SeqCst);
    assert!(!store.put_if_absent("manifests/1", b"another").unwrap());
    // Whose claim it is nobody can tell: it is nobody's, and the next one is tried.
    bucket.trouble.silent.store(1, Ordering::SeqCst);
    assert!(!store.put_if_absent("generations/1", b"").unwrap());
}

#[test]
fn what_is_wrong_is_said_with_the_place() {
    let (_, port) = serve();
    let open = |url: &str, env: &dyn Fn(&str) -> Option<String>| RemoteStore::open(&StoreUrl::parse(url)?, env);
    let text = |error: EngineError| format!("{error} {}", error.hint().unwrap_or_default());
    let url = format!("s3://other?endpoint=http://127.0.0.1:{port}");
    let error = text(open(&url, &environment).unwrap().get("runs/1").unwrap_err());
    assert!(error.contains("s3://other/runs/1") && error.contains("NoSuchBucket"), "{error}");
    let error = text(open("s3://bucket/x", &|_| None).unwrap_err());
    assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert!(text(open("az://box/x", &|_| None).unwrap_err()).contains("AZURE_STORAGE_ACCOUNT"));
    assert!(text(StoreUrl::parse("s3:///x").unwrap_err()).contains("no bucket"));
    assert!(text(StoreUrl::parse("s3://bucket?secret=x").unwrap_err()).contains("\"secret\""));
    let store = impatient(open("s3://bucket?endpoint=http://127.0.0.1:1&timeout-ms=2000", &environment).unwrap());
    let error = store.list("runs/").unwrap_err().to_string();
    assert!(error.contains("cannot list \"s3://bucket/\""), "{error}");
}

#[test]
fn names_with_any_letters_come_back_from_a_listing() {
    let texts = elements("<K>a&amp;b</K><K>&lt;&#x41;&#66;&quot;</K><K>&none; &</K>", "K");
    assert_eq!(texts, ["a&b", "<AB\"", "&none; &"]);
    assert_eq!(encoded("a b/ü+", b"/"), "a%20b/%C3%BC%2B");
}
