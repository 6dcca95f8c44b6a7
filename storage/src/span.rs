//! Which part of a tree a listing asks for. Paths are those of an object store's keys: a directory's ends in `/`.

use proto::ObjectKey;

use crate::source::ListRequest;

/// Which keys are wanted; all with the endpoint's prefix.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) prefix_len: usize,
    pub(crate) under: Vec<u8>,
    after: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    pub(crate) folded: bool,
}

impl Span {
    pub(crate) fn new(prefix: &[u8], request: &ListRequest) -> Self {
        let full = |key: &ObjectKey| [prefix, key.as_bytes()].concat();
        Span {
            prefix_len: prefix.len(),
            under: full(&request.under),
            after: request.after.as_ref().map(full),
            until: request.until.as_ref().map(full),
            folded: request.folded,
        }
    }

    /// The key below the endpoint's prefix.
    pub(crate) fn key(&self, path: &[u8]) -> ObjectKey {
        ObjectKey::new(path.get(self.prefix_len..).unwrap_or_default().to_vec())
    }

    pub(crate) fn wants_file(&self, key: &[u8]) -> bool {
        key.starts_with(&self.under)
            && self.after.as_ref().is_none_or(|after| key > after.as_slice())
            && self.until.as_ref().is_none_or(|until| key < until.as_slice())
    }

    /// Neither is this key or path after where the range begins, nor does it lead there.
    pub(crate) fn is_behind(&self, path: &[u8]) -> bool {
        self.after.as_ref().is_some_and(|after| path <= after.as_slice() && !after.starts_with(path))
    }

    /// May there be wanted keys behind this path, which ends in `/`?
    pub(crate) fn wants_directory(&self, path: &[u8]) -> bool {
        if self.folded {
            // It is listed itself, as a key would be.
            return self.wants_file(path);
        }
        (path.starts_with(&self.under) || self.under.starts_with(path)) && self.reaches(path)
    }

    /// Does the range reach into what lies behind this path?
    pub(crate) fn reaches(&self, path: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| path > after.as_slice() || after.starts_with(path))
            && self.until.as_ref().is_none_or(|until| path < until.as_slice())
    }
}
