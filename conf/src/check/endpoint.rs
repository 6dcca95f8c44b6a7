//! One end of a job: which keys count for its type, the address, the bucket, the prefix, the credentials.

use super::azure;
use super::host::Host;
use super::reader::Reader;
use super::vendor;
use crate::job::{Addressing, Endpoint, EndpointType};
use crate::raw::Given;

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// Keys that only a destination has a use for.
const WRITING: [&str; 5] =
    ["storage_class", "server_side_encryption", "kms_key_id", "acl", "forbid_overwrite"];
/// Keys that only a source has a use for.
const READING: [&str; 9] = [
    "key_list",
    "follow_symlinks",
    "cdn_domain",
    "prefix_column",
    "path_column",
    "domain_requests_per_s",
    "on_archived",
    "restore_tier",
    "restore_days",
];
/// What UPYUN has no use for: one region, one way to sign, one class.
const NOT_YOUPAI: [&str; 7] = [
    "region",
    "session_token",
    "anonymous",
    "addressing",
    "storage_class",
    "server_side_encryption",
    "kms_key_id",
];
/// All that counts for a directory.
const LOCAL: [&str; 7] =
    ["type", "path", "prefix", "follow_symlinks", "key_list", "list_page", "forbid_overwrite"];
/// All that counts for a list of URLs: it says itself where the objects are.
const HTTP: [&str; 7] =
    ["type", "key_list", "prefix_column", "path_column", "domain_requests_per_s", "ca_file", "proxy"];

impl Side {
    pub(crate) fn section(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Destination => "destination",
        }
    }
}

/// Does the key count for an endpoint of this type on this side?
pub(crate) fn counts(side: Side, kind: EndpointType, name: &str) -> bool {
    let side_fits = match side {
        Side::Source => !WRITING.contains(&name),
        Side::Destination => !READING.contains(&name),
    };
    let kind_fits = match name {
        "path" | "follow_symlinks" => kind == EndpointType::Local,
        "signature_version" => kind == EndpointType::Oss,
        "provider" => kind == EndpointType::S3,
        "acl" => !kind.canned_acls().is_empty(),
        "on_archived" | "restore_tier" | "restore_days" => {
            !matches!(kind, EndpointType::Local | EndpointType::Youpai | EndpointType::Http)
        }
        "sas_token" | "connection_string" => kind == EndpointType::Azure,
        // Every blob is encrypted, by the account's or the container's own setting.
        "region" | "session_token" | "addressing" | "server_side_encryption" | "kms_key_id"
            if kind == EndpointType::Azure =>
        {
            false
        }
        "cdn_domain" => kind == EndpointType::Youpai,
        _ if kind == EndpointType::Youpai => !NOT_YOUPAI.contains(&name),
        "prefix_column" | "path_column" | "domain_requests_per_s" => kind == EndpointType::Http,
        _ if kind == EndpointType::Http => HTTP.contains(&name),
        _ => kind != EndpointType::Local || LOCAL.contains(&name),
    };
    side_fits && kind_fits
}

/// The endpoint, or nothing when so much is wrong that it makes no sense to compare it with the other end.
pub(super) fn check(read: &mut Reader<'_>, side: Side) -> Option<Endpoint> {
    let kind = kind(read, side)?;
    idle_keys(read, side, kind);
    let mut end = Endpoint { kind, ..Endpoint::default() };
    let section = side.section();
    let used = |name: &str| counts(side, kind, name);
    if kind == EndpointType::Http {
        super::web_list::check(read, side, &mut end)?;
        return Some(end);
    }
    if kind == EndpointType::Local {
        end.prefix = prefix(read, side, kind);
        end.path = directory(read, side)?;
    } else if kind == EndpointType::Azure {
        azure::check(read, side, &mut end)?;
    } else {
        service(read, side, &mut end)?;
        credentials(read, section, &mut end);
    }
    if used("follow_symlinks") {
        end.follow_symlinks = read.switch(section, "follow_symlinks").unwrap_or(false);
    }
    if used("key_list") {
        end.key_list = read.path(section, "key_list");
    }
    match side {
        Side::Destination if kind == EndpointType::Local => {
            end.forbid_overwrite = read.switch(section, "forbid_overwrite").unwrap_or(false);
        }
        Side::Destination => writing(read, &mut end),
        Side::Source => {}
    }
    if used("cdn_domain") {
        end.cdn_domain = cdn_domain(read, section).unwrap_or_default();
    }
    end.list_page = read.small(section, "list_page", 1, 1000, end.list_page);
    if used("on_archived") {
        super::archived::check(read, &mut end);
    }
    Some(end)
}

fn kind(read: &mut Reader<'_>, side: Side) -> Option<EndpointType> {
    let section = side.section();
    let words: Vec<(&str, EndpointType)> =
        EndpointType::NAMES.iter().map(|(kind, name)| (*name, *kind)).collect();
    if read.raw.get(section, "type").is_some_and(|given| !given.is_empty()) {
        return read.choice(section, "type", &words);
    }
    if side == Side::Destination {
        return Some(EndpointType::Oss);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let message =
        format!("the source has no type: add type = \"...\" below [source], one of {}", names.join(", "));
    read.missing(section, "type", &message);
    None
}

/// Keys that were given and do nothing here.
fn idle_keys(read: &mut Reader<'_>, side: Side, kind: EndpointType) {
    let section = side.section();
    let idle: Vec<(&str, bool)> = read
        .raw
        .keys()
        .filter(|(given, name, _)| *given == section && !counts(side, kind, name))
        .map(|(_, name, given)| (name, given.is_empty()))
        .collect();
    for (name, empty) in idle {
        match name {
            _ if empty => {}
            "path" => read.bad(section, name, &format!("is the directory of type \"local\", but the type is {:?}: write type = \"local\", or remove path", kind.name())),
            "bucket" | "endpoint" if kind == EndpointType::Local => read.odd(section, name, "does not count for type \"local\": remove it, or write another type"),
            _ => read.odd(section, name, &format!("does nothing for a {section} of type {:?}: remove it", kind.name())),
        }
    }
}

fn directory(read: &mut Reader<'_>, side: Side) -> Option<std::path::PathBuf> {
    let section = side.section();
    let path = read.path(section, "path");
    if path.is_none() && read.raw.get(section, "path").is_none_or(|given| given.is_empty()) {
        let message = format!("the {section} has no directory: add path = \"/...\" below [{section}]");
        read.missing(section, "path", &message);
    }
    path
}

fn service(read: &mut Reader<'_>, side: Side, end: &mut Endpoint) -> Option<()> {
    let section = side.section();
    let words = [("auto", Addressing::Auto), ("path", Addressing::Path), ("virtual", Addressing::Virtual)];
    end.addressing = read.choice(section, "addressing", &words).unwrap_or(Addressing::Auto);
    let version = read.small(section, "signature_version", 1, 4, 4);
    if end.kind == EndpointType::Oss {
        end.signature_version = signature_version(read, section, version);
    }
    if end.kind == EndpointType::S3 {
        end.provider = vendor::provider(read, section);
    }
    end.ca_file = read.path(section, "ca_file");
    end.proxy = proxy(read, section).unwrap_or_default();
    end.prefix = prefix(read, side, end.kind);
    let bucket = bucket(read, section, end.kind);
    end.bucket = bucket.clone().unwrap_or_default();
    end.region = read.text(section, "region").unwrap_or_default();
    let host = address(read, section, end);
    bucket?;
    let host = host?;
    end.endpoint = host.url();
    holds_bucket(read, section, end, &host)?;
    region(read, section, end, &host);
    vendor::bucket(read, section, end, &host);
    Some(())
}

fn cdn_domain(read: &mut Reader<'_>, section: &str) -> Option<String> {
    let domain = read.text(section, "cdn_domain").filter(|domain| !domain.is_empty())?;
    Host::parse(domain.trim())
        .map(|host| host.url())
        .map_err(|what| read.bad(section, "cdn_domain", &what))
        .ok()
}

fn signature_version(read: &mut Reader<'_>, section: &str, version: u32) -> u8 {
    match version {
        1 => 1,
        4 => 4,
        _ => {
            read.bad(section, "signature_version", "is neither 1 nor 4: remove it for 4, the current one");
            4
        }
    }
}

/// The address, as it is given or as the region says it.
fn address(read: &mut Reader<'_>, section: &str, end: &Endpoint) -> Option<Host> {
    let text = vendor::address(read, section, end)?;
    if text.is_empty() {
        let message = format!(
            "the {section} has no endpoint: add endpoint = \"https://...\" below [{section}], the address of the service without the bucket"
        );
        read.missing(section, "endpoint", &message);
        return None;
    }
    Host::parse(&text).map_err(|what| read.bad(section, "endpoint", &what)).ok()
}

fn region(read: &mut Reader<'_>, section: &str, end: &mut Endpoint, host: &Host) {
    vendor::settle(end, host);
    let named = host.region(end.kind);
    match named {
        Some(named) if end.region.is_empty() => end.region = named,
        Some(named) if named != end.region => {
            let what = format!(
                "is {:?}, but the endpoint {} is in {named:?}: remove the wrong one",
                end.region, host.name
            );
            read.bad(section, "region", &what);
        }
        Some(_) => {}
        None if !end.region.is_empty() => {}
        None if end.kind == EndpointType::S3 => {
            end.region = crate::address::usual_region(&end.provider).to_owned();
        }
        None if needs_region(end) => {
            let message = format!(
                "the {section} has no region and {} does not say it; {}: add region = \"...\" below [{section}]",
                host.name,
                crate::address::known_regions(end.kind)
            );
            read.missing(section, "region", &message);
        }
        None => {}
    }
}

/// Its signatures hold the region.
fn needs_region(end: &Endpoint) -> bool {
    match end.kind {
        EndpointType::Oss => end.signature_version == 4,
        EndpointType::Bos | EndpointType::Ks3 | EndpointType::Qiniu => !end.anonymous,
        _ => false,
    }
}

fn holds_bucket(read: &mut Reader<'_>, section: &str, end: &Endpoint, host: &Host) -> Option<()> {
    let rest = host.name.strip_prefix(&format!("{}.", end.bucket.to_ascii_lowercase()));
    if let Some(rest) = rest
        && !end.bucket.is_empty()
        && end.addressing != Addressing::Path
        && !host.is_plain()
        && end.kind != EndpointType::Youpai
    {
        let what = format!(
            "begins with the bucket ({}): write the address without it, {}://{rest}; if the host really has that name, add addressing = \"path\"",
            end.bucket, host.scheme
        );
        read.bad(section, "endpoint", &what);
        return None;
    }
    Some(())
}

fn bucket(read: &mut Reader<'_>, section: &str, kind: EndpointType) -> Option<String> {
    let bucket = read.text(section, "bucket");
    let Some(bucket) = bucket.filter(|bucket| !bucket.is_empty()) else {
        if read.raw.get(section, "bucket").is_none_or(|given| given.is_empty()) {
            let message = format!("the {section} has no bucket: add bucket = \"...\" below [{section}]");
            read.missing(section, "bucket", &message);
        }
        return None;
    };
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let oss = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| small(c) || c == '-')
        && bucket.starts_with(small)
        && bucket.ends_with(small);
    let any = bucket.len() <= 255
        && bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let what = if bucket.contains('/') {
        "has a slash in it: the bucket's name alone stands here, the rest belongs into prefix"
    } else if kind == EndpointType::Oss && !oss {
        "is no name of an OSS bucket: 3 to 63 lower-case letters, digits and -, with a letter or digit at both ends"
    } else if !any || bucket.starts_with('.') {
        "is no name of a bucket: letters, digits, - _ and ."
    } else {
        return Some(bucket);
    };
    read.bad(section, "bucket", &format!("is {bucket:?}, which {what}").replace("which is no", "no"));
    None
}

pub(super) fn prefix(read: &mut Reader<'_>, side: Side, kind: EndpointType) -> String {
    let section = side.section();
    let prefix = read.text(section, "prefix").unwrap_or_default();
    if prefix.is_empty() {
        return prefix;
    }
    if prefix.len() > 1023 {
        read.bad(section, "prefix", "is longer than 1023 bytes: no key can begin with it");
    }
    let inner = prefix.strip_suffix('/').unwrap_or(&prefix);
    if matches!(kind, EndpointType::Local | EndpointType::Youpai)
        && inner.split('/').any(|segment| matches!(segment, "" | "." | ".."))
    {
        read.bad(
            section,
            "prefix",
            "is no way below a directory: no slash in front, no empty parts, no . and no .. in it",
        );
        return prefix;
    }
    let slash = prefix.starts_with('/') || prefix.starts_with('\\');
    match side {
        Side::Destination if slash && matches!(kind, EndpointType::Oss | EndpointType::Cos) => {
            let bare = prefix.trim_start_matches(['/', '\\']);
            read.bad(
                section,
                "prefix",
                &format!("begins with a slash, which the service refuses in keys: write {bare:?}"),
            );
        }
        _ if slash => {
            read.odd(
                section,
                "prefix",
                "begins with a slash, which is then part of every key: remove it if the keys do not begin so",
            );
        }
        _ => {}
    }
    if !prefix.ends_with('/') {
        let near = format!("{prefix}2/x");
        let what = match side {
            Side::Source => format!(
                "does not end in a slash, so that it also matches {near:?}: write {:?} for the directory alone",
                format!("{prefix}/")
            ),
            Side::Destination => format!(
                "does not end in a slash: the key \"x\" becomes {:?}; write {:?} for a directory",
                format!("{prefix}x"),
                format!("{prefix}/")
            ),
        };
        read.odd(section, "prefix", &what);
    }
    prefix
}

fn credentials(read: &mut Reader<'_>, section: &str, end: &mut Endpoint) {
    end.access_key = read.secret(section, "access_key");
    end.secret_key = read.secret(section, "secret_key");
    end.session_token = read.secret(section, "session_token");
    end.anonymous = read.switch(section, "anonymous").unwrap_or(false);
    // A value of the wrong form was refused already; it is given all the same.
    let absent = |name: &str| read.raw.get(section, name).is_none_or(Given::is_empty);
    match (absent("access_key"), absent("secret_key")) {
        (true, false) => read.missing(section, "access_key", &format!("the {section} has a secret_key but no access_key: add it")),
        (false, true) => read.missing(section, "secret_key", &format!("the {section} has an access_key but no secret_key: add it")),
        (true, true) if end.kind == EndpointType::Youpai => read.missing(section, "access_key", &format!("the {section} has no operator: add access_key, the operator's name, and secret_key, the password, below [{section}]")),
        (true, true) if !end.session_token.is_empty() => {
            read.bad(section, "session_token", "stands alone: it belongs to an access_key and a secret_key");
        }
        (false, false) if end.anonymous => {
            read.bad(section, "anonymous", "is true, but keys are given: remove one or the other");
        }
        _ => {}
    }
}

pub(super) fn proxy(read: &mut Reader<'_>, section: &str) -> Option<String> {
    let proxy = read.text(section, "proxy").filter(|proxy| !proxy.is_empty())?;
    let rest = proxy.strip_prefix("http://").or_else(|| proxy.strip_prefix("https://"));
    let host = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
    if host.is_some_and(|host| Host::parse(host).is_ok()) {
        return Some(proxy);
    }
    // The text may hold a password: it is not repeated.
    read.bad(section, "proxy", "is no address of a proxy: write http://[user:password@]host:port");
    None
}

fn writing(read: &mut Reader<'_>, end: &mut Endpoint) {
    let section = Side::Destination.section();
    end.storage_class = read.text(section, "storage_class").unwrap_or_default();
    end.server_side_encryption = read.text(section, "server_side_encryption").unwrap_or_default();
    end.kms_key_id = read.text(section, "kms_key_id").unwrap_or_default();
    if counts(Side::Destination, end.kind, "acl") {
        end.acl = acl(read, end.kind);
    }
    end.forbid_overwrite = read.switch(section, "forbid_overwrite").unwrap_or(false);
    let known: &[&str] = match end.kind {
        EndpointType::Oss => &["AES256", "KMS", "SM4"],
        EndpointType::S3 => &["AES256", "aws:kms", "aws:kms:dsse"],
        EndpointType::Cos => &["AES256", "cos/kms"],
        EndpointType::Bos | EndpointType::Ks3 => &["AES256"],
        _ => &[],
    };
    let asked = end.server_side_encryption.as_str();
    if !asked.is_empty() && !known.is_empty() && !known.contains(&asked) {
        let what = format!("is {asked:?}: {} takes {}", end.kind.name(), known.join(", "));
        read.bad(section, "server_side_encryption", &what);
    }
    if !end.kms_key_id.is_empty() && !asked.to_ascii_lowercase().contains("kms") {
        read.bad(
            section,
            "kms_key_id",
            "is given, but server_side_encryption does not ask for KMS: write it, or remove the key",
        );
    }
    vendor::promises(read, section, end);
    let words = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !words(&end.storage_class) {
        read.bad(
            section,
            "storage_class",
            "is no name of a storage class: letters, digits, _ and -, such as IA or STANDARD_IA",
        );
    }
    if end.kind == EndpointType::Azure {
        azure::tier(read, section, end);
    }
    if has_control(&end.kms_key_id) {
        read.bad(section, "kms_key_id", "has control characters in it: remove them");
    }
}

fn acl(read: &mut Reader<'_>, kind: EndpointType) -> String {
    let words: Vec<(&str, &str)> = kind.canned_acls().iter().map(|acl| (*acl, *acl)).collect();
    if read.raw.get(Side::Destination.section(), "acl").is_none_or(Given::is_empty) {
        return String::new();
    }
    read.choice(Side::Destination.section(), "acl", &words).unwrap_or_default().to_owned()
}

fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || !c.is_ascii())
}
