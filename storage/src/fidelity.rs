//! What travels with an object beside its bytes: which type of endpoint reads and writes which property, in
//! which form, and within which limits.
//!
//! One table ([`table`]) says it; the adapters encode by it, and `docs/fidelity.md` is written from it. What a
//! type cannot hold as it was is never dropped in silence: a write answers with a note on each such thing
//! (`Written::not_carried`), which begins with the property's name, so that notes can be counted.

mod encode;
#[cfg(test)]
mod page;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use conf::Endpoint;
use conf::job::EndpointType;

pub use encode::{Names, Values, percent, rfc_2047, rfc_5987, rfc_6266, text_of};

use crate::meta::Headers;

/// Something that belongs to an object beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Property {
    /// `Content-Type`.
    ContentType,
    /// `Content-Encoding`; the bytes stay encoded.
    ContentEncoding,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Cache-Control`.
    CacheControl,
    /// `Expires`.
    Expires,
    /// What the owner wrote beside the object, by name.
    Metadata,
    /// When the source's object was changed last.
    LastModified,
    /// Storage class, tier.
    StorageClass,
    /// Tags.
    Tags,
    /// The canned access control list.
    Acl,
    /// An object that names another one.
    Symlink,
    /// A key that ends in `/` and has no content.
    DirectoryMarker,
}

/// What a type does with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It has no such thing.
    No,
    /// Always.
    Yes,
    /// Always, in this form.
    As(&'static str),
    /// Where the job asks for it with this key.
    Asked(&'static str),
}

/// One type of endpoint.
#[derive(Debug)]
pub struct Service {
    /// As job files name it.
    pub kind: EndpointType,
    /// For messages and documents.
    pub name: &'static str,
    /// What is learnt of a source's object.
    pub read: &'static [(Property, Way)],
    /// What is kept of it at a destination.
    pub write: &'static [(Property, Way)],
    /// Of user metadata, where it has any.
    pub metadata: Option<Metadata>,
    /// Of tags, where they are written.
    pub tags: Option<Tags>,
}

/// The rules of user metadata.
#[derive(Debug, Clone, Copy)]
pub struct Metadata {
    /// Before each name on the wire.
    pub prefix: &'static str,
    /// Bytes of all names and values at most.
    pub most: usize,
    /// Bytes of one name and its value at most.
    pub each: usize,
    /// Which names there are.
    pub names: Names,
    /// How a value travels that is not plain ASCII.
    pub values: Values,
    /// Runs of spaces are signed as one, so that a value with such a run has to be encoded (Amazon S3 API
    /// reference, "Create a canonical request").
    pub one_space: bool,
}

/// The rules of tags.
#[derive(Debug, Clone, Copy)]
pub struct Tags {
    /// Tags at most.
    pub most: usize,
    /// Characters of a name at most.
    pub name: usize,
    /// Characters of a value at most.
    pub value: usize,
    /// Beside letters, digits and spaces.
    pub signs: &'static str,
}

/// What is written, and notes on what is not carried as it was.
pub type Carried = (Vec<(String, String)>, Vec<String>);

/// The content headers by their names on the wire.
pub const HEADERS: [(Property, &str); 6] = [
    (Property::ContentType, "content-type"),
    (Property::ContentEncoding, "content-encoding"),
    (Property::ContentLanguage, "content-language"),
    (Property::ContentDisposition, "content-disposition"),
    (Property::CacheControl, "cache-control"),
    (Property::Expires, "expires"),
];

/// The row of a type.
pub fn of(kind: EndpointType) -> &'static Service {
    let row = table::SERVICES.iter().find(|service| service.kind == kind);
    row.copied().unwrap_or(&table::S3)
}

/// The row of an endpoint: not every service that speaks S3 has Amazon's rules of metadata.
pub(crate) fn at(endpoint: &Endpoint) -> &'static Service {
    match (endpoint.kind, &*endpoint.provider) {
        (EndpointType::S3, "obs") => &table::S3_AT_OBS,
        (EndpointType::S3, "tos" | "gcs") => &table::S3_AT_OTHERS,
        (kind, _) => of(kind),
    }
}

// === impl Property ===

impl Property {
    /// In the order of the documents.
    pub const ALL: [Property; 13] = [
        Property::ContentType,
        Property::ContentEncoding,
        Property::ContentLanguage,
        Property::ContentDisposition,
        Property::CacheControl,
        Property::Expires,
        Property::Metadata,
        Property::LastModified,
        Property::StorageClass,
        Property::Tags,
        Property::Acl,
        Property::Symlink,
        Property::DirectoryMarker,
    ];

    /// As notes begin, and as they are counted.
    pub fn name(self) -> &'static str {
        match self {
            Property::ContentType => "content-type",
            Property::ContentEncoding => "content-encoding",
            Property::ContentLanguage => "content-language",
            Property::ContentDisposition => "content-disposition",
            Property::CacheControl => "cache-control",
            Property::Expires => "expires",
            Property::Metadata => "metadata",
            Property::LastModified => "last-modified",
            Property::StorageClass => "storage-class",
            Property::Tags => "tags",
            Property::Acl => "acl",
            Property::Symlink => "symlink",
            Property::DirectoryMarker => "directory-marker",
        }
    }
}

/// What a note is about; by it notes are counted.
pub fn subject(note: &str) -> &'static str {
    let word = note.split([' ', ':']).next().unwrap_or_default();
    Property::ALL.iter().map(|property| property.name()).find(|name| *name == word).unwrap_or("other")
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Service ===

impl Service {
    /// What is learnt of it at a source.
    pub fn reads(&self, property: Property) -> Way {
        find(self.read, property)
    }

    /// What is kept of it at a destination.
    pub fn writes(&self, property: Property) -> Way {
        find(self.write, property)
    }

    /// Content headers and user metadata as this type takes them, and notes on what changes or stays behind.
    /// An error where the metadata is more than it takes: nothing of the object is to be written then.
    pub fn encode(&self, headers: &Headers) -> Result<Carried, String> {
        let (mut out, mut notes) = (Vec::new(), self.lost(headers));
        for ((property, name), value) in HEADERS.into_iter().zip(headers.content()) {
            if let Some(value) = value.filter(|_| self.writes(property) != Way::No) {
                out.extend(self.content(name, value, &mut notes));
            }
        }
        if let Some(metadata) = &self.metadata {
            metadata.encode(self.name, &headers.user, &mut out, &mut notes)?;
        }
        Ok((out, notes))
    }

    /// Notes on what is not carried as it is, without the rest.
    pub fn notes(&self, headers: &Headers, tags: &[(String, String)]) -> Vec<String> {
        let mut notes =
            self.encode(headers).map_or_else(|why| vec![format!("metadata: {why}")], |(_, notes)| notes);
        if !tags.is_empty() {
            notes.extend(self.encode_tags(tags).1);
        }
        notes
    }

    /// Notes on what this type has no place for at all.
    pub fn lost(&self, headers: &Headers) -> Vec<String> {
        let mut notes = Vec::new();
        for ((property, name), value) in HEADERS.into_iter().zip(headers.content()) {
            if let Some(value) = value.filter(|_| self.writes(property) == Way::No) {
                notes.push(format!("{name} {value:?}: {} has no place for it", self.name));
            }
        }
        if self.metadata.is_none() {
            notes.extend(self.homeless(&headers.user));
        }
        notes
    }

    /// One content header on the wire.
    fn content(&self, name: &str, value: &str, notes: &mut Vec<String>) -> Option<(String, String)> {
        let one_space = self.metadata.is_some_and(|metadata| metadata.one_space);
        let value = match value {
            plain if encode::is_plain(plain, one_space) => plain.to_owned(),
            spaced if encode::is_printable(spaced) => {
                notes.push(format!("{name}: spaces are written as one"));
                spaced.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            }
            other => match rfc_6266(other).filter(|_| name == "content-disposition") {
                Some(written) => {
                    notes.push(format!("{name}: what is not ASCII in it is written as RFC 8187 says"));
                    written
                }
                None => {
                    notes.push(format!("{name}: it is not printable ASCII, which signed headers must be"));
                    return None;
                }
            },
        };
        Some((name.to_owned(), value))
    }

    /// One note on user metadata that there is no place for. The source's time is kept in another way.
    fn homeless(&self, user: &[(String, String)]) -> Option<String> {
        let names: Vec<&str> = user.iter().map(|(name, _)| name.as_str()).filter(|n| *n != "mtime").collect();
        let kind = self.name;
        (!names.is_empty()).then(|| format!("metadata {}: {kind} has no place for it", names.join(", ")))
    }

    /// Tags as this type takes them, URL-encoded as in a form, and notes.
    pub fn encode_tags(&self, tags: &[(String, String)]) -> (Option<String>, Vec<String>) {
        let kind = self.name;
        let Some(rule) = &self.tags else {
            let lost = (!tags.is_empty()).then(|| format!("tags: {kind} has no place for them"));
            return (None, lost.into_iter().collect());
        };
        let (mut pairs, mut notes) = (Vec::new(), Vec::new());
        for (name, value) in tags {
            match rule.refuses(name, value) {
                Some(why) => notes.push(format!("tags {name}: {kind} {why}")),
                None if pairs.len() == rule.most => {
                    notes.push(format!("tags {name}: {kind} takes {} at most", rule.most));
                }
                None => pairs.push(format!("{}={}", percent(name), percent(value))),
            }
        }
        ((!pairs.is_empty()).then(|| pairs.join("&")), notes)
    }
}

fn find(list: &[(Property, Way)], property: Property) -> Way {
    list.iter().find(|(known, _)| *known == property).map_or(Way::No, |(_, way)| *way)
}

// === impl Tags ===

impl Tags {
    fn refuses(&self, name: &str, value: &str) -> Option<String> {
        let fits =
            |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || self.signs.contains(c));
        if name.is_empty() || name.chars().count() > self.name || value.chars().count() > self.value {
            return Some(format!(
                "takes names up to {} and values up to {} characters",
                self.name, self.value
            ));
        }
        (!fits(name) || !fits(value)).then(|| format!("takes letters, digits, spaces and {}", self.signs))
    }
}

// === impl Headers ===

impl Headers {
    /// The content headers in the order of [`HEADERS`].
    pub fn content(&self) -> [Option<&str>; 6] {
        [
            self.content_type.as_deref(),
            self.content_encoding.as_deref(),
            self.content_language.as_deref(),
            self.content_disposition.as_deref(),
            self.cache_control.as_deref(),
            self.expires.as_deref(),
        ]
    }
}
