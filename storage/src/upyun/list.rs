//! One page of one folder.
//!
//! The service lists a folder by an iterator, in the order of time (`x-list-order`: "ascending or descending by
//! time"; the documentation's first form said by name). Ascending is asked for: what is written meanwhile comes
//! at the end and is not missed.

use http::Method;
use serde::Deserialize;

use super::Client;
use super::request::Call;
use crate::answered::header;
use crate::error::{ErrorKind, Op, Result};
use crate::meter::RequestKind;

/// The iterator after the last page.
const END: &str = "g2gCZAAEbmV4dGQAA2VvZg";

/// Bytes of a file; sums of sizes stay numbers.
const LARGEST: u64 = 1 << 53;

/// A page, and where the next one begins.
#[derive(Debug, Default)]
pub(super) struct FolderPage {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<String>,
}

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) is_folder: bool,
    pub(super) size: u64,
    /// Unix seconds.
    pub(super) modified_s: u32,
}

#[derive(Debug, Deserialize)]
struct Answer {
    files: Vec<File>,
    #[serde(default)]
    iter: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: String,
    /// `folder`, or a MIME type.
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    length: Option<u64>,
    #[serde(default)]
    last_modified: Option<u64>,
}

impl Client {
    /// A page of the folder of this path (with the prefix; empty, or ends in `/`). `None`: there is no such folder;
    /// never in its middle.
    pub(super) async fn list_page(
        &self,
        path: &[u8],
        from: Option<&str>,
        most: u32,
    ) -> Result<Option<FolderPage>> {
        let mut call = Call::new(Op::List, RequestKind::List, Method::GET, None, path.to_vec())
            .header("accept", "application/json")
            .header("x-upyun-folder", "true")
            .header("x-list-order", "asc")
            .header("x-list-limit", &most.to_string());
        if let Some(from) = from {
            call = call.header("x-list-iter", from);
        }
        let (headers, body) = match self.send_for_body(&call).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound && from.is_some() => {
                // It was there a page ago. What was given of it is not all of it, and must not pass for it.
                let folder = String::from_utf8_lossy(path);
                let text =
                    format!("the listing of folder {folder:?} broke off in the middle: {}", error.message());
                let code = error.code().to_owned();
                let said = call.error(ErrorKind::Protocol, text);
                return Err(said.service(error.status().unwrap_or(404), code, error.request_id().to_owned()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        };
        let wrong = |why: String| {
            let folder = String::from_utf8_lossy(path);
            call.error(ErrorKind::Protocol, format!("the listing of folder {folder:?} {why}"))
        };
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| wrong(format!("is none: {error}")))?;
        let iter = answer.iter.unwrap_or_else(|| header(&headers, "x-upyun-list-iter"));
        let next = match iter.as_str() {
            END => None,
            "" if answer.files.len() < most as usize => None,
            "" => return Err(wrong("does not say whether there is more".into())),
            same if Some(same) == from => {
                return Err(wrong("stands still: the service gives the same iterator again".into()));
            }
            next => Some(next.to_owned()),
        };
        let items = answer.files.into_iter().map(|file| item(file).map_err(wrong)).collect::<Result<_>>()?;
        Ok(Some(FolderPage { items, next }))
    }
}

/// What comes is a name in this folder, or a lie.
fn item(file: File) -> std::result::Result<Item, String> {
    let File { name, kind, length, last_modified } = file;
    if name.is_empty() || name.contains('/') || name.len() > 4096 || matches!(name.as_str(), "." | "..") {
        return Err(format!("has {name:?}, which is no name"));
    }
    let is_folder = kind == "folder";
    let size = if is_folder { Some(0) } else { length.filter(|length| *length <= LARGEST) };
    let size = size.ok_or_else(|| format!("says of {name:?} no size, or one that cannot be"))?;
    let modified_s = last_modified.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
    Ok(Item { name, is_folder, size, modified_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Vec<Item>, String> {
        let answer: Answer = serde_json::from_str(text).map_err(|error| error.to_string())?;
        answer.files.into_iter().map(item).collect()
    }

    #[test]
    fn files_and_folders_are_told_apart() {
        let items = parse(
            r#"{"files":[{"type":"image\/jpeg","name":"foo.jpg","length":4237,"last_modified":1415096225},
            {"type":"folder","name":"bar","length":0,"last_modified":1415096260}],"iter":"c2Rm"}"#,
        )
        .unwrap();
        assert_eq!((items[0].size, items[0].modified_s, items[0].is_folder), (4237, 1_415_096_225, false));
        assert!(items[1].is_folder && items[1].name == "bar");
    }

    #[test]
    fn names_that_lead_elsewhere_and_impossible_sizes_are_refused() {
        for name in ["", ".", "..", "a/b", "/"] {
            let text = format!(r#"{{"files":[{{"type":"x/y","name":{name:?},"length":1}}]}}"#);
            assert!(parse(&text).unwrap_err().contains("no name"), "{name}");
        }
        assert!(parse(r#"{"files":[{"type":"x/y","name":"a"}]}"#).is_err());
        assert!(parse(r#"{"files":[{"type":"x/y","name":"a","length":18014398509481984}]}"#).is_err());
        assert!(parse(r#"{"files":[{"type":"x/y","name":"a","length":-1}]}"#).is_err());
    }
}
