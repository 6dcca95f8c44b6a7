//! Hashing while bytes stream, and the rules by which services build ETags from parts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use md5::{Digest as _, Md5};

/// Hashes the bytes of one object or part, once, with everything that can be compared.
pub struct Hasher {
    crcs: Vec<Digest>,
    algorithms: Vec<CrcAlgorithm>,
    md5: Option<Md5>,
    size: u64,
}

/// What a [`Hasher`] found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hashes {
    /// Bytes.
    pub size: u64,
    /// The CRCs that were asked for.
    pub crcs: Vec<(CrcAlgorithm, u64)>,
    /// Where it was asked for.
    pub md5: Option<[u8; 16]>,
}

impl Hasher {
    /// With these CRCs (each once), and MD5 where it has to be: it is twenty times as dear.
    pub fn new(algorithms: &[CrcAlgorithm], md5: bool) -> Self {
        Hasher {
            crcs: algorithms.iter().map(|algorithm| Digest::new(*algorithm)).collect(),
            algorithms: algorithms.to_vec(),
            md5: md5.then(Md5::new),
            size: 0,
        }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        for crc in &mut self.crcs {
            crc.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// The hashes of all bytes so far.
    pub fn finish(self) -> Hashes {
        let values = self.crcs.iter().map(Digest::finalize);
        Hashes {
            size: self.size,
            crcs: self.algorithms.iter().copied().zip(values).collect(),
            md5: self.md5.map(|md5| md5.finalize().into()),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Hashes {
    /// The CRC of this algorithm, where it was taken.
    pub fn crc(&self, algorithm: CrcAlgorithm) -> Option<u64> {
        self.crcs.iter().find(|(taken, _)| *taken == algorithm).map(|(_, value)| *value)
    }
}

/// The CRC of the whole from its parts: (CRC, bytes) in order. 0 parts have no CRC.
pub fn combine(algorithm: CrcAlgorithm, parts: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
    let join = |(crc, size): (u64, u64), (next, n)| (checksum_combine(algorithm, crc, next, n), size + n);
    parts.into_iter().reduce(join).map(|(crc, _)| crc)
}

/// `hex(md5(md5(part 1) ‖ md5(part 2) ‖ …))-N`: the ETag of a multipart upload at Amazon S3 and most services
/// that speak it, de facto (protocol notes, "ETag").
pub fn multipart_etag(parts: impl IntoIterator<Item = [u8; 16]>) -> String {
    let mut whole = Md5::new();
    let mut n = 0;
    for part in parts {
        whole.update(part);
        n += 1;
    }
    format!("{}-{n}", hex::encode(whole.finalize()))
}

/// Bytes of a block of [`qetag`].
const QETAG_BLOCK: usize = 4 << 20;

/// Qiniu's hash of an object that was written in one piece: URL-safe base64 of 0x16 and the SHA-1 of its bytes, or
/// of 0x96 and the SHA-1 of the SHA-1s of its blocks of 4 MiB (Kodo documents, "qetag").
pub fn qetag(chunks: &[Bytes]) -> String {
    use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY as SHA1};
    let (mut blocks, mut block, mut filled) = (Vec::new(), Context::new(&SHA1), 0);
    for chunk in chunks {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            if filled == QETAG_BLOCK {
                blocks.push(std::mem::replace(&mut block, Context::new(&SHA1)).finish());
                filled = 0;
            }
            let (now, later) = rest.split_at(rest.len().min(QETAG_BLOCK - filled));
            block.update(now);
            filled += now.len();
            rest = later;
        }
    }
    let last = block.finish();
    let (kind, hash) = if blocks.is_empty() {
        (0x16, last)
    } else {
        let mut whole = Context::new(&SHA1);
        blocks.iter().chain([&last]).for_each(|hash| whole.update(hash.as_ref()));
        (0x96, whole.finish())
    };
    URL_SAFE.encode([&[kind], hash.as_ref()].concat())
}

/// An ETag that may be a [`qetag`]: it has the length and one of the two beginnings.
pub fn is_qetag(etag: &str) -> bool {
    etag.len() == 28
        && URL_SAFE.decode(etag).is_ok_and(|raw| raw.len() == 21 && matches!(raw[0], 0x16 | 0x96))
}

/// The MD5 that an ETag of 32 hex digits spells.
pub fn md5_of_etag(etag: &str) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(etag, &mut md5).ok().map(|()| md5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> Hashes {
        let all = [CrcAlgorithm::Crc64Xz, CrcAlgorithm::Crc64Nvme, CrcAlgorithm::Crc32Iscsi];
        let mut hasher = Hasher::new(&all, true);
        for piece in bytes.chunks(3) {
            hasher.update(piece);
        }
        hasher.finish()
    }

    #[test]
    fn the_published_check_values() {
        let hashes = hash(b"123456789");
        assert_eq!(hashes.crc(CrcAlgorithm::Crc64Xz), Some(0x995d_c9bb_df19_39fa));
        assert_eq!(hashes.crc(CrcAlgorithm::Crc64Nvme), Some(0xae8b_1486_0a79_9888));
        assert_eq!(hashes.crc(CrcAlgorithm::Crc32Iscsi), Some(0xe306_9283));
        assert_eq!(hex::encode(hashes.md5.unwrap()), "25f9e794323b453885f5181f1b624d0b");
    }

    #[test]
    fn the_known_answers_of_other_implementations() {
        let xz = |bytes: &[u8]| hash(bytes).crc(CrcAlgorithm::Crc64Xz).unwrap();
        let nvme = |bytes: &[u8]| hash(bytes).crc(CrcAlgorithm::Crc64Nvme).unwrap();
        assert_eq!((xz(b""), nvme(b"")), (0, 0));
        assert_eq!(
            (xz(b"hello world"), nvme(b"hello world")),
            (0x5303_7ecd_ef23_52da, 0x8d29_d5c3_f6ea_8ebe)
        );
        assert_eq!(xz(b"This is a test of the emergency broadcast system."), 2_871_916_124_362_751_090);
        assert_eq!(xz(&[0; 1 << 20]), 0x606b_70a2_3eba_f6c2);
        assert_eq!((xz(b"12345"), xz(b"67890")), (0x5da7_46ff_a504_5ce9, 0x573a_0a56_c70b_c2dd));
        assert_eq!(xz(b"1234567890"), 12_811_388_247_244_714_686);
        assert_eq!(nvme(b"1234567890"), 0x6025_a582_347b_79f3);
        let zeros = hash(&[0; 5 << 20]).md5.unwrap();
        assert_eq!(hex::encode(zeros), "5f363e0e58a95f06cbe9bbc662c5dfb6");
        let etag = multipart_etag([zeros, hash(b"x").md5.unwrap()]);
        assert_eq!(etag, "912fbcd7e22cf02ae1c8f7f09b6ac317-2");
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let parts = [hash(b"12345"), hash(b"67890")];
        for algorithm in [CrcAlgorithm::Crc64Xz, CrcAlgorithm::Crc64Nvme] {
            let combined =
                combine(algorithm, parts.iter().map(|part| (part.crc(algorithm).unwrap(), part.size)));
            assert_eq!(combined, hash(b"1234567890").crc(algorithm));
        }
        assert_eq!(combine(CrcAlgorithm::Crc64Xz, []), None);
    }

    #[test]
    fn the_multipart_etag_of_known_parts() {
        let parts = [hash(b"12345"), hash(b"67890")].map(|part| part.md5.unwrap());
        assert_eq!(multipart_etag(parts), "a09f1cdc40fa65addf7026ee68e07b0e-2");
        assert_eq!(multipart_etag([hash(b"hello world").md5.unwrap()]), "241d8a27c836427bd7f04461b60e7359-1");
    }

    #[test]
    fn qetags_are_those_of_the_vendor() {
        let of = |chunks: &[&[u8]]| {
            let chunks: Vec<Bytes> = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk)).collect();
            let etag = qetag(&chunks);
            assert!(is_qetag(&etag), "{etag}");
            etag
        };
        assert_eq!(of(&[]), "Fto5o-5ea0sNMlW_75VgGJCv2AcJ");
        assert_eq!(of(&[b"1234", b"56789"]), "FvfDvB2AjgRzKt9nmWXMw0ynrjRB");
        let zeros = vec![0; (4 << 20) + 1];
        for cut in [1, 4 << 20, 1000] {
            assert_eq!(of(&[&zeros[..cut], &zeros[cut..]]), "lhCFgki5yzon0rjN9uJusf6qtsF6");
        }
        assert_ne!(of(&[&zeros[1..]]), "lhCFgki5yzon0rjN9uJusf6qtsF6");
        assert!(!is_qetag("25f9e794323b453885f5181f1b624d0b") && !is_qetag("AAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    }

    #[test]
    fn only_32_hex_digits_spell_an_md5() {
        assert!(md5_of_etag("25F9E794323B453885F5181F1B624D0B").is_some());
        assert!(md5_of_etag("25f9e794323b453885f5181f1b624d0b-2").is_none());
        assert!(md5_of_etag("").is_none());
    }
}
