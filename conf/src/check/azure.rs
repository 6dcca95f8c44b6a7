//! An end of type azure: four ways to sign in, an address in several forms, the names of containers and tiers.

use super::endpoint::{Side, prefix, proxy};
use super::host::Host;
use super::reader::Reader;
use crate::azure::{Connection, account_of, check_sas};
use crate::job::Endpoint;
use crate::raw::Given;

/// Access tiers of block blobs, as the service writes them (Set Blob Tier).
const TIERS: [&str; 4] = ["Hot", "Cool", "Cold", "Archive"];

/// Fills in the end, or nothing when it cannot be reached in any way.
pub(super) fn check(read: &mut Reader<'_>, side: Side, end: &mut Endpoint) -> Option<()> {
    let section = side.section();
    end.ca_file = read.path(section, "ca_file");
    end.proxy = proxy(read, section).unwrap_or_default();
    end.prefix = prefix(read, side, end.kind);
    credentials(read, section, end);
    let container = container(read, section);
    end.bucket = container.clone().unwrap_or_default();
    let address = address(read, section, end);
    container?;
    end.endpoint = address?;
    Some(())
}

/// Exactly one way to sign in; what can be seen to be wrong is said before anything starts.
fn credentials(read: &mut Reader<'_>, section: &str, end: &mut Endpoint) {
    end.access_key = read.secret(section, "access_key");
    end.secret_key = read.secret(section, "secret_key");
    end.sas_token = read.secret(section, "sas_token");
    end.connection_string = read.secret(section, "connection_string");
    end.anonymous = read.switch(section, "anonymous").unwrap_or(false);
    let given: Vec<&str> = ["connection_string", "secret_key", "sas_token"]
        .into_iter()
        .filter(|name| !read.raw.get(section, name).is_none_or(Given::is_empty))
        .collect();
    if let [first, second, ..] = given[..] {
        let what = format!("stands beside {first}: keep one of them, both say how to sign in");
        read.bad(section, second, &what);
        return;
    }
    match given.first() {
        Some(_) if end.anonymous => {
            read.bad(section, "anonymous", "is true, but credentials are given: remove one or the other");
        }
        Some(&"connection_string") if !end.access_key.is_empty() => {
            read.bad(
                section,
                "access_key",
                "stands beside connection_string, which names the account: remove it",
            );
        }
        _ => {}
    }
    // What comes from a file or the environment is looked at when it is used.
    if let Ok(sas) = end.sas_token.reveal()
        && !sas.is_empty()
        && let Err(why) = check_sas(&sas, jiff::Timestamp::now().as_second())
    {
        read.bad(section, "sas_token", &why);
    }
    if end.secret_key.is_literal()
        && let Ok(key) = end.secret_key.reveal()
        && !is_base64(&key)
    {
        read.bad(
            section,
            "secret_key",
            "is no account key, which is base64: copy key1 or key2 of the account again",
        );
    }
}

fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - bare.len() <= 2
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// "Naming containers, blobs, and metadata": 3 to 63 small letters, digits and single hyphens; and the three
/// containers that the service itself names.
fn container(read: &mut Reader<'_>, section: &str) -> Option<String> {
    let Some(name) = read.text(section, "bucket").filter(|name| !name.is_empty()) else {
        if read.raw.get(section, "bucket").is_none_or(Given::is_empty) {
            let message = format!(
                "the {section} has no container: add bucket = \"...\" below [{section}], the container's name"
            );
            read.missing(section, "bucket", &message);
        }
        return None;
    };
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (3..=63).contains(&name.len())
        && name.split('-').all(|part| !part.is_empty() && part.chars().all(small));
    if good || matches!(name.as_str(), "$root" | "$web" | "$logs") {
        return Some(name);
    }
    let what = if name.contains('/') {
        "has a slash in it: the container's name alone stands here, the rest belongs into prefix".to_owned()
    } else {
        format!(
            "is {name:?}, no name of a container: 3 to 63 lower-case letters, digits and single hyphens between them"
        )
    };
    read.bad(section, "bucket", &what);
    None
}

/// `scheme://host[:port][/account]`. Empty where only a connection string says it that is not to be had here.
fn address(read: &mut Reader<'_>, section: &str, end: &Endpoint) -> Option<String> {
    let text = read.text(section, "endpoint").unwrap_or_default().trim().trim_end_matches('/').to_owned();
    if !end.connection_string.is_empty() {
        if !text.is_empty() {
            read.bad(
                section,
                "endpoint",
                "stands beside connection_string, which holds the address: remove it",
            );
        }
        return match end.connection_string.reveal() {
            Err(_) => Some(String::new()),
            Ok(string) => match Connection::parse(&string) {
                Ok(connection) => Some(connection.endpoint),
                Err(why) => {
                    read.bad(section, "connection_string", &why);
                    None
                }
            },
        };
    }
    let account = end.access_key.reveal().unwrap_or_default();
    let text = if text.is_empty() { "core.windows.net".to_owned() } else { text };
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", &text));
    if rest.contains(['?', '&']) {
        let what = "has a signature behind it: write what is behind the question mark into sas_token";
        read.bad(section, "endpoint", what);
        return None;
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match Host::parse(&format!("{scheme}://{host}")) {
        Ok(host) => host,
        Err(why) => {
            read.bad(section, "endpoint", &why);
            return None;
        }
    };
    let service = host.name.starts_with("core.") || host.name.starts_with("blob.");
    if host.name.contains(".dfs.") {
        let what = format!("is the Data Lake address: write {}", host.name.replacen(".dfs.", ".blob.", 1));
        read.bad(section, "endpoint", &what);
        return None;
    }
    if service {
        return whole(read, section, &host, &account);
    }
    let named = account_of(&host.url());
    if !path.is_empty() && (named.is_some() || path.contains('/')) {
        let what = format!(
            "has the path {path:?} behind the host: the container belongs into bucket, the rest into prefix"
        );
        read.bad(section, "endpoint", &what);
        return None;
    }
    if let Some(named) = named.filter(|named| !account.is_empty() && *named != account) {
        let what = format!(
            "is {account:?}, but the endpoint is that of the account {named:?}: remove the wrong one"
        );
        read.bad(section, "access_key", &what);
        return None;
    }
    // An emulator has the account in the path; where it was left out, it is the one that signs.
    let path = if path.is_empty() && host.is_plain() { account.as_str() } else { path };
    Some(if path.is_empty() { host.url() } else { format!("{}/{path}", host.url()) })
}

/// The account's own address, from the end that all accounts of a cloud share.
fn whole(read: &mut Reader<'_>, section: &str, host: &Host, account: &str) -> Option<String> {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if account.is_empty() {
        let message = format!(
            "the {section} has no account: add access_key = \"ACCOUNT\" below [{section}], or endpoint = \"https://ACCOUNT.blob.core.windows.net\""
        );
        read.missing(section, "access_key", &message);
        return None;
    }
    if !(3..=24).contains(&account.len()) || !account.chars().all(small) {
        let what = "is no name of a storage account: 3 to 24 lower-case letters and digits";
        read.bad(section, "access_key", what);
        return None;
    }
    let between = if host.name.starts_with("core.") { ".blob." } else { "." };
    Some(host.url().replacen("://", &format!("://{account}{between}"), 1))
}

/// The access tier as the service writes it.
pub(super) fn tier(read: &mut Reader<'_>, section: &str, end: &mut Endpoint) {
    if end.storage_class.is_empty() {
        return;
    }
    match TIERS.iter().find(|tier| tier.eq_ignore_ascii_case(&end.storage_class)) {
        Some(tier) => end.storage_class = (*tier).to_owned(),
        None => {
            let what = format!("is {:?}: azure takes {}", end.storage_class, TIERS.join(", "));
            read.bad(section, "storage_class", &what);
        }
    }
}
