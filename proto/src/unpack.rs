//! zstd bodies of persisted forms, unpacked within bounds: a file that was tampered with must not take the
//! memory of the host.

use std::io::Read;

/// Our frames have windows of 2 MiB at most (zstd, levels 1 and 3).
const WINDOW_LOG: u32 = 23;

/// The bytes of a body; nothing where it is damaged, or holds more than `most`.
pub(crate) fn unpack(body: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::new(body).ok()?;
    decoder.window_log_max(WINDOW_LOG).ok()?;
    let mut plain = Vec::new();
    decoder.take(most as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= most).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unpacks_to_more_than_it_may() {
        let body = zstd::bulk::compress(&vec![7; 1 << 20], 3).unwrap();
        assert_eq!(unpack(&body, 1 << 20).map(|plain| plain.len()), Some(1 << 20));
        assert_eq!(unpack(&body, (1 << 20) - 1), None);
        assert_eq!(unpack(b"no frame", 100), None);
    }
}
