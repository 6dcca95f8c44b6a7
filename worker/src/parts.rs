//! How an object is cut into parts, and whether a part arrived as it was sent.

use std::ops::Range;

use storage::PartDone;

use crate::trip::Fetched;
use crate::verify::Difference;

/// What the destination states of a part that is not what was sent.
pub(crate) fn differs(
    done: &PartDone,
    fetched: &Fetched,
    crc: Option<crc_fast::CrcAlgorithm>,
) -> Option<Difference> {
    let difference = |check, ours: String, theirs: String| Difference { check, ours, theirs, by_etag: false };
    let ours = crc.and_then(|crc| fetched.hashes.crc(crc));
    if let (Some(theirs), Some(ours)) = (done.crc, ours)
        && theirs != ours
    {
        return Some(difference("part CRC", ours.to_string(), theirs.to_string()));
    }
    if let (Some(theirs), Some(ours)) = (done.md5, fetched.hashes.md5)
        && theirs != ours
    {
        return Some(difference("part MD5", hex::encode(ours), hex::encode(theirs)));
    }
    (done.size != fetched.payload.len())
        .then(|| difference("part size", fetched.payload.len().to_string(), done.size.to_string()))
}

/// The bytes of a part.
pub(crate) fn part_range(number: u32, part_size: u64, size: u64) -> Range<u64> {
    let start = u64::from(number.saturating_sub(1)).saturating_mul(part_size).min(size);
    start..start.saturating_add(part_size).min(size)
}

/// The configured part size in whole MiB, because some services take no others, grown until the parts are few enough,
/// within what the destination takes.
pub(crate) fn part_size(size: u64, configured: u64, limits: &storage::destination::Limits) -> u64 {
    const MIB: u64 = 1 << 20;
    let needed = size.div_ceil(u64::from(limits.parts).max(1));
    let configured = if configured > MIB { configured / MIB * MIB } else { configured };
    let needed = if needed > configured { needed.div_ceil(MIB) * MIB } else { configured };
    needed.max(limits.part_min).min(limits.part_max).max(1)
}

/// What is wrong with moving an object in parts of this size, if anything: more parts than the destination takes, or
/// a part that has no room in the memory of this worker (`room`: bytes, where that is known).
pub(crate) fn obstacle(
    size: u64,
    part: u64,
    limits: &storage::destination::Limits,
    (budget, room): (u64, Option<u64>),
) -> Option<String> {
    let parts = u64::from(limits.parts);
    if size.div_ceil(part) > parts {
        let most = parts.saturating_mul(limits.part_max);
        return Some(format!("it has {size} bytes, and the destination takes objects of at most {most}"));
    }
    let room = room.filter(|room| part > budget && part > *room)?;
    Some(format!(
        "the destination takes it in {parts} parts of {part} bytes, a part is held in memory, and {room} bytes are \
         free here: move it with a worker that has them"
    ))
}
