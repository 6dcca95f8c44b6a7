//! The predecessor's format: `key=value` lines in UTF-8 or GBK, `#` comments, white space around both trimmed,
//! values perhaps in double quotes.

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) key: String,
    pub(crate) value: String,
    /// From 1.
    pub(crate) line: usize,
}

/// Reads all of them, in their order. Lines without a separator are properties without a value, as in Java.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Property> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines.filter_map(|(index, line)| property(&decode(line), index + 1)).collect()
}

/// Line by line, because a file's comments may have another encoding than its values.
pub(crate) fn decode(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::GBK.decode_without_bom_handling(line).0.into_owned(),
    }
}

fn property(line: &str, number: usize) -> Option<Property> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let (key, value) = match line.find(['=', ':']) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => line.split_once(char::is_whitespace).unwrap_or((line, "")),
    };
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).map(str::trim);
    Some(Property { key: key.trim().to_owned(), value: unescape(bare.unwrap_or(value)), line: number })
}

/// What Java writes with a backslash: `\uXXXX`, `\:`, `\=`, `\#`, `\!`, `\\`. Any other backslash stands for
/// itself, so that Windows paths come through.
fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let code = after.strip_prefix('u').and_then(|hex| hex.get(..4));
        let code = code.filter(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
        if let (true, Some(code)) = (c == '\\', code.and_then(|hex| u16::from_str_radix(hex, 16).ok())) {
            units.push(code);
            rest = &after[5..];
        } else if let (true, Some(plain)) =
            (c == '\\', after.chars().next().filter(|c| r":=#!\".contains(*c)))
        {
            units.push(plain as u16);
            rest = &after[1..];
        } else {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            rest = after;
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::{Property, parse, unescape};

    fn one(line: &[u8]) -> (String, String) {
        let Property { key, value, .. } = parse(line).remove(0);
        (key, value)
    }

    #[test]
    fn white_space_quotes_and_separators_do_not_matter() {
        let lines: [&[u8]; 8] = [
            b"srcBucket=photos",
            b"  srcBucket = photos \t\r",
            b"srcBucket=\"photos\"",
            b"srcBucket : photos",
            b"srcBucket photos",
            b"srcBucket=\" photos \"",
            b"\xef\xbb\xbfsrcBucket=photos",
            b"# c\n\n!\nsrcBucket=photos\n",
        ];
        for line in lines {
            assert_eq!(one(line), ("srcBucket".into(), "photos".into()), "{line:?}");
        }
        assert_eq!(one(b"workerMaxThroughput(KB/s)=10"), ("workerMaxThroughput(KB/s)".into(), "10".into()));
        assert_eq!(one(b"srcSecretKey=a=b:c=="), ("srcSecretKey".into(), "a=b:c==".into()));
        assert_eq!(parse(b"\n# c\n a=1\n")[0].line, 3);
    }

    #[test]
    fn gbk_comments_and_values_are_read() {
        let text = b"# \xd7\xf7\xd2\xb5\xc3\xfb\xb3\xc6\njobName=local_test\nsrcPrefix=\xca\xfd\xbe\xdd/\ndestPrefix=\xe6\x95\xb0\xe6\x8d\xae/\n";
        let values: Vec<_> = parse(text).into_iter().map(|property| property.value).collect();
        assert_eq!(values, ["local_test", "数据/", "数据/"]);
    }

    #[test]
    fn escapes_of_java_are_undone_and_windows_paths_stay() {
        assert_eq!(unescape(r"\u6570\u636e/"), "数据/");
        assert_eq!(unescape(r"\ud83d\ude00"), "\u{1f600}");
        assert_eq!(unescape(r"http\://v0.api.upyun.com"), "http://v0.api.upyun.com");
        assert_eq!(unescape(r"D:\work\data\"), r"D:\work\data\");
        assert_eq!(unescape(r"D:\\work\user"), r"D:\work\user");
    }
}
