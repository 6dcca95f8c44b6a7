//! Native APIs that are the S3 API in other words: KS3's with `x-kss-*` headers, BOS's with `x-bce-*` headers,
//! camelCase parameters and JSON. A request is translated when its signature has been checked, and its answer
//! is translated back. Qiniu's native API is another one: see `kodo`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde::{Deserialize, Serialize};

use super::reply::{Document, Outgoing, set, stream};
use super::{Dialect, Target};

/// In whose words a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// The dialect's own, as its rules have it.
    Own,
    /// `x-kss-*`.
    Kss,
    /// `x-bce-*` and JSON.
    Bce,
    /// `x-qn-*` and JSON.
    Kodo,
}

/// Parameters that BOS's native API writes in another way.
const PARAMETERS: [(&str, &str); 6] = [
    ("maxKeys", "max-keys"),
    ("maxParts", "max-parts"),
    ("maxUploads", "max-uploads"),
    ("keyMarker", "key-marker"),
    ("partNumberMarker", "part-number-marker"),
    ("uploadIdMarker", "upload-id-marker"),
];

impl Face {
    pub(crate) fn of(dialect: Dialect, target: &Target, headers: &HeaderMap) -> Face {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = text("authorization");
        let form = text("content-type").starts_with("multipart/form-data");
        let begins = |scheme: &str| given.starts_with(scheme);
        match dialect {
            Dialect::Ks3 if begins("KSS ") => Face::Kss,
            Dialect::Bos if begins("bce-auth-v1/") => Face::Bce,
            Dialect::Qiniu if begins("Qiniu ") || begins("QBox ") || begins("UpToken ") || form => Face::Kodo,
            Dialect::Qiniu if given.is_empty() && target.has("token") => Face::Kodo,
            _ => Face::Own,
        }
    }

    /// Answers and errors are JSON.
    pub(crate) fn speaks_json(self) -> bool {
        matches!(self, Face::Bce | Face::Kodo)
    }

    fn prefix(self) -> &'static str {
        match self {
            Face::Own => "x-amz-",
            Face::Kss => "x-kss-",
            Face::Bce => "x-bce-",
            Face::Kodo => "x-qn-",
        }
    }

    /// The request in the words of the S3 API.
    pub(crate) fn inward(self, target: &mut Target, parts: &mut Parts) {
        if self == Face::Own {
            return;
        }
        parts.headers = renamed(&parts.headers, self.prefix(), "x-amz-");
        if self != Face::Bce {
            return;
        }
        for (name, _) in &mut target.query {
            if let Some((_, other)) = PARAMETERS.iter().find(|(native, _)| native == name) {
                *name = (*other).to_owned();
            }
        }
        let decimal = parts.headers.remove("x-amz-content-crc32");
        let value = decimal.and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let value = value.and_then(|value| STANDARD.encode(value.to_be_bytes()).parse().ok());
        if let Some(value) = value {
            parts.headers.insert("x-amz-checksum-crc32", value);
        }
    }

    /// The answer in the words of the native API.
    pub(crate) fn outward(self, response: &mut Response<Outgoing>) {
        if self == Face::Own {
            return;
        }
        *response.headers_mut() = renamed(response.headers(), "x-amz-", self.prefix());
        if self != Face::Bce {
            return;
        }
        let sum = response.headers_mut().remove("x-bce-checksum-crc32");
        let raw = sum.and_then(|sum| STANDARD.decode(sum.as_bytes()).ok());
        if let Some(bytes) = raw.and_then(|raw| <[u8; 4]>::try_from(raw).ok()) {
            set(response, "x-bce-content-crc32", &u32::from_be_bytes(bytes).to_string());
        }
        if response.extensions_mut().remove::<Document>().is_some() {
            let text = as_json(&String::from_utf8_lossy(response.body().bytes()));
            set(response, "content-type", "application/json; charset=utf-8");
            *response.body_mut() = stream(text.into(), false);
        }
    }
}

/// All headers that begin with `from` begin with `to`.
fn renamed(headers: &HeaderMap, from: &str, to: &str) -> HeaderMap<HeaderValue> {
    let mut out = HeaderMap::new();
    for (name, value) in headers {
        let other = name.as_str().strip_prefix(from).map(|rest| format!("{to}{rest}"));
        let name =
            other.and_then(|other| HeaderName::from_bytes(other.as_bytes()).ok()).unwrap_or(name.clone());
        out.append(name, value.clone());
    }
    out
}

/// Every document of the S3 API that BOS's native API has too, with the names of both.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Documented {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<u32>,
    is_truncated: bool,
    contents: Vec<Entry>,
    common_prefixes: Vec<Prefix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_part_number_marker: Option<u32>,
    #[serde(rename(deserialize = "Part", serialize = "parts"))]
    parts: Vec<Part>,
    #[serde(rename(deserialize = "Upload", serialize = "uploads"))]
    uploads: Vec<Upload>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Entry {
    key: String,
    last_modified: String,
    e_tag: String,
    size: u64,
    storage_class: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Prefix {
    prefix: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Part {
    part_number: u32,
    last_modified: String,
    e_tag: String,
    size: u64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "PascalCase", serialize = "camelCase"))]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

fn as_json(xml: &str) -> String {
    let mut document: Documented = quick_xml::de::from_str(xml).unwrap_or_default();
    // JSON has ETags without quotes.
    let plain = |text: &mut String| *text = text.trim_matches('"').to_owned();
    document.e_tag.iter_mut().for_each(plain);
    document.contents.iter_mut().for_each(|entry| plain(&mut entry.e_tag));
    document.parts.iter_mut().for_each(|part| plain(&mut part.e_tag));
    serde_json::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_told_in_the_words_of_bos() {
        let xml = "<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated><NextMarker>k&amp;&#x1;</NextMarker>\
            <Contents><Key>k&amp;&#x1;</Key><ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>\
            <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>";
        let value: serde_json::Value = serde_json::from_str(&as_json(xml)).unwrap();
        assert_eq!(value["nextMarker"], "k&\u{1}");
        assert_eq!(value["isTruncated"], true);
        assert_eq!((&value["contents"][0]["eTag"], &value["contents"][0]["size"]), (&"e".into(), &3.into()));
        assert_eq!(value["commonPrefixes"][0]["prefix"], "p/");
    }
}
