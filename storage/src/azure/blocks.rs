//! Uploads in blocks: Put Block, Get Block List, Put Block List.
//!
//! A block's name is the upload's random tag, the part's number and the CRC-64 of its bytes, so that no other writer
//! of the same blob has it and no other content either. What was committed is committed again without harm.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::{HeaderMap, Method};
use proto::ObjectKey;

use super::{Client, headers, xml};
use crate::checksum::combine;
use crate::destination::{PartDone, PutOptions, UploadRef, Whole, Written};
use crate::error::{ErrorKind, Op, Result};
use crate::meta::Checksums;
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::s3::{Call, etag};

/// Behind a block's name in the record: the service stated its CRC-64.
const BY_CRC: &str = "crc64";
/// The service compared its MD5.
const BY_MD5: &str = "md5";

impl Client {
    /// Sends nothing: the service knows blocks, not uploads.
    pub(super) fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        self.with_crc.check_name(key)?;
        // What can never be written is said before its bytes are.
        self.write_headers(Call::new(Op::Begin, RequestKind::Multipart, Method::PUT, Some(key)), options)?;
        Ok(UploadRef { key: key.clone(), id: hex::encode(rand::random::<[u8; 16]>()) })
    }

    pub(super) async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        let crc = payload.crc(CrcAlgorithm::Crc64Nvme);
        let call = Call::new(Op::Part, RequestKind::Part, Method::PUT, Some(&upload.key));
        let name = block_name(&upload.id, number, crc)
            .ok_or_else(|| call.error(ErrorKind::UploadNotFound, "this is no upload of ours"))?;
        let call = call.query("blockid", name.clone()).query("comp", "block").body(payload.clone());
        let size = payload.len();
        let done =
            |by: &str, crc| PartDone { number, offset, size, etag: format!("{name}:{by}"), crc, md5: None };
        if !self.block_crc_off.load(Ordering::Relaxed) {
            let answer =
                self.put_block(call.clone().header("x-ms-content-crc64", &headers::crc_text(crc))).await?;
            match headers::crc(&answer) {
                Some(stated) if stated == crc => return Ok(done(BY_CRC, Some(crc))),
                Some(stated) => {
                    let text =
                        format!("the block's CRC-64 is {crc:016x}, and the service states {stated:016x}");
                    return Err(call.error(ErrorKind::Corrupted, text));
                }
                // It may have passed over the header.
                None => self.block_crc_off.store(true, Ordering::Relaxed),
            }
        }
        let md5 = STANDARD.encode(payload.md5_aside().await);
        self.put_block(call.header("content-md5", &md5)).await?;
        Ok(done(BY_MD5, None))
    }

    async fn put_block(&self, call: Call<'_>) -> Result<HeaderMap> {
        let (answer, _) = self.send_for_body(&call).await?;
        self.meter.bytes_written(call.payload.len());
        Ok(answer)
    }

    /// Those that are there, committed already or not.
    pub(super) async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        let call = Call::new(Op::ListParts, RequestKind::List, Method::GET, Some(&upload.key))
            .query("blocklisttype", "all")
            .query("comp", "blocklist");
        let body = match self.send_for_body(&call).await {
            Ok((_, body)) => body,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error.into_kind(ErrorKind::UploadNotFound));
            }
            Err(error) => return Err(error),
        };
        let blocks = xml::blocks(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        let sizes: HashMap<&str, u64> = blocks.iter().map(|block| (&*block.name, block.size)).collect();
        let there = |part: &&PartDone| {
            let name = name_of(&upload.id, part);
            name.is_some_and(|name| sizes.get(name) == Some(&part.size))
        };
        Ok(recorded.iter().filter(there).cloned().collect())
    }

    /// Put Block List. The answer's checksums are those of the list; what the service stated of each block, put
    /// together in the order of the list, is the blob's.
    pub(super) async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        let call = Call::new(Op::Complete, RequestKind::Multipart, Method::PUT, Some(&upload.key));
        let names: Option<Vec<&str>> = parts.iter().map(|part| name_of(&upload.id, part)).collect();
        let names = names
            .ok_or_else(|| call.error(ErrorKind::UploadNotFound, "a part is no block of this upload"))?;
        let size: u64 = parts.iter().map(|part| part.size).sum();
        if size != whole.size {
            let text = format!("the blocks have {size} bytes together, the object has {}", whole.size);
            return Err(call.error(ErrorKind::Corrupted, text));
        }
        let stated = self.stated(parts);
        if let (Some(ours), Some(theirs)) = (whole.crc, stated.crc64nvme)
            && ours != theirs
        {
            let text = format!("the object's CRC-64 is {ours:016x}, that of its blocks {theirs:016x}");
            return Err(call.error(ErrorKind::Corrupted, text));
        }
        let list = Payload::new(vec![xml::block_list(names.into_iter()).into()]);
        let crc = headers::crc_text(list.crc(CrcAlgorithm::Crc64Nvme));
        let call = call.query("comp", "blocklist").header("x-ms-content-crc64", &crc).body(list);
        let (mut call, not_carried) = self.write_headers(call, options)?;
        if let Some(md5) = whole.md5 {
            // "Not validated": it is kept and given to whoever reads the blob (Put Block List).
            call = call.header("x-ms-blob-content-md5", &STANDARD.encode(md5));
        }
        call.patience = 10;
        let (answer, _) = self.send_for_body(&call).await?;
        Ok(Written { etag: etag(&answer), stated, not_carried })
    }

    /// The whole's CRC, where the service stated that of every block.
    fn stated(&self, parts: &[PartDone]) -> Checksums {
        let stated = |part: &PartDone| part.crc.filter(|_| part.etag.ends_with(&format!(":{BY_CRC}")));
        let crcs: Option<Vec<(u64, u64)>> =
            parts.iter().map(|part| Some((stated(part)?, part.size))).collect();
        Checksums {
            crc64nvme: crcs.and_then(|crcs| combine(CrcAlgorithm::Crc64Nvme, crcs)),
            ..Checksums::default()
        }
    }
}

/// 28 bytes for every part, as the names of a blob's blocks have to be of one length.
fn block_name(tag: &str, number: u32, crc: u64) -> Option<String> {
    let mut tag = hex::decode(tag).ok().filter(|tag| tag.len() == 16)?;
    tag.extend(number.to_be_bytes());
    tag.extend(crc.to_be_bytes());
    Some(STANDARD.encode(tag))
}

/// The block that a record is of, if it is one of this upload.
fn name_of<'a>(tag: &str, part: &'a PartDone) -> Option<&'a str> {
    let (name, _) = part.etag.split_once(':')?;
    let bytes = STANDARD.decode(name).ok()?;
    let ours = bytes.len() == 28
        && hex::encode(&bytes[..16]) == tag
        && bytes[16..20] == part.number.to_be_bytes()
        && part.crc.is_none_or(|crc| bytes[20..] == crc.to_be_bytes());
    ours.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_a_name_that_only_its_upload_its_number_and_its_bytes_give() {
        let tag = "00112233445566778899aabbccddeeff";
        let name = block_name(tag, 1, 7).unwrap();
        assert_eq!(name.len(), block_name(tag, 10_000, u64::MAX).unwrap().len());
        let part = PartDone {
            number: 1,
            offset: 0,
            size: 1,
            etag: format!("{name}:crc64"),
            crc: Some(7),
            md5: None,
        };
        assert_eq!(name_of(tag, &part), Some(&*name));
        for other in [
            PartDone { number: 2, ..part.clone() },
            PartDone { crc: Some(8), ..part.clone() },
            PartDone { etag: "00".into(), ..part.clone() },
        ] {
            assert_eq!(name_of(tag, &other), None);
        }
        assert_eq!(name_of("ff112233445566778899aabbccddeeff", &part), None);
        assert_eq!(block_name("no tag", 1, 7), None);
    }
}
