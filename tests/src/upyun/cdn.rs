//! The CDN before the first bucket: gives to everybody, and gives what it gave before, whatever is there now.

use http::request::Parts;
use http::{Method, Response};

use super::reply::Failure;
use super::state::State;
use super::{Target, file};
use crate::family::reply::Outgoing;

pub(crate) fn answer(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    if target.method != Method::GET {
        return Err(Failure::new(40500000, "method not allowed"));
    }
    if parts.headers.contains_key("authorization") {
        // Whoever says this to a CDN gives his password away.
        return Err(Failure::new(40000015, "who asks is nobody's business here"));
    }
    let first = state.buckets().keys().next().cloned().unwrap_or_default();
    let there = state.file(&first, &target.path);
    let copy = match (state.copies().get(&target.path), there) {
        (Some(copy), _) => copy.clone(),
        (None, Some(file)) => file,
        (None, None) => return Err(Failure::new(40400001, "file or directory not found")),
    };
    state.copies().insert(target.path.clone(), copy.clone());
    file::given(&copy, parts)
}
