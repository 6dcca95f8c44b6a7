//! What happened to each object: error codes, checks, and the audit file.
//!
//! Form, version 1: `BRGA`, the version byte, then frames. A frame is the length of its body (u32), the
//! CRC-32C of its body (u32; both little-endian), then the body: zstd of length-delimited `AuditRecord`
//! messages. Appending a batch is appending a frame; a frame that is cut at the end of the file was never
//! acknowledged and is dropped, and so are zeros at the end; a damaged one in the middle is an error.

use crc_fast::{CrcAlgorithm, checksum};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::channel::MAX_MESSAGE;
use crate::unpack::unpack;
use crate::v1::AuditRecord;

const MAGIC: &[u8; 4] = b"BRGA";
const VERSION: u8 = 1;
const FRAME_HEAD: usize = 8;
/// A batch comes in one message; what the master adds to its records is far less than another one.
const MOST_PLAIN: usize = 2 * MAX_MESSAGE;

/// The first bytes of every audit file.
pub const HEADER: [u8; 5] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION];

/// Why an object did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ObjectErrorCode {
    /// Fewer or more bytes came than were listed, or the destination holds another number.
    SizeNotMatch,
    /// The bytes that were read and what one of the ends states differ.
    ChecksumNotMatch,
    /// Another version than the listed one is there.
    SourceChanged,
    /// It was listed and is not there any more.
    SourceGone,
    /// The destination cannot hold this key, or the name is not UTF-8.
    InvalidName,
    /// The service refuses this object.
    AccessDenied,
    /// It has to be restored before it can be read.
    Archived,
    /// Reading failed, after all retries.
    DownloadFailed,
    /// Writing failed, after all retries.
    UploadFailed,
    /// The service asked to slow down until the patience ended.
    Throttled,
    /// A step took longer than its limit, after all retries.
    Timeout,
    /// Anything else; the text says what.
    Internal,
}

/// The check that proved that what arrived is what left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// CRC-64/XZ, "ECMA" at the vendors, stated by the destination.
    Crc64ecma,
    /// CRC-64/NVME of the whole object, stated by the destination.
    Crc64nvme,
    /// CRC-32C of the whole object, stated by the destination.
    Crc32c,
    /// The destination's ETag is the MD5 of the bytes.
    EtagMd5,
    /// The destination's ETag is the MD5 of the parts' MD5s.
    EtagMultipart,
    /// Content-MD5 that the destination computed.
    ContentMd5,
    /// The destination was read back and hashed.
    Readback,
    /// A copy inside one service: its checksum equals the source's.
    ServerCopy,
    /// Only the length was compared, because `verify = "size"`, or nothing better was to be had.
    Size,
    /// Already there; not moved.
    Existing,
    /// CRC-32 of the whole object, stated by the destination.
    Crc32,
    /// The destination's ETag is its own hash of the bytes (Qiniu).
    EtagQiniu,
    /// Archived at the source and left alone, as the job says: nothing is proved, nothing was moved.
    Archived,
}

/// An audit file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Not an audit file, or of a version that this program does not know.
    #[error("not an audit file of version {VERSION}")]
    Unknown,
    /// A frame that is not the last one is damaged.
    #[error("damaged at byte {at}")]
    Damaged {
        /// Where the frame begins.
        at: usize,
    },
}

/// The frames of one audit file, and how many bytes of it are whole.
#[derive(Debug, Clone, Default)]
pub struct AuditFile {
    /// In the order in which they were written.
    pub records: Vec<AuditRecord>,
    /// Everything after this byte is a batch that was never acknowledged.
    pub whole: usize,
}

/// One batch as a frame.
pub fn encode_frame(records: &[AuditRecord]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(records.len() * 96);
    for record in records {
        // Encoding into a Vec has no way to fail.
        let _ = record.encode_length_delimited(&mut plain);
    }
    let body = zstd::bulk::compress(&plain, 1).unwrap_or_default();
    let mut frame = Vec::with_capacity(body.len() + FRAME_HEAD);
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend((checksum(CrcAlgorithm::Crc32Iscsi, &body) as u32).to_le_bytes());
    frame.extend(body);
    frame
}

/// All records of a file.
pub fn decode(file: &[u8]) -> Result<AuditFile, AuditError> {
    // A power loss may leave a file longer than what was written to it: the rest is zeros, and no frame.
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end < HEADER.len() {
        // Made and never written to: as good as empty.
        return if HEADER.starts_with(&file[..end]) {
            Ok(AuditFile::default())
        } else {
            Err(AuditError::Unknown)
        };
    }
    if file[..HEADER.len()] != HEADER {
        // The same of the very first batch, where its end came to the disk before its beginning.
        let torn = file.iter().zip(HEADER).all(|(found, wanted)| *found == 0 || *found == wanted);
        return if torn { Ok(AuditFile::default()) } else { Err(AuditError::Unknown) };
    }
    let mut out = AuditFile { records: Vec::new(), whole: HEADER.len() };
    while let Some(frame) = whole_frame(&file[out.whole..]) {
        let at = out.whole;
        if at >= end {
            break;
        }
        let good = frame.records.ok_or(AuditError::Damaged { at });
        match good {
            Ok(records) => out.records.extend(records),
            // A torn last write may have its length but not all of its bytes.
            Err(_) if at + frame.length >= end => return Ok(out),
            Err(damage) => return Err(damage),
        }
        out.whole += frame.length;
    }
    Ok(out)
}

struct Frame {
    length: usize,
    records: Option<Vec<AuditRecord>>,
}

/// The frame at the front, or nothing where the file ends within it.
fn whole_frame(bytes: &[u8]) -> Option<Frame> {
    let (head, rest) = bytes.split_at_checked(FRAME_HEAD)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let body = rest.get(..word(0) as usize)?;
    let sound = checksum(CrcAlgorithm::Crc32Iscsi, body) as u32 == word(4);
    Some(Frame { length: FRAME_HEAD + body.len(), records: if sound { parse(body) } else { None } })
}

fn parse(body: &[u8]) -> Option<Vec<AuditRecord>> {
    let plain = unpack(body, MOST_PLAIN)?;
    let mut rest = &plain[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(AuditRecord::decode_length_delimited(&mut rest).ok()?);
    }
    Some(records)
}

// === impl ObjectErrorCode, Proof ===

impl ObjectErrorCode {
    /// The contract's name: `SIZE_NOT_MATCH`.
    pub fn name(self) -> &'static str {
        match self {
            ObjectErrorCode::SizeNotMatch => "SIZE_NOT_MATCH",
            ObjectErrorCode::ChecksumNotMatch => "CHECKSUM_NOT_MATCH",
            ObjectErrorCode::SourceChanged => "SOURCE_CHANGED",
            ObjectErrorCode::SourceGone => "SOURCE_GONE",
            ObjectErrorCode::InvalidName => "INVALID_NAME",
            ObjectErrorCode::AccessDenied => "ACCESS_DENIED",
            ObjectErrorCode::Archived => "ARCHIVED",
            ObjectErrorCode::DownloadFailed => "DOWNLOAD_FAILED",
            ObjectErrorCode::UploadFailed => "UPLOAD_FAILED",
            ObjectErrorCode::Throttled => "THROTTLED",
            ObjectErrorCode::Timeout => "TIMEOUT",
            ObjectErrorCode::Internal => "INTERNAL",
        }
    }
}

impl Proof {
    /// The name in records and reports: `crc64ecma`.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Crc64ecma => "crc64ecma",
            Proof::Crc64nvme => "crc64nvme",
            Proof::Crc32c => "crc32c",
            Proof::Crc32 => "crc32",
            Proof::EtagQiniu => "etag_qiniu",
            Proof::EtagMd5 => "etag_md5",
            Proof::EtagMultipart => "etag_multipart",
            Proof::ContentMd5 => "content_md5",
            Proof::Readback => "readback",
            Proof::ServerCopy => "server_copy",
            Proof::Size => "size",
            Proof::Existing => "existing",
            Proof::Archived => "archived",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u32) -> AuditRecord {
        AuditRecord { index, key: format!("k{index}").into(), size: 7, ..AuditRecord::default() }
    }

    fn file() -> Vec<u8> {
        let mut file = HEADER.to_vec();
        file.extend(encode_frame(&[record(0), record(1)]));
        file.extend(encode_frame(&[record(2)]));
        file
    }

    #[test]
    fn what_was_appended_is_read() {
        let read = decode(&file()).unwrap();
        assert_eq!(read.records, [record(0), record(1), record(2)]);
        assert_eq!(read.whole, file().len());
    }

    #[test]
    fn a_torn_last_frame_is_dropped_and_its_place_is_known() {
        let file = file();
        let first = HEADER.len() + encode_frame(&[record(0), record(1)]).len();
        for cut in first..file.len() {
            let read = decode(&file[..cut]).unwrap();
            assert_eq!(read.records.len(), 2);
            assert_eq!(read.whole, first);
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error() {
        let mut file = file();
        file[HEADER.len() + FRAME_HEAD + 2] ^= 1;
        assert_eq!(decode(&file).unwrap_err(), AuditError::Damaged { at: HEADER.len() });
    }

    #[test]
    fn another_file_is_refused() {
        assert_eq!(decode(b"hello world").unwrap_err(), AuditError::Unknown);
        assert!(decode(b"").unwrap().records.is_empty());
    }
}
