//! The stored form of a scan's state: a version byte, then protobuf. See `docs/formats.md`.

use prost::Message;
use proto::ObjectKey;

use super::ledger::{RangeState, ScanMode, ScanState, Seen};

const VERSION: u8 = 1;

/// A stored state that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored scan state is damaged or of a later version")]
pub(crate) struct BadState;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(bool, tag = "1")]
    sorted: bool,
    #[prost(message, repeated, tag = "2")]
    ranges: Vec<Range>,
    #[prost(uint32, tag = "3")]
    next_range: u32,
    #[prost(uint32, tag = "4")]
    last_task: u32,
    #[prost(uint64, tag = "5")]
    lines: u64,
    #[prost(uint64, tag = "6")]
    objects: u64,
    #[prost(uint64, tag = "7")]
    bytes: u64,
    #[prost(uint64, tag = "8")]
    special: u64,
    #[prost(bool, tag = "9")]
    done: bool,
    #[prost(string, repeated, tag = "10")]
    warnings: Vec<String>,
    #[prost(uint64, tag = "11")]
    unknown: u64,
    #[prost(uint64, tag = "12")]
    list_sum: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Range {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(bytes = "bytes", optional, tag = "2")]
    after: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    upto: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    at: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    back: Option<bytes::Bytes>,
    #[prost(message, optional, tag = "6")]
    first: Option<Border>,
    #[prost(message, optional, tag = "7")]
    beyond: Option<Border>,
    #[prost(bool, tag = "8")]
    joined: bool,
    #[prost(bool, tag = "9")]
    done: bool,
}

/// Absent: unknown. Without a key: the end.
#[derive(Clone, PartialEq, Message)]
struct Border {
    #[prost(bytes = "bytes", optional, tag = "1")]
    key: Option<bytes::Bytes>,
}

impl ScanState {
    /// The record.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let state = State {
            sorted: self.mode == ScanMode::Sorted,
            ranges: self.ranges.iter().map(write_range).collect(),
            next_range: self.next_range,
            last_task: self.last_task,
            lines: self.lines,
            objects: self.objects,
            bytes: self.bytes,
            special: self.special,
            done: self.done,
            warnings: self.warnings.clone(),
            unknown: self.unknown,
            list_sum: self.list_sum,
        };
        let mut record = vec![VERSION];
        record.extend(state.encode_to_vec());
        record
    }

    /// Reads what `to_bytes` wrote.
    pub(crate) fn from_bytes(record: &[u8]) -> Result<Self, BadState> {
        let Some((&VERSION, body)) = record.split_first() else { return Err(BadState) };
        let state = State::decode(body).map_err(|_| BadState)?;
        Ok(ScanState {
            mode: if state.sorted { ScanMode::Sorted } else { ScanMode::Ranges },
            ranges: state.ranges.into_iter().map(read_range).collect(),
            next_range: state.next_range,
            last_task: state.last_task,
            lines: state.lines,
            objects: state.objects,
            bytes: state.bytes,
            special: state.special,
            done: state.done,
            warnings: state.warnings,
            unknown: state.unknown,
            list_sum: state.list_sum,
        })
    }
}

fn write_range(range: &RangeState) -> Range {
    let bytes = |key: &Option<ObjectKey>| key.as_ref().map(ObjectKey::to_bytes);
    let border = |seen: &Seen| match seen {
        Seen::Unknown => None,
        Seen::End => Some(Border { key: None }),
        Seen::Key(key) => Some(Border { key: Some(key.to_bytes()) }),
    };
    Range {
        id: range.id,
        after: bytes(&range.after),
        upto: bytes(&range.upto),
        at: bytes(&range.at),
        back: bytes(&range.back),
        first: border(&range.first),
        beyond: border(&range.beyond),
        joined: range.joined,
        done: range.done,
    }
}

fn read_range(range: Range) -> RangeState {
    let seen = |border: Option<Border>| match border {
        None => Seen::Unknown,
        Some(Border { key: None }) => Seen::End,
        Some(Border { key: Some(key) }) => Seen::Key(ObjectKey::new(key)),
    };
    RangeState {
        id: range.id,
        after: range.after.map(ObjectKey::new),
        upto: range.upto.map(ObjectKey::new),
        at: range.at.map(ObjectKey::new),
        back: range.back.map(ObjectKey::new),
        first: seen(range.first),
        beyond: seen(range.beyond),
        joined: range.joined,
        done: range.done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let key = |text: &str| Some(ObjectKey::from(text));
        let mut range =
            RangeState { id: 7, after: key(""), upto: key("m"), at: key("b"), ..RangeState::default() };
        range.first = Seen::Key(ObjectKey::from("a"));
        range.beyond = Seen::End;
        let open = RangeState { id: 8, after: key("m"), joined: true, done: true, ..RangeState::default() };
        let state = ScanState {
            mode: ScanMode::Sorted,
            ranges: vec![range, open],
            next_range: 9,
            last_task: 3,
            lines: 4,
            objects: 5,
            unknown: 2,
            list_sum: 8,
            bytes: 6,
            special: 7,
            done: true,
            warnings: vec!["w".into()],
        };
        assert_eq!(ScanState::from_bytes(&state.to_bytes()).unwrap(), state);
    }

    #[test]
    fn another_version_or_a_cut_record_is_refused() {
        let state = ScanState { warnings: vec!["abc".into()], ..ScanState::default() };
        let mut record = state.to_bytes();
        record.pop();
        assert_eq!(ScanState::from_bytes(&record), Err(BadState));
        assert_eq!(ScanState::from_bytes(&[]), Err(BadState));
        assert_eq!(ScanState::from_bytes(&[VERSION + 1]), Err(BadState));
    }
}
