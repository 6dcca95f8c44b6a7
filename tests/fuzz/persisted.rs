//! Files that we wrote and somebody changed: manifests, audit files, lists of keys. Checksums are made to fit
//! again, so that what lies behind them is reached.

use std::io::Write;

use proto::audit;
use proto::manifest::{self, Entry, Existing};
use proto::v1::AuditRecord;
use proto::{JobName, ObjectKey};

use tests::discreet::must_be_harmless;

use crate::{Bound, SMALL, fuzz};

/// An entry takes its keys and texts, and a fixed part that is larger than its shortest form.
const ENTRIES: Bound = Bound { base: 48 << 20, each: 4_000 };

fn entries() -> Vec<Entry> {
    let names: [&[u8]; 5] =
        [b"a", b"photos/2026/1.jpg", b"photos/2026/2.jpg", b"\xff\xfe", "Grüße/中".as_bytes()];
    let each = names.iter().enumerate().map(|(at, name)| Entry {
        size_unknown: at % 3 == 1,
        origin: (at % 3 > 0).then(|| format!("http://h{}/", at % 2).into()),
        key: ObjectKey::new(name.to_vec()),
        size: 7 << (at * 12),
        modified_ms: (at != 1).then_some(1_790_000_000_000 - at as i64 * 77_777),
        etag: [None, Some("d41d8cd98f00b204e9800998ecf8427e"), Some("D41D8CD98F00B204E9800998ECF8427E-3")]
            [at % 3]
            .map(str::to_owned),
        class: (at == 2).then(|| "GLACIER".to_owned()),
        existing: [
            Existing::Unknown,
            Existing::Absent,
            Existing::Present { size: 3, modified_ms: Some(-1), etag: Some("x".into()) },
        ][at % 3]
            .clone(),
        to: (at == 3).then(|| ObjectKey::new("photos/x")),
        refused: (at == 4).then(|| "it is also that of another".to_owned()),
    });
    each.collect()
}

/// What lies between the head and the trailer.
fn plain(file: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(&file[5..file.len() - 16]).unwrap()
}

/// A frame of a few kilobytes that unpacks to 2 GiB.
fn bomb() -> Vec<u8> {
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..2048 {
        packer.write_all(&[0; 1 << 20]).unwrap();
    }
    packer.finish().unwrap()
}

fn manifest_file(body: &[u8], count: u64) -> Vec<u8> {
    let mut file = b"BRGM\x01".to_vec();
    file.extend(body);
    file.extend(count.to_le_bytes());
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &file);
    file.extend(sum.to_le_bytes());
    file
}

fn same_manifest(file: &[u8]) {
    if let Ok(entries) = manifest::decode(file) {
        assert_eq!(manifest::decode(&manifest::encode(&entries)).as_ref(), Ok(&entries));
    }
}

#[test]
fn manifests() {
    let valid = [manifest::encode(&[]), manifest::encode(&entries())];
    fuzz("manifests", 2_000, SMALL, &valid, &["BRGM"], same_manifest);
}

#[test]
fn what_is_in_a_manifest() {
    let valid = [plain(&manifest::encode(&entries()))];
    fuzz("what_is_in_a_manifest", 4_000, ENTRIES, &valid, &[], |body| {
        let packed = zstd::bulk::compress(body, 1).unwrap();
        for count in [entries().len() as u64, u64::MAX] {
            same_manifest(&manifest_file(&packed, count));
        }
    });
}

#[test]
fn a_manifest_that_unpacks_to_more_than_any_task() {
    let (_alone, bomb) = (crate::alone(), bomb());
    crate::MEMORY.reset_peak_usage();
    let before = crate::MEMORY.current_usage();
    assert!(manifest::decode(&manifest_file(&bomb, 1)).is_err());
    // A key of 64 KiB, and a million entries that repeat it in five bytes each.
    let mut entries = vec![0, 0x80, 0x80, 4];
    entries.extend(vec![b'k'; 1 << 16]);
    entries.extend([0, 0]);
    for _ in 0..1_000_000 {
        entries.extend([0x80, 0x80, 4, 0, 0, 0]);
    }
    let packed = zstd::bulk::compress(&entries, 1).unwrap();
    assert!(manifest::decode(&manifest_file(&packed, 1_000_001)).is_err());
    let peak = crate::MEMORY.peak_usage() - before;
    assert!(peak < 1 << 30, "{peak} bytes");
}

fn records() -> Vec<AuditRecord> {
    let record = |index| AuditRecord {
        index,
        key: format!("k{index}").into(),
        size: 77,
        outcome: (index as i32) % 4,
        proof: "crc64nvme".into(),
        text: "what the service said".into(),
        finished_at: 1_790_000_000_000,
        ..AuditRecord::default()
    };
    (0..6).map(record).collect()
}

fn same_audit(file: &[u8]) {
    let Ok(read) = audit::decode(file) else { return };
    assert!(read.whole <= file.len());
    let mut again = audit::HEADER.to_vec();
    again.extend(audit::encode_frame(&read.records));
    assert_eq!(audit::decode(&again).unwrap().records, read.records);
}

fn frame(body: &[u8]) -> Vec<u8> {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body) as u32;
    [&(body.len() as u32).to_le_bytes()[..], &sum.to_le_bytes(), body].concat()
}

#[test]
fn audit_files() {
    let one = [&audit::HEADER[..], &audit::encode_frame(&records())].concat();
    let two = [&one[..], &audit::encode_frame(&records()[2..3])].concat();
    fuzz("audit_files", 2_000, SMALL, &[audit::HEADER.to_vec(), one, two], &["BRGA"], same_audit);
}

#[test]
fn what_is_in_an_audit_file() {
    let valid = [zstd::stream::decode_all(&audit::encode_frame(&records())[8..]).unwrap()];
    fuzz("what_is_in_an_audit_file", 4_000, ENTRIES, &valid, &[], |body| {
        let packed = zstd::bulk::compress(body, 1).unwrap();
        same_audit(&[&audit::HEADER[..], &frame(&packed)].concat());
    });
}

#[test]
fn an_audit_frame_that_unpacks_to_more_than_any_batch() {
    let (_alone, bomb) = (crate::alone(), bomb());
    crate::MEMORY.reset_peak_usage();
    let before = crate::MEMORY.current_usage();
    let file = [&audit::HEADER[..], &frame(&bomb), &audit::encode_frame(&records())].concat();
    assert!(audit::decode(&file).is_err());
    let peak = crate::MEMORY.peak_usage() - before;
    assert!(peak < 256 << 20, "{peak} bytes");
}

#[test]
fn keys_as_lines() {
    let valid: Vec<Vec<u8>> =
        ["a//b", " a ", "a%2Fb", "x\ny\r\u{1b}[31m", "中文 é 😀", "..", "\u{feff}bom", "%+5"]
            .iter()
            .map(|key| key.as_bytes().to_vec())
            .collect();
    fuzz("keys_as_lines", 20_000, SMALL, &valid, &["\u{200b}", "%4", "%zz", "%+1"], |bytes| {
        let key = ObjectKey::new(bytes.to_vec());
        let line = key.to_line();
        must_be_harmless("a line", &line, &[]);
        assert!(!line.starts_with('\u{feff}'), "a reader would take it for the mark of a file's encoding");
        assert_eq!(ObjectKey::from_line(&line), key);
        // Lines that others wrote: everything but `%` and two digits stands for itself.
        let text = String::from_utf8_lossy(bytes);
        let read = ObjectKey::from_line(&text);
        if !text.contains('%') {
            assert_eq!(read.as_bytes(), text.as_bytes());
        }
        assert_eq!(ObjectKey::from_line(&read.to_line()), read);
    });
}

#[test]
fn names_of_jobs() {
    let valid = [b"local_test".to_vec(), b"a-b_C9".to_vec()];
    fuzz("names_of_jobs", 2_000, SMALL, &valid, &["..", "/"], |bytes| {
        let Ok(name) = String::from_utf8_lossy(bytes).parse::<JobName>() else { return };
        let safe = name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        assert!(safe && (4..=128).contains(&name.as_str().len()), "{name}");
    });
}
