//! Names of jobs, tasks and objects: parse, display, order.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::text::is_hostile;
use crate::v1;

/// A job's name: `[a-zA-Z0-9_-]{4,128}`, so that it is a safe file name everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(String);

/// One task of one job: the number counts from 1 in each round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job that it belongs to.
    pub job: JobName,
    /// The pass over the source, from 1.
    pub round: u32,
    /// From 1 in each round.
    pub number: u32,
}

/// An object's key, byte for byte; ordered as the bytes of UTF-8, which is how object stores list. Keys of
/// stores are UTF-8; a file system may hold names that are not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectKey(Bytes);

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a job name: it needs 4 to 128 of the characters a-z A-Z 0-9 _ -")]
pub struct BadJobName {
    /// What was given.
    pub name: String,
}

// === impl JobName ===

impl JobName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobName {
    type Err = BadJobName;

    fn from_str(name: &str) -> Result<Self, BadJobName> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (4..=128).contains(&name.len()) && name.bytes().all(legal) {
            Ok(JobName(name.to_owned()))
        } else {
            Err(BadJobName { name: name.to_owned() })
        }
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl TaskId ===

impl TaskId {
    /// The task that a message speaks of.
    pub fn of(task: &v1::TaskRef) -> Result<Self, BadJobName> {
        Ok(TaskId { job: task.job.parse()?, round: task.round, number: task.number })
    }

    /// The task's name inside its job: `r1-000042`, also the name of its files.
    pub fn stem(&self) -> String {
        format!("r{}-{:06}", self.round, self.number)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.stem())
    }
}

// === impl ObjectKey ===

impl ObjectKey {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        ObjectKey(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// As text, where it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Ends in `/`: a directory marker.
    pub fn is_marker(&self) -> bool {
        self.0.last() == Some(&b'/')
    }

    /// One line for lists and logs that maps back to the key and cannot disturb a terminal or a CSV: `%`,
    /// what [`is_hostile`] names, and bytes that are not UTF-8 are written `%XX`, everything else as it is.
    pub fn to_line(&self) -> String {
        let mut line = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '%' || is_hostile(c) {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        line.push_str(&format!("%{byte:02X}"));
                    }
                } else {
                    line.push(c);
                }
            }
            for byte in chunk.invalid() {
                line.push_str(&format!("%{byte:02X}"));
            }
        }
        line
    }

    /// The key that `to_line` wrote.
    pub fn from_line(line: &str) -> Self {
        let bytes = line.as_bytes();
        let mut key = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
            let digit = |at: usize| escaped.and_then(|hex| char::from(hex[at]).to_digit(16));
            match digit(0).zip(digit(1)) {
                Some((high, low)) => {
                    key.push((high * 16 + low) as u8);
                    at += 3;
                }
                None => {
                    key.push(bytes[at]);
                    at += 1;
                }
            }
        }
        ObjectKey::new(key)
    }
}

impl From<&str> for ObjectKey {
    fn from(key: &str) -> Self {
        ObjectKey(Bytes::copy_from_slice(key.as_bytes()))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_line())
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.to_line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_line_is_one_printable_line_and_maps_back() {
        for key in ["a//b", " a ", "a%2Fb", "x\ny\r\u{1b}[31m", "中文 é 😀", ".."] {
            let line = ObjectKey::from(key).to_line();
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert_eq!(ObjectKey::from_line(&line), ObjectKey::from(key));
        }
        let raw = ObjectKey::new(vec![0xff, b'a', 0xc3]);
        assert_eq!(ObjectKey::from_line(&raw.to_line()), raw);
    }

    #[test]
    fn job_names_are_safe_file_names() {
        for good in ["local_test", "a-b_C9", &"x".repeat(128)] {
            assert!(good.parse::<JobName>().is_ok(), "{good}");
        }
        for bad in ["abc", "../up", "a b c d", "", "name.toml", &"x".repeat(129)] {
            assert!(bad.parse::<JobName>().is_err(), "{bad}");
        }
    }
}
