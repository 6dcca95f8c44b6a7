//! URLs of a list: put together from its columns, and resolved after a redirect. Paths travel as they are
//! written: only what a URL cannot hold is encoded, what is encoded already stays (RFC 3986, 2.1 and 3.3), and
//! dot segments are not removed.

use std::net::Ipv6Addr;

use http::Uri;

/// The begin of a URL, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base<'a> {
    text: &'a str,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Host and port.
    pub(crate) authority: &'a str,
    /// What follows the host: the begin of path and query.
    rest: &'a str,
}

impl<'a> Base<'a> {
    /// Takes it as a list writes it; `http` where there is no scheme. The error never repeats a password.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let (scheme, after) = match text.split_once("://") {
            Some((scheme, after)) if scheme.eq_ignore_ascii_case("http") => ("http", after),
            Some((scheme, after)) if scheme.eq_ignore_ascii_case("https") => ("https", after),
            // A path may hold any text.
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
                return Err("its URL has another scheme than http and https".to_owned());
            }
            _ => ("http", text),
        };
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        check_authority(authority)?;
        Ok(Base { text, scheme, authority, rest })
    }

    /// Scheme and host as they are written.
    pub(crate) fn domain(&self) -> &'a str {
        &self.text[..self.text.len() - self.rest.len()]
    }

    /// Where the path of a whole URL begins, behind the slash.
    pub(crate) fn path_begins(&self) -> usize {
        self.text.len() - self.rest.len() + usize::from(self.rest.starts_with('/'))
    }

    /// The URL of what stands here under `path`.
    pub(crate) fn uri(&self, path: &[u8]) -> Result<Uri, String> {
        let mut target = String::with_capacity(self.rest.len() + path.len() + 1);
        let first = self.rest.bytes().next().or(path.first().copied());
        // The path must not become a part of the host.
        if first != Some(b'/') {
            target.push('/');
        }
        encode(&mut target, self.rest.as_bytes());
        encode(&mut target, path);
        join(self.scheme, self.authority, &target)
    }
}

fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err(
            "its URL has a user name or password in it, which is not sent: put the objects where they \
                    can be read without"
                .to_owned(),
        );
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("its URL has no host".to_owned());
    }
    if !host.is_ascii() {
        return Err("the host of its URL is not ASCII: write it as xn--…".to_owned());
    }
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse().is_ok_and(|n: u16| n > 0)
    }) {
        return Err("the port of its URL is no number from 1 to 65535".to_owned());
    }
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match v6 {
        Some(v6) if v6.parse::<Ipv6Addr>().is_ok() => Ok(()),
        None if host.chars().all(name) && host != "." => Ok(()),
        _ => Err("the host of its URL is none".to_owned()),
    }
}

fn join(scheme: &str, authority: &str, target: &str) -> Result<Uri, String> {
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build();
    uri.map_err(|error| format!("it makes no URL: {error}"))
}

/// The bytes that a path or query may hold stay (RFC 3986: pchar, `/`, `?`), and `%` before two hex digits.
fn encode(out: &mut String, bytes: &[u8]) {
    for (at, byte) in bytes.iter().enumerate() {
        let escape = || {
            let digits = bytes.get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte))
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
            | b'/' | b'?' => out.push(char::from(*byte)),
            b'%' if escape() => out.push('%'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Where a redirect from `base` leads (RFC 3986, 5.2).
pub(crate) fn resolve(base: &Uri, location: &str) -> Result<Uri, String> {
    let location = location.trim();
    let location = location.split_once('#').map_or(location, |(before, _)| before);
    let scheme = base.scheme_str().unwrap_or("http");
    let absolute = location.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?']));
    if absolute {
        return Base::parse(location)?.uri(b"");
    }
    if location.starts_with("//") {
        return Base::parse(&format!("{scheme}:{location}"))?.uri(b"");
    }
    let authority = base.authority().map(ToString::to_string).unwrap_or_default();
    let path = match location.chars().next() {
        None => return Err("it leads nowhere".to_owned()),
        Some('/') => location.to_owned(),
        Some('?') => format!("{}{location}", base.path()),
        Some(_) => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{location}"))
        }
    };
    let mut target = String::new();
    encode(&mut target, path.as_bytes());
    join(scheme, &authority, &target)
}

/// A path that was put together from two, without `.` and `..`.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(prefix: &str, path: &str) -> String {
        Base::parse(prefix).unwrap().uri(path.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn only_what_is_illegal_is_encoded() {
        assert_eq!(uri("http://h/", "a b/ü#[x].txt"), "http://h/a%20b/%C3%BC%23%5Bx%5D.txt");
        assert_eq!(uri("http://h/", "%E4%b8/100%/%zz/%4"), "http://h/%E4%b8/100%25/%25zz/%254");
        assert_eq!(uri("http://h/d/", "../a/./b//c\\d?x=1&y=|"), "http://h/d/../a/./b//c%5Cd?x=1&y=%7C");
        assert_eq!(uri("https://h/get?file=", "a b.txt"), "https://h/get?file=a%20b.txt");
    }

    #[test]
    fn a_path_never_becomes_a_part_of_the_host() {
        assert_eq!(uri("http://h", "evil.example/a"), "http://h/evil.example/a");
        assert_eq!(uri("http://h", "@evil.example/a"), "http://h/@evil.example/a");
        assert_eq!(uri("http://h:81", "/a"), "http://h:81/a");
        assert_eq!(uri("[::1]:80/", "a"), "http://[::1]:80/a");
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let base: Uri = "http://h:81/a/b/c?q=1".parse().unwrap();
        for (location, there) in [
            ("https://x/y z", "https://x/y%20z"),
            ("//x/y", "http://x/y"),
            ("/d%2Fe", "http://h:81/d%2Fe"),
            ("d", "http://h:81/a/b/d"),
            ("../d?x=/../", "http://h:81/a/d?x=/../"),
            ("..", "http://h:81/a/"),
            ("?z", "http://h:81/a/b/c?z"),
            ("http://x#part", "http://x/"),
            ("/to?url=http://y/", "http://h:81/to?url=http://y/"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().to_string(), there, "{location}");
        }
        for bad in ["", "ftp://x/", "http://u:p@x/", "file:///etc/passwd"] {
            assert!(resolve(&base, bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_path_makes_a_url_that_decodes_to_it(path in proptest::collection::vec(1u8.., 1..60)) {
            let made = Base::parse("http://h/d/").unwrap().uri(&path).unwrap();
            let target = made.path_and_query().unwrap().as_str();
            prop_assert!(target.is_ascii() && target.starts_with("/d/"));
            // Where nothing was encoded before, decoding gives what was written.
            if !path.contains(&b'%') {
                let back: Vec<u8> = percent_encoding::percent_decode_str(&target[3..]).collect();
                prop_assert_eq!(back, path);
            }
        }
    }
}
