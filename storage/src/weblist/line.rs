//! One line of a list: columns between ASCII white space, as the predecessor has them. Other white space (U+3000,
//! U+00A0) is a part of names.

use super::url::Base;

/// Which columns of a line count, from 1. The path begins in its column and goes on to the end of the line (or
/// to the column with the begin of the URL, where that stands behind it), so that it may hold spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// The begin of the URL.
    pub prefix: u32,
    /// The path, which is the object's key. The same column: whole URLs, and what follows the host is the key.
    pub path: u32,
}

/// The object that a line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The URL before the key, as it is written.
    pub origin: &'a str,
    /// Scheme and host of it, as they are written: what stays the same for a run of lines.
    pub domain: &'a str,
    /// As it is written: nothing is decoded.
    pub key: &'a str,
}

/// What a line names; nothing where it is blank. The error says what is wrong with it.
pub fn parse(line: &str, columns: Columns) -> Result<Option<Line<'_>>, String> {
    let line = line.trim_ascii_end();
    if line.trim_ascii_start().is_empty() {
        return Ok(None);
    }
    let count = line.split_ascii_whitespace().count();
    let begin = |column: u32| {
        column_begin(line, column)
            .ok_or_else(|| format!("it has {count} columns, and column {column} is needed"))
    };
    let (prefix, path) = (begin(columns.prefix)?, begin(columns.path)?);
    if columns.prefix == columns.path {
        let base = Base::parse(&line[prefix..])?;
        let (origin, key) = line[prefix..].split_at(base.path_begins());
        return named(origin, base.domain(), key);
    }
    let word = |from: usize| line[from..].split_ascii_whitespace().next().unwrap_or_default();
    let key = if path < prefix { line[path..prefix].trim_ascii_end() } else { &line[path..] };
    let origin = word(prefix);
    named(origin, Base::parse(origin)?.domain(), key)
}

fn named<'a>(origin: &'a str, domain: &'a str, key: &'a str) -> Result<Option<Line<'a>>, String> {
    if key.is_empty() {
        return Err("there is nothing behind the host of its URL".to_owned());
    }
    // What the two make together has to be a URL as well.
    Base::parse(origin)?.uri(key.as_bytes())?;
    Ok(Some(Line { origin, domain, key }))
}

/// Where the column begins.
fn column_begin(line: &str, column: u32) -> Option<usize> {
    let mut at = 0;
    for number in 1..=column {
        at += line[at..].find(|c: char| !c.is_ascii_whitespace())?;
        if number < column {
            at += line[at..].find(|c: char| c.is_ascii_whitespace())?;
        }
    }
    Some(at)
}

/// A line that names no object, as it may be shown: without a password that stands before a host.
pub fn shown(line: &str) -> String {
    let hide = |word: &str| {
        let (scheme, rest) = word.split_once("://").map_or(("", word), |(scheme, rest)| (scheme, rest));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match rest[..end].rfind('@') {
            Some(at) if scheme.is_empty() => format!("***{}", &rest[at..]),
            Some(at) => format!("{scheme}://***{}", &rest[at..]),
            None => word.to_owned(),
        }
    };
    line.trim_ascii().split_inclusive(|c: char| c.is_ascii_whitespace()).map(hide).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Columns = Columns { prefix: 1, path: 2 };

    fn read(line: &str, prefix: u32, path: u32) -> Option<(String, String)> {
        let line = parse(line, Columns { prefix, path }).unwrap();
        line.map(|line| (line.origin.to_owned(), line.key.to_owned()))
    }

    fn some(origin: &str, key: &str) -> Option<(String, String)> {
        Some((origin.into(), key.into()))
    }

    #[test]
    fn the_documented_examples() {
        assert_eq!(read("http://127.0.0.1/aa/ bb.jpg", 1, 2), some("http://127.0.0.1/aa/", "bb.jpg"));
        assert_eq!(read("http://127.0.0.1/ aa/bb.jpg", 1, 2), some("http://127.0.0.1/", "aa/bb.jpg"));
        let several = "http://127.0.0.1/aa/ bb/cc dd/ee ff.jpg";
        assert_eq!(read(several, 1, 4), some("http://127.0.0.1/aa/", "ff.jpg"));
        assert_eq!(read(several, 1, 2), some("http://127.0.0.1/aa/", "bb/cc dd/ee ff.jpg"));
        assert_eq!(read("127.0.0.1/aa/ bb.jpg\r", 1, 2), some("127.0.0.1/aa/", "bb.jpg"));
    }

    #[test]
    fn columns_in_any_order_and_whole_urls() {
        assert_eq!(read("a b.txt  7 http://h/", 4, 1), some("http://h/", "a b.txt  7"));
        assert_eq!(read("17\thttp://h/x\ta  b.txt ", 2, 3), some("http://h/x", "a  b.txt"));
        assert_eq!(read("http://h:81/d/a b.txt?v=1", 1, 1), some("http://h:81/", "d/a b.txt?v=1"));
        assert_eq!(read(" \t ", 1, 2), None);
        let wide = "http://h/\u{7167}\u{3000}\u{7247}/ a\u{a0}b.jpg\u{a0}";
        assert_eq!(read(wide, 1, 2), some("http://h/\u{7167}\u{3000}\u{7247}/", "a\u{a0}b.jpg\u{a0}"));
        assert_eq!(parse("HTTPS://h/x/ y", USUAL).unwrap().unwrap().domain, "HTTPS://h");
    }

    #[test]
    fn a_bad_line_says_why_and_no_password() {
        for (line, why) in [
            ("http://h/", "1 columns"),
            ("ftp://h/ a", "scheme"),
            ("http:// a", "no host"),
            ("http://h:port/ a", "port"),
            ("http://me:hunter2@h/ a", "password"),
            ("http://bücher.example/ a", "xn--"),
            ("/data/ a", "no host"),
        ] {
            let said = parse(line, USUAL).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{line}: {said}");
        }
        assert_eq!(shown("http://me:hunter2@h/a@b c@d"), "http://***@h/a@b ***@d");
        assert!(parse("http://h/", Columns { prefix: 1, path: 1 }).is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_an_object_nothing_or_bad_without_panic(
            line in "\\PC{0,60}", prefix in 1u32..5, path in 1u32..5,
        ) {
            let _ = shown(&line);
            if let Ok(Some(found)) = parse(&line, Columns { prefix, path }) {
                prop_assert!(line.contains(found.origin) && line.contains(found.key) && !found.key.is_empty());
                prop_assert!(found.origin.starts_with(found.domain));
            }
        }

        #[test]
        fn a_path_is_carried_as_it_is_written(path in "[!-~é中\u{3000}\u{a0}]([ -~é中\u{3000}\u{a0}]{0,30}[!-~é中\u{3000}\u{a0}])?") {
            let line = format!("http://h/x/ {path}");
            let found = parse(&line, USUAL).unwrap().unwrap();
            prop_assert_eq!(found.key, path.as_str());
        }
    }
}
