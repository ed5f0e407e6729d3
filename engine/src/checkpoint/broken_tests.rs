//! Broken runs, manifests and claims: whatever the disk gives back is read or refused, also where its checksum fits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use xxhash_rust::xxh3::xxh3_64;

use super::format_claim::Claim;
use super::format_manifest::{JobRecord, Manifest, NodeRecord, SplitRecord};
use super::format_run::decode;
use super::format_run_writer::encode;
use super::tests::sections;

#[path = "../../../tests/src/broken.rs"]
mod broken;

/// Bytes of the checksum of a run and the mark behind it.
const SUM_AND_MARK_BYTES: usize = 16;

/// A run with the checksum that fits its bytes.
fn sealed_run(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(end) = bytes.len().checked_sub(SUM_AND_MARK_BYTES) {
        let sum = xxh3_64(&bytes[..end]).to_le_bytes();
        bytes[end..end + sum.len()].copy_from_slice(&sum);
    }
    bytes
}

/// A text with the checksum that fits it behind it.
fn sealed_text(bytes: &[u8]) -> Vec<u8> {
    let text = bytes.trim_ascii_end();
    let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(text.len());
    let mut sealed = text[..end].to_vec();
    sealed.extend_from_slice(format!("\n{:016x}\n", xxh3_64(&text[..end])).as_bytes());
    sealed
}

#[test]
fn runs() {
    let mut bytes = Vec::new();
    encode(&sections(), &mut bytes).unwrap();
    let words: [&[u8]; 8] = [
        b"MSRUN001",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\"of\":",
        b"\"changes\"",
        b"\"whole\"",
        b"[[",
        b"\"parts\":[[0,9]],",
    ];
    broken::run("state-run", &[bytes], &words, |bytes| {
        let _ = decode("r", bytes);
        let _ = decode("r", &sealed_run(bytes));
    });
}

/// Whatever number of a run is beyond all memory: a process that asks for so much ends without a word.
#[test]
fn runs_whose_numbers_are_too_great() {
    let mut valid = Vec::new();
    encode(&sections(), &mut valid).unwrap();
    let great = (1_u64 << 59).to_le_bytes();
    for at in (8..valid.len() - SUM_AND_MARK_BYTES - great.len()).step_by(4) {
        let mut bytes = valid.clone();
        bytes[at..at + great.len()].copy_from_slice(&great);
        let _ = decode("r", &sealed_run(&bytes));
    }
    assert!(decode("r", &sealed_run(&valid)).is_ok());
}

#[test]
fn manifests_and_claims() {
    let mut manifest = Manifest::new(3, 17, 5, 2);
    let split = SplitRecord { id: "0".into(), offset: Some("4:2".into()), ended: false, watermark_us: -1, idle: true };
    let node = NodeRecord { operator: "source-1".into(), splits: vec![split], ..NodeRecord::default() };
    let (uid, name, plan) = ("u".into(), "n".into(), "h".into());
    manifest.jobs.push(JobRecord { uid, name, plan, inserted: 9, base_epoch: 4, nodes: vec![node] });
    let claim = Claim::new(["manifests/1".to_owned(), "manifests/2".to_owned()].into());
    let corpus = [manifest.encode().unwrap(), claim.encode().unwrap()];
    let words: [&[u8]; 7] = [b"{", b"[", b"\"jobs\":[", b"\"splits\":", b"null", b"-1", b"\n"];
    broken::run("state-manifest", &corpus, &words, |bytes| {
        for bytes in [bytes, &sealed_text(bytes)] {
            let _ = Manifest::decode("m", bytes);
            let _ = Claim::decode("c", bytes);
        }
    });
}
