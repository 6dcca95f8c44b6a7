//! The list itself: a file, or a URL whose content is written to a file first, so that a scan that is resumed
//! reads what it read before.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;

use conf::Endpoint;
use futures::StreamExt;
use http::Uri;
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http_body::Body as _;
use tokio::task::spawn_blocking;

use super::answer;
use super::client::{Ask, Client};
use super::line::{Columns, parse, shown};
use super::url::Base;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::open::Context;

/// Bytes of a list that the first look reads.
const FIRST: u64 = 256 << 10;
/// Lines of it.
const LINES: usize = 100;

/// The list's address, where it is one.
pub(super) fn address(list: &Path) -> Option<&str> {
    let text = list.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(text)
}

/// Writes the list at a URL to a new file; `false`: it is a file already.
pub async fn fetch(endpoint: &Endpoint, context: &Context, to: &Path) -> Result<bool> {
    let Some(address) = endpoint.key_list.as_deref().and_then(address) else { return Ok(false) };
    let client = Client::new(endpoint, context);
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Io, Op::Open, format!("cannot write the list to {}: {error}", to.display()))
    };
    let mut body = open(&client, address).await?;
    let mut file = File::create(to).map_err(failed)?;
    while let Some(chunk) = body.next().await {
        file.write_all(&chunk?).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    Ok(true)
}

async fn open(client: &Client, address: &str) -> Result<crate::source::Body> {
    let ask = Ask { op: Op::Open, kind: RequestKind::List, key: None, range: None, version: None };
    let wrong = |why: String| ask.error(ErrorKind::Refused, format!("the list's address: {why}"));
    let uri: Uri = Base::parse(address).and_then(|base| base.uri(b"")).map_err(wrong)?;
    let found = client.get(uri, &ask).await?;
    if found.response.status() == http::StatusCode::PARTIAL_CONTENT {
        return Err(ask.error(ErrorKind::Protocol, "a part of the list came, and all of it was asked for"));
    }
    let headers = found.response.headers();
    let encoding = answer::text(headers, CONTENT_ENCODING.as_str());
    if !matches!(encoding.trim().to_ascii_lowercase().as_str(), "" | "identity") {
        let text = format!(
            "the list comes compressed ({encoding}), and nothing else was asked for: let the server send it as it is, \
             or save it to a file and name that"
        );
        return Err(ask.error(ErrorKind::Protocol, text));
    }
    // Where only the end of the connection ends it, half of it looks like all of it (RFC 9112, 6.3).
    if found.response.body().size_hint().exact().is_none() && !headers.contains_key(TRANSFER_ENCODING) {
        let text = "the server says neither how long the list is nor where it ends (no Content-Length, no chunks), so \
                    that nobody could tell a list that was cut off from a whole one: save it to a file and name that";
        return Err(ask.error(ErrorKind::Protocol, text));
    }
    let arriving = client.meter.arriving(0).await;
    let fail = |failure: crate::http::Failure| {
        Error::new(failure.kind, Op::Open, format!("the list: {}", failure.text))
    };
    Ok(found.http.stream(found.response.into_body(), arriving, fail))
}

/// The first lines that name objects, as (origin, key); an error where lines are there and none of them does.
pub(super) async fn first(
    client: &Client,
    endpoint: &Endpoint,
    most: usize,
) -> Result<Vec<(String, String)>> {
    let list = endpoint.key_list.clone().unwrap_or_default();
    let begin = match address(&list) {
        Some(address) => {
            let mut body = open(client, address).await?;
            let mut begin = Vec::new();
            while (begin.len() as u64) < FIRST
                && let Some(chunk) = body.next().await
            {
                begin.extend_from_slice(&chunk?);
            }
            begin
        }
        None => {
            let path = list.clone();
            let read = spawn_blocking(move || {
                let mut begin = Vec::new();
                BufReader::new(File::open(&path)?).take(FIRST).read_to_end(&mut begin).map(|_| begin)
            });
            let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            read.map_err(|error| {
                let kind = match error.kind() {
                    std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                    std::io::ErrorKind::PermissionDenied => ErrorKind::AccessDenied,
                    _ => ErrorKind::Io,
                };
                Error::new(kind, Op::Open, format!("cannot read the list {}: {error}", list.display()))
            })?
        }
    };
    let columns = Columns { prefix: endpoint.prefix_column, path: endpoint.path_column };
    good_lines(&begin, columns, most).map_err(|why| {
        Error::new(ErrorKind::Refused, Op::Open, format!("the list {}: {why}", list.display()))
    })
}

fn good_lines(
    begin: &[u8],
    columns: Columns,
    most: usize,
) -> std::result::Result<Vec<(String, String)>, String> {
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let (mut good, mut bad) = (Vec::new(), None);
    for (at, line) in begin.split(|byte| *byte == b'\n').take(LINES).enumerate() {
        let text = String::from_utf8_lossy(line);
        match parse(&text, columns) {
            Ok(Some(found)) => good.push((found.origin.to_owned(), found.key.to_owned())),
            Ok(None) => {}
            Err(why) => {
                bad.get_or_insert(format!("line {}, {:?}: {why}", at + 1, shown(&text)));
            }
        }
        if good.len() == most {
            break;
        }
    }
    match bad {
        Some(why) if good.is_empty() => Err(format!(
            "none of its first lines names an object. {why}. Check prefix_column ({}) and path_column ({})",
            columns.prefix, columns.path
        )),
        _ => Ok(good),
    }
}

/// One line of a list without its end, and without the mark that some editors put before the first. `false`: there
/// is no further one. Of a line that is longer than `most` the rest is passed over.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, most: usize) -> std::io::Result<bool> {
    line.clear();
    if input.by_ref().take(most as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && line.len() > most {
        pass_line(input)?;
    }
    for end in [b'\n', b'\r'] {
        line.pop_if(|last| *last == end);
    }
    Ok(true)
}

fn pass_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Columns = Columns { prefix: 1, path: 2 };

    #[test]
    fn the_first_look_says_which_line_is_bad_and_which_columns_were_taken() {
        let good = good_lines(b"\xef\xbb\xbfbad\n\nhttp://h/ a\r\nhttp://h/ b\n", USUAL, 1).unwrap();
        assert_eq!(good, [("http://h/".to_owned(), "a".to_owned())]);
        let why = good_lines(b"\nhttp://u:hunter2@h/ a\n", USUAL, 3).unwrap_err();
        assert!(
            why.contains("line 2") && why.contains("path_column (2)") && !why.contains("hunter2"),
            "{why}"
        );
        assert!(good_lines(b"", USUAL, 3).unwrap().is_empty());
    }

    #[test]
    fn lines_of_any_length_are_read_one_by_one() {
        let text = [b"short\r\n\n".as_slice(), &[b'x'; 100], b"\nlast"].concat();
        for capacity in [1, 3, 1000] {
            let mut input = BufReader::with_capacity(capacity, &text[..]);
            let (mut line, mut lines) = (Vec::new(), Vec::new());
            while read_line(&mut input, &mut line, 20).unwrap() {
                lines.push(line.clone());
            }
            assert_eq!(lines, [b"short".to_vec(), b"".to_vec(), vec![b'x'; 21], b"last".to_vec()]);
        }
    }

    #[test]
    fn an_address_is_told_from_a_path() {
        assert!(address(Path::new("HTTPS://h/list")).is_some());
        for path in ["/a/http://x", "list", "ftp://h/l"] {
            assert!(address(Path::new(path)).is_none(), "{path}");
        }
    }
}
