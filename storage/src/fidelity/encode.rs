//! How names and values of user metadata travel that a service does not take as they are: RFC 2047, RFC 8187
//! (which replaced RFC 5987), percent-encoding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Metadata;

/// Which names of user metadata a service has. All are case-insensitive and carried in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Whatever HTTP takes for a header (RFC 9110, "token").
    Token,
    /// Letters, digits and `-`.
    Hyphens,
    /// A C# identifier: letters, digits and `_`, no digit in front.
    Identifier,
    /// Any text that is not empty.
    Any,
}

/// How a value travels that is not plain ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// `=?UTF-8?B?…?=`, which the service decodes and gives back so: the value stays what it was.
    Rfc2047,
    /// `%XX`, which nobody decodes: the value is another one, and a note says so.
    Percent,
    /// As it is.
    Bytes,
}

// === impl Metadata ===

impl Metadata {
    /// The headers of user metadata, with their prefix.
    pub(super) fn encode(
        &self,
        service: &str,
        user: &[(String, String)],
        out: &mut Vec<(String, String)>,
        notes: &mut Vec<String>,
    ) -> Result<(), String> {
        let (first, mut size) = (out.len(), 0);
        for (name, value) in user {
            let Some(written) = self.name(service, name, notes) else { continue };
            let header = format!("{}{written}", self.prefix);
            if out[first..].iter().any(|(other, _)| *other == header) {
                notes.push(format!("metadata {name}: another name is {written:?} at {service}, too"));
                continue;
            }
            let value = self.value(name, value, notes);
            let one = written.len() + self.stored(&value);
            if one > self.each {
                return Err(format!(
                    "metadata {name:?} has {one} bytes, and {service} takes at most {}",
                    self.each
                ));
            }
            size += one;
            out.push((header, value));
        }
        if size > self.most {
            return Err(format!("its metadata is {size} bytes, and {service} takes at most {}", self.most));
        }
        Ok(())
    }

    /// Bytes that count for a value on the wire.
    fn stored(&self, value: &str) -> usize {
        match self.values {
            Values::Rfc2047 => text_of(value).len(),
            Values::Percent | Values::Bytes => value.len(),
        }
    }

    /// Whether these, as they are, are within the limits: for what is added by the job and not by the owner.
    pub fn has_room(&self, user: &[(String, String)], name: &str, value: &str) -> bool {
        let one = |(name, value): (&str, &str)| {
            name.len() + if is_plain(value, self.one_space) { value.len() } else { 3 * value.len() }
        };
        let all: usize = user.iter().map(|(name, value)| one((name, value))).sum();
        all + one((name, value)) <= self.most
    }

    /// A value of an answer as text.
    pub fn decode(&self, value: &str) -> String {
        match self.values {
            Values::Rfc2047 => text_of(value),
            Values::Percent | Values::Bytes => value.to_owned(),
        }
    }

    /// A name that the service takes; `None` (and a note) where there is none.
    fn name(&self, service: &str, name: &str, notes: &mut Vec<String>) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        if self.names.hold(&lower) {
            return Some(lower);
        }
        let mended = match self.names {
            Names::Token | Names::Any => lower,
            Names::Hyphens => lower.replace('_', "-"),
            Names::Identifier => lower.replace('-', "_"),
        };
        if self.names.hold(&mended) {
            notes.push(format!("metadata {name}: it is named {mended} at {service}"));
            return Some(mended);
        }
        notes.push(format!("metadata {name}: {service} cannot hold this name"));
        None
    }

    fn value(&self, name: &str, value: &str, notes: &mut Vec<String>) -> String {
        let plain = is_plain(value, self.one_space);
        match self.values {
            // What looks like RFC 2047 would be decoded by whoever reads it.
            Values::Rfc2047 if plain && !value.starts_with("=?") => value.to_owned(),
            Values::Rfc2047 => rfc_2047(value),
            Values::Bytes => value.to_owned(),
            Values::Percent if plain => value.to_owned(),
            Values::Percent => {
                notes.push(format!("metadata {name}: its value is percent-encoded, it is not plain ASCII"));
                percent(value)
            }
        }
    }
}

impl Names {
    fn hold(self, name: &str) -> bool {
        let all = |good: fn(u8) -> bool| !name.is_empty() && name.bytes().all(good);
        match self {
            Names::Any => !name.is_empty() && !name.contains('\0'),
            Names::Token => http::HeaderName::from_bytes(name.as_bytes()).is_ok(),
            Names::Hyphens => all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            Names::Identifier => {
                all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && !name.starts_with(|c: char| c.is_ascii_digit())
            }
        }
    }
}

pub(super) fn is_printable(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Arrives as it is: white space around a value is HTTP's own.
pub(super) fn is_plain(value: &str, one_space: bool) -> bool {
    is_printable(value) && value.trim() == value && !(one_space && value.contains("  "))
}

/// Every byte but `A-Za-z0-9-_.~` as `%XX` (RFC 3986, "unreserved").
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => push_hex(&mut out, byte),
        }
    }
    out
}

fn push_hex(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// One encoded word of RFC 2047.
pub fn rfc_2047(text: &str) -> String {
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

/// The text of encoded words (RFC 2047), as S3 returns metadata that is not ASCII. Anything else stays.
pub fn text_of(value: &str) -> String {
    if !value.starts_with("=?") {
        return value.to_owned();
    }
    // A long value comes as several words; a character may be cut between two.
    let words: Option<Vec<(bool, Vec<u8>)>> = value.split_ascii_whitespace().map(decode_word).collect();
    let text = words.and_then(|words| {
        let latin = words.iter().all(|(latin, _)| *latin);
        let bytes: Vec<u8> = words.into_iter().flat_map(|(_, bytes)| bytes).collect();
        if latin {
            return Some(bytes.into_iter().map(char::from).collect());
        }
        String::from_utf8(bytes).ok()
    });
    text.unwrap_or_else(|| value.to_owned())
}

/// Whether it is ISO-8859-1, and its bytes.
fn decode_word(word: &str) -> Option<(bool, Vec<u8>)> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = inner.split_once('?')?;
    let (form, text) = rest.split_once('?')?;
    // RFC 2231 adds a language behind the charset.
    let charset = charset.split('*').next().unwrap_or_default();
    let latin = charset.eq_ignore_ascii_case("iso-8859-1");
    if !latin && !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("us-ascii") {
        return None;
    }
    let bytes = match form {
        "B" | "b" => STANDARD.decode(text).ok()?,
        "Q" | "q" => quoted(text)?,
        _ => return None,
    };
    Some((latin && !charset.eq_ignore_ascii_case("us-ascii"), bytes))
}

/// The "Q" encoding: `_` is a space, `=XX` a byte.
fn quoted(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'_' => b' ',
            b'=' => {
                let (high, low) =
                    (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(out)
}

/// An extended value: `UTF-8''%e2%82%ac%20rates` (RFC 8187, which replaced RFC 5987).
pub fn rfc_5987(text: &str) -> String {
    let mut out = String::from("UTF-8''");
    for byte in text.bytes() {
        match byte {
            // "attr-char".
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                out.push(char::from(byte));
            }
            _ => push_hex(&mut out, byte),
        }
    }
    out
}

/// A `Content-Disposition` whose parameters that are not ASCII are written as extended ones (RFC 6266). Nothing
/// where it has no such parameters, or something else in it cannot travel.
pub fn rfc_6266(value: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut quoted = false;
    let pieces = value.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let pieces: Vec<&str> = pieces.map(str::trim).collect();
    let has = |wanted: &str| {
        let names = pieces.iter().filter_map(|piece| piece.split_once('='));
        names.map(|(name, _)| name.trim()).any(|name| name.eq_ignore_ascii_case(wanted))
    };
    for piece in &pieces {
        if is_printable(piece) {
            parts.push((*piece).to_owned());
            continue;
        }
        let (name, given) = piece.split_once('=')?;
        let (name, given) = (name.trim(), given.trim());
        // Once each (RFC 6266, 4.1), and readers prefer the extended one (4.3).
        if has(&format!("{name}*")) {
            continue;
        }
        let inner = given.strip_prefix('"').and_then(|given| given.strip_suffix('"')).unwrap_or(given);
        let good = is_printable(name) && !name.is_empty() && !inner.contains(char::is_control);
        parts.push(good.then(|| format!("{name}*={}", rfc_5987(inner)))?);
    }
    Some(parts.join("; "))
}
