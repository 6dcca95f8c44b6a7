//! The documents that go back and forth.

use serde::Deserialize;

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
    pub(crate) part: Vec<CompletedPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CompletedPart {
    pub(crate) part_number: u32,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Deletion {
    pub(crate) quiet: bool,
    pub(crate) object: Vec<DeletedObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeletedObject {
    pub(crate) key: String,
}
