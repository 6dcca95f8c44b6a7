//! The manifest of a task: its object list, one immutable file.
//!
//! Form: `BRGM`, the version byte, then a zstd frame with the entries, then a trailer of 16
//! bytes: the number of entries and the CRC-64/XZ of everything before it (both little-endian). Keys share
//! the prefix of the key before them, an ETag of 32 hex digits takes 16 bytes. `docs/formats.md` has the
//! layout of an entry. A file that is cut or changed anywhere does not decode. Version 2 has entries of another
//! destination key, refused ones, and such of unknown size or of an origin; a file without any is written as version 1.

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};

use crate::id::ObjectKey;
use crate::unpack::unpack;

const MAGIC: &[u8; 4] = b"BRGM";
const VERSION: u8 = 1;
/// With entries that say more than those of version 1 can.
const VERSION_MAPPED: u8 = 2;
const TRAILER: usize = 16;
/// A task has 50,000 objects at most.
const MOST_ENTRIES: u64 = 1 << 16;
/// Bytes of all entries, and of all keys without their sharing: far above 50,000 keys of the longest length.
const MOST_PLAIN: usize = 256 << 20;

const HAS_TIME: u8 = 1;
const HEX_ETAG: u8 = 2;
const TEXT_ETAG: u8 = 4;
const UPPER_ETAG: u8 = 8;
const HAS_CLASS: u8 = 16;
const ABSENT: u8 = 32;
const PRESENT: u8 = 64;
/// Another byte of flags follows; version 2.
const MAPPED: u8 = 128;
const HAS_TO: u8 = 1;
const HAS_REFUSAL: u8 = 2;
const SIZE_UNKNOWN: u8 = 4;
const HAS_ORIGIN: u8 = 8;
const SAME_ORIGIN: u8 = 16;

/// One object to move, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The key below the source's prefix.
    pub key: ObjectKey,
    /// Bytes.
    pub size: u64,
    /// Last modified, Unix milliseconds.
    pub modified_ms: Option<i64>,
    /// Without quotes, in the letter case of the service.
    pub etag: Option<String>,
    /// The storage class or object type where it is not the plain one ("GLACIER", "Symlink").
    pub class: Option<String>,
    /// What the destination's listing said.
    pub existing: Existing,
    /// The key below the destination's prefix, where the job's rules make it another than `key`.
    pub to: Option<ObjectKey>,
    /// Why it must not be written, for its record; such an object fails as an invalid name.
    pub refused: Option<String>,
    /// Size, time and ETag are learnt when it is read; until then they are 0 and none.
    pub size_unknown: bool,
    /// Where the key stands, when objects of one source come from several places: the URL before it.
    pub origin: Option<Arc<str>>,
}

impl Entry {
    /// The key below the destination's prefix.
    pub fn target(&self) -> &ObjectKey {
        self.to.as_ref().unwrap_or(&self.key)
    }

    /// Says more than version 1 can.
    fn is_mapped(&self) -> bool {
        self.to.is_some() || self.refused.is_some() || self.size_unknown || self.origin.is_some()
    }
}

/// The class of an object that a key list names and the source did not have when the list was read.
pub const CLASS_MISSING: &str = "missing";

/// The class of an object that a key list names and that could not be looked at when the list was read: of its size
/// nothing is known, and the worker looks again.
pub const CLASS_UNSEEN: &str = "unseen";

/// What is known of the destination's object of the same key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Existing {
    /// Nobody looked.
    #[default]
    Unknown,
    /// The destination's listing does not have it.
    Absent,
    /// The destination's listing has it.
    Present {
        /// Bytes.
        size: u64,
        /// Last modified, Unix milliseconds.
        modified_ms: Option<i64>,
        /// Without quotes.
        etag: Option<String>,
    },
}

/// A manifest that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, or of a version that this program does not know.
    #[error("not a manifest of a version up to {VERSION_MAPPED}")]
    Unknown,
    /// Cut, or changed.
    #[error("damaged: {0}")]
    Damaged(&'static str),
}

/// The file's bytes.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(entries.len() * 64);
    let nothing = Entry::default();
    let mut before = &nothing;
    let mut time = 0;
    for entry in entries {
        write_entry(&mut plain, before, &mut time, entry);
        before = entry;
    }
    let mut file = Vec::with_capacity(plain.len() / 2 + 64);
    file.extend_from_slice(MAGIC);
    file.push(if entries.iter().any(Entry::is_mapped) { VERSION_MAPPED } else { VERSION });
    // Compressing from memory into memory has no way to fail.
    file.extend(zstd::bulk::compress(&plain, 3).unwrap_or_default());
    file.extend((entries.len() as u64).to_le_bytes());
    let sum = checksum(CrcAlgorithm::Crc64Xz, &file);
    file.extend(sum.to_le_bytes());
    file
}

/// The entries of a file that is whole.
pub fn decode(file: &[u8]) -> Result<Vec<Entry>, ManifestError> {
    let head = MAGIC.len() + 1;
    let known = |version| matches!(version, VERSION | VERSION_MAPPED);
    if file.len() < head || &file[..4] != MAGIC || !known(file[4]) {
        return Err(ManifestError::Unknown);
    }
    if file.len() < head + TRAILER {
        return Err(ManifestError::Damaged("shorter than its frame"));
    }
    let (summed, sum) = file.split_at(file.len() - 8);
    if checksum(CrcAlgorithm::Crc64Xz, summed).to_le_bytes() != *sum {
        return Err(ManifestError::Damaged("its checksum differs"));
    }
    let (body, count) = summed.split_at(summed.len() - 8);
    let count = count.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    if count > MOST_ENTRIES {
        return Err(ManifestError::Damaged("more entries than a task has"));
    }
    let plain =
        unpack(&body[head..], MOST_PLAIN).ok_or(ManifestError::Damaged("not zstd, or too much of it"))?;
    let mut input = Input(&plain);
    let mut entries: Vec<Entry> = Vec::new();
    let (mut time, mut keys) = (0, 0);
    while !input.0.is_empty() {
        let entry =
            read_entry(&mut input, entries.last(), &mut time).ok_or(ManifestError::Damaged("a cut entry"))?;
        keys += entry.key.as_bytes().len();
        if entries.len() as u64 == count || keys > MOST_PLAIN {
            return Err(ManifestError::Damaged("a wrong count, or keys without end"));
        }
        entries.push(entry);
    }
    if entries.len() as u64 == count { Ok(entries) } else { Err(ManifestError::Damaged("a wrong count")) }
}

fn write_entry(out: &mut Vec<u8>, before: &Entry, time: &mut i64, entry: &Entry) {
    let key = entry.key.as_bytes();
    let shared = key.iter().zip(before.key.as_bytes()).take_while(|(a, b)| a == b).count();
    write_number(out, shared as u64);
    write_bytes(out, &key[shared..]);
    write_number(out, entry.size);
    let etag = entry.etag.as_deref().map(Etag::of);
    let mut flags = etag.as_ref().map_or(0, Etag::flags);
    flags |= if entry.modified_ms.is_some() { HAS_TIME } else { 0 };
    flags |= if entry.class.is_some() { HAS_CLASS } else { 0 };
    flags |= if entry.is_mapped() { MAPPED } else { 0 };
    flags |= match entry.existing {
        Existing::Unknown => 0,
        Existing::Absent => ABSENT,
        Existing::Present { .. } => PRESENT,
    };
    out.push(flags);
    if let Some(modified) = entry.modified_ms {
        write_signed(out, modified.wrapping_sub(*time));
        *time = modified;
    }
    if let Some(etag) = etag {
        etag.write(out);
    }
    if let Some(class) = &entry.class {
        write_bytes(out, class.as_bytes());
    }
    if let Existing::Present { size, modified_ms, etag } = &entry.existing {
        write_number(out, *size);
        let etag = etag.as_deref().map(Etag::of);
        out.push(etag.as_ref().map_or(0, Etag::flags) | if modified_ms.is_some() { HAS_TIME } else { 0 });
        if let Some(modified) = modified_ms {
            write_signed(out, *modified);
        }
        if let Some(etag) = etag {
            etag.write(out);
        }
    }
    if entry.is_mapped() {
        write_more(out, before, entry);
    }
}

/// What only version 2 has.
fn write_more(out: &mut Vec<u8>, before: &Entry, entry: &Entry) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let same = entry.origin.is_some() && entry.origin == before.origin;
    out.push(
        flag(entry.to.is_some(), HAS_TO)
            | flag(entry.refused.is_some(), HAS_REFUSAL)
            | flag(entry.size_unknown, SIZE_UNKNOWN)
            | flag(same, SAME_ORIGIN)
            | flag(entry.origin.is_some() && !same, HAS_ORIGIN),
    );
    if let Some(to) = &entry.to {
        write_bytes(out, to.as_bytes());
    }
    if let Some(why) = &entry.refused {
        write_bytes(out, why.as_bytes());
    }
    if let Some(origin) = entry.origin.as_deref().filter(|_| !same) {
        write_bytes(out, origin.as_bytes());
    }
}

fn read_entry(input: &mut Input<'_>, before: Option<&Entry>, time: &mut i64) -> Option<Entry> {
    let shared = usize::try_from(input.number()?).ok()?;
    let mut key = before.map_or(&[][..], |entry| entry.key.as_bytes()).get(..shared)?.to_vec();
    key.extend_from_slice(input.bytes()?);
    let size = input.number()?;
    let flags = input.byte()?;
    let mut modified_ms = None;
    if flags & HAS_TIME != 0 {
        *time = time.wrapping_add(input.signed()?);
        modified_ms = Some(*time);
    }
    let etag = read_etag(input, flags)?;
    let class = if flags & HAS_CLASS != 0 { Some(input.text()?) } else { None };
    let existing = match flags & (ABSENT | PRESENT) {
        0 => Existing::Unknown,
        ABSENT => Existing::Absent,
        _ => {
            let size = input.number()?;
            let flags = input.byte()?;
            let modified_ms = if flags & HAS_TIME != 0 { Some(input.signed()?) } else { None };
            Existing::Present { size, modified_ms, etag: read_etag(input, flags)? }
        }
    };
    let more = if flags & MAPPED != 0 { input.byte()? } else { 0 };
    let to = match more & HAS_TO {
        0 => None,
        _ => Some(ObjectKey::new(Bytes::from(input.bytes()?.to_vec()))),
    };
    let refused = if more & HAS_REFUSAL != 0 { Some(input.text()?) } else { None };
    let origin = match more & (HAS_ORIGIN | SAME_ORIGIN) {
        0 => None,
        HAS_ORIGIN => Some(Arc::from(input.text()?)),
        _ => Some(before?.origin.clone()?),
    };
    let (key, size_unknown) = (ObjectKey::new(Bytes::from(key)), more & SIZE_UNKNOWN != 0);
    Some(Entry { key, size, modified_ms, etag, class, existing, to, refused, size_unknown, origin })
}

/// How an ETag is stored: 32 hex digits of one letter case as 16 bytes, anything else as text.
enum Etag<'a> {
    Hex { raw: [u8; 16], upper: bool },
    Text(&'a str),
}

impl<'a> Etag<'a> {
    fn of(text: &'a str) -> Self {
        let upper = text.bytes().any(|b| b.is_ascii_uppercase());
        let mixed = upper && text.bytes().any(|b| b.is_ascii_lowercase());
        let mut raw = [0; 16];
        if !mixed && text.len() == 32 && hex::decode_to_slice(text, &mut raw).is_ok() {
            Etag::Hex { raw, upper }
        } else {
            Etag::Text(text)
        }
    }

    fn flags(&self) -> u8 {
        match self {
            Etag::Hex { upper: true, .. } => HEX_ETAG | UPPER_ETAG,
            Etag::Hex { upper: false, .. } => HEX_ETAG,
            Etag::Text(_) => TEXT_ETAG,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Etag::Hex { raw, .. } => out.extend_from_slice(raw),
            Etag::Text(text) => write_bytes(out, text.as_bytes()),
        }
    }
}

fn read_etag(input: &mut Input<'_>, flags: u8) -> Option<Option<String>> {
    if flags & HEX_ETAG != 0 {
        let raw = input.take(16)?;
        let text = if flags & UPPER_ETAG != 0 { hex::encode_upper(raw) } else { hex::encode(raw) };
        return Some(Some(text));
    }
    if flags & TEXT_ETAG != 0 {
        return Some(Some(input.text()?));
    }
    Some(None)
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_signed(out: &mut Vec<u8>, number: i64) {
    write_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.number()?).ok()?;
        self.take(n)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn etag() -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            Just(None),
            "[0-9a-f]{32}".prop_map(Some),
            "[0-9A-F]{32}".prop_map(Some),
            "[0-9a-fA-F]{32}-[0-9]{1,5}".prop_map(Some),
            ".{0,40}".prop_map(Some),
        ]
    }

    fn existing() -> impl Strategy<Value = Existing> {
        prop_oneof![
            Just(Existing::Unknown),
            Just(Existing::Absent),
            (any::<u64>(), any::<Option<i64>>(), etag())
                .prop_map(|(size, modified_ms, etag)| Existing::Present { size, modified_ms, etag }),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let key = proptest::collection::vec(any::<u8>(), 0..60);
        let class = proptest::option::of("[A-Z_]{1,12}");
        let to = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(ObjectKey::new));
        let origin = proptest::option::of("https?://[ab]/");
        let mapped = (to, proptest::option::of(".{0,20}"), any::<bool>(), origin);
        (key, any::<u64>(), any::<Option<i64>>(), etag(), class, existing(), mapped).prop_map(
            |(key, size, modified_ms, etag, class, existing, (to, refused, size_unknown, origin))| Entry {
                size_unknown,
                origin: origin.map(Arc::from),
                key: ObjectKey::new(key),
                size,
                modified_ms,
                etag,
                class,
                existing,
                to,
                refused,
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries in proptest::collection::vec(entry(), 0..40)) {
            prop_assert_eq!(decode(&encode(&entries)).unwrap(), entries);
        }

        #[test]
        fn a_cut_or_changed_file_is_refused(
            entries in proptest::collection::vec(entry(), 1..10), place in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let file = encode(&entries);
            let at = place.index(file.len());
            prop_assert!(decode(&file[..at]).is_err());
            let mut changed = file.clone();
            changed[at] ^= flip;
            prop_assert!(decode(&changed).is_err());
        }

        #[test]
        fn noise_is_refused_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&noise).is_err());
        }
    }

    #[test]
    fn what_is_not_known_is_never_taken_for_empty_by_who_does_not_know_it() {
        let known = Entry { key: "a".into(), size: 7, ..Entry::default() };
        let open = Entry { key: "b".into(), size_unknown: true, ..Entry::default() };
        let file = encode(&[known.clone(), open.clone()]);
        assert_eq!(file[4], VERSION_MAPPED);
        assert_eq!(decode(&file).unwrap(), [known, open]);
    }

    #[test]
    fn a_manifest_of_the_first_version_is_read() {
        // As it was always written: the entry ("k", 5 bytes, no time).
        let entry = Entry { key: "k".into(), size: 5, ..Entry::default() };
        let mut file = b"BRGM\x01".to_vec();
        file.extend(zstd::bulk::compress(&[0, 1, b'k', 5, 0], 3).unwrap());
        file.extend(1u64.to_le_bytes());
        file.extend(checksum(CrcAlgorithm::Crc64Xz, &file).to_le_bytes());
        assert_eq!(decode(&file).unwrap(), [entry]);
    }

    #[test]
    fn a_manifest_without_mapped_keys_is_of_the_first_version() {
        let plain = Entry { key: ObjectKey::from("a"), ..Entry::default() };
        let mapped = Entry { to: Some(ObjectKey::from("b")), ..plain.clone() };
        assert_eq!(encode(std::slice::from_ref(&plain))[4], VERSION);
        assert_eq!(encode(&[plain, mapped])[4], VERSION_MAPPED);
    }

    #[test]
    fn an_object_takes_less_than_40_bytes() {
        let entries: Vec<Entry> = (0..10_000u64)
            .map(|i| Entry {
                key: ObjectKey::new(format!("photos/2026/11/21/img-{i:08}.jpg")),
                size: 4096 + i * 7919 % 100_000,
                modified_ms: Some(1_790_000_000_000 + (i * 104_729 % 86_400_000) as i64),
                etag: Some(hex::encode(
                    [i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i.wrapping_mul(0xd1b5_4a32_d192_ed03)]
                        .map(u64::to_be_bytes)
                        .concat(),
                )),
                ..Entry::default()
            })
            .collect();
        let each = encode(&entries).len() / entries.len();
        assert!(each < 40, "{each} bytes an object");
    }
}
