//! The documents that go back and forth.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Dialect;
use super::reply::Failure;

/// What a request says: XML, or the JSON of a native API.
pub(crate) fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, Failure> {
    if data.starts_with(b"{") {
        return serde_json::from_slice(data)
            .map_err(|_| Failure::new(400, "MalformedJSON", "The JSON you provided was not well-formed."));
    }
    quick_xml::de::from_str(&String::from_utf8_lossy(data))
        .map_err(|_| Failure::new(400, "MalformedXML", "The XML you provided was not well-formed."))
}

/// A time in a document; KS3 writes it with its offset.
pub(crate) fn listed_time(dialect: Dialect, time: Timestamp) -> String {
    match dialect.rules().hours {
        0 => time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        hours => {
            let local = time + SignedDuration::from_hours(hours.into());
            format!("{}+{hours:02}:00", local.strftime("%Y-%m-%dT%H:%M:%S.000"))
        }
    }
}

/// Text for an element; what XML 1.0 cannot hold becomes a character reference, as the services write it.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push_str(&format!("&#x{:X};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// `<name>text</name>`.
pub(crate) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// A document with its root.
pub(crate) fn document(root: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>{inner}</{root}>")
}

pub(crate) fn error(
    code: &str,
    message: &str,
    id: &str,
    bucket: &str,
    extra: &[(&'static str, String)],
) -> String {
    let mut inner = element("Code", code) + &element("Message", message) + &element("RequestId", id);
    inner += &element("HostId", &format!("{bucket}.test"));
    for (name, value) in extra {
        inner += &element(name, value);
    }
    document("Error", &inner)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Completion {
    #[serde(alias = "parts")]
    pub(crate) part: Vec<CompletedPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CompletedPart {
    #[serde(alias = "partNumber")]
    pub(crate) part_number: u32,
    #[serde(rename = "ETag", alias = "eTag", alias = "etag")]
    pub(crate) etag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Deletion {
    pub(crate) quiet: bool,
    #[serde(alias = "objects")]
    pub(crate) object: Vec<DeletedObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeletedObject {
    #[serde(alias = "key")]
    pub(crate) key: String,
}
