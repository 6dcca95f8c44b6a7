//! A list of URLs as a source: it says itself where the objects are.

use super::endpoint::{Side, proxy};
use super::host::Host;
use super::reader::Reader;
use crate::job::Endpoint;

/// The keys that count for it; nothing where it cannot be compared with the other end.
pub(super) fn check(read: &mut Reader<'_>, side: Side, end: &mut Endpoint) -> Option<()> {
    let section = side.section();
    if side == Side::Destination {
        read.bad(section, "type", "is \"http\", which can only be read: choose another destination");
        return None;
    }
    let given = read.text(section, "key_list").unwrap_or_default();
    let address = given.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    end.key_list = match address {
        Some((scheme, rest)) if scheme == "http" || scheme == "https" => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if host.contains('@') {
                // It may hold a password: it is not repeated.
                read.bad(section, "key_list", "has a user name or password in it, which would be sent, logged and shown: put the list where it can be read without, or save it to a file and name that");
            } else if let Err(what) = Host::parse(host) {
                read.bad(section, "key_list", &what);
            }
            Some(std::path::PathBuf::from(&given))
        }
        _ => read.path(section, "key_list"),
    };
    if end.key_list.is_none() && given.is_empty() {
        let message = "the source has no list of URLs: add key_list = \"/...\" below [source]";
        read.missing(section, "key_list", message);
    }
    end.prefix_column = read.small(section, "prefix_column", 1, 1000, end.prefix_column);
    end.path_column = read.small(section, "path_column", 1, 1000, end.path_column);
    end.domain_requests_per_s = read.count(section, "domain_requests_per_s").unwrap_or(0);
    end.ca_file = read.path(section, "ca_file");
    end.proxy = proxy(read, section).unwrap_or_default();
    Some(())
}
