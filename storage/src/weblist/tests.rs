//! Against a server of a few lines that says exactly what a test wants.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::meter::Meter;

/// Answers one request a connection, in this order, and hands over their heads.
async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/d/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            heads.push(head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    (url, task)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn at(origin: &str) -> Arc<dyn Source> {
    let endpoint = Endpoint { kind: conf::job::EndpointType::Http, ..Endpoint::default() };
    let context =
        Context { meter: Meter::unlimited(), timeout: Duration::from_secs(5), job: "test".to_owned() };
    WebSource::new(&endpoint, &context).at(origin).unwrap()
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n{body}")
}

async fn all(mut body: Body) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_body_that_ends_early_fails_wherever_the_protocol_can_tell() {
    for (headers, body, whole, marked) in [
        ("Content-Length: 5\r\n", "12345", true, true),
        ("Content-Length: 5\r\n", "123", false, true),
        ("Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n", true, true),
        ("Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n", false, true),
        ("Transfer-Encoding: chunked\r\n", "5\r\n123", false, true),
        ("", "12345", true, false),
    ] {
        let (url, _server) = server(vec![ok(headers, body)]).await;
        let opened = at(&url).open(&"k".into(), 100).await.unwrap();
        assert_eq!((opened.ends_marked, opened.length.is_some()), (marked, headers.contains("Length")));
        let read = all(opened.body).await;
        assert_eq!(read.is_ok(), whole, "{headers}{body}: {read:?}");
        if let Err(error) = read {
            assert_eq!(error.kind(), ErrorKind::Broken, "{error}");
        }
    }
}

#[tokio::test]
async fn a_list_that_may_have_been_cut_off_is_no_list() {
    let line = "http://h/ a\n";
    for (headers, body, words) in [
        ("Content-Length: 12\r\n", line, ""),
        ("Transfer-Encoding: chunked\r\n", "c\r\nhttp://h/ a\n\r\n0\r\n\r\n", ""),
        ("Content-Length: 12\r\nContent-Encoding: identity\r\n", line, ""),
        ("", line, "neither how long the list is"),
        ("Content-Length: 12\r\nContent-Encoding: gzip\r\n", line, "compressed (gzip)"),
        ("Content-Length: 13\r\n", line, "the list"),
        ("Transfer-Encoding: chunked\r\n", "c\r\nhttp://h/ a\n\r\n", "the list"),
    ] {
        let (url, _server) = server(vec![ok(headers, body)]).await;
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("list");
        let endpoint = Endpoint { key_list: Some(format!("{url}list").into()), ..Endpoint::default() };
        let context =
            Context { meter: Meter::unlimited(), timeout: Duration::from_secs(5), job: String::new() };
        match fetch(&endpoint, &context, &to).await {
            Ok(fetched) => {
                assert!(fetched && words.is_empty() && std::fs::read_to_string(&to).unwrap() == line)
            }
            Err(error) => assert!(!words.is_empty() && error.message().contains(words), "{headers}: {error}"),
        }
    }
}

#[tokio::test]
async fn one_version_is_asked_for_and_another_one_is_not_taken() {
    let old = "ETag: \"a\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:50:00 GMT\r\nContent-Length: 2\r\n";
    let (url, heads) =
        server(vec![ok(old, "xy"), ok(old, "xy"), ok(&old.replace("\"a\"", "\"b\""), "xy")]).await;
    let source = at(&url);
    let meta = source.open(&"a b".into(), 100).await.unwrap().meta;
    assert_eq!((meta.etag.as_deref(), meta.modified_ms), (Some("a"), Some(784_111_777_000)));
    let version = Version { size: 2, modified_ms: meta.modified_ms, etag: meta.etag.clone() };
    // A server that does not know ranges: the part is cut out.
    let read = source.read(&"a b".into(), Some(1..2), &version).await.unwrap();
    assert_eq!(all(read.body).await.unwrap(), b"y");
    let error = source.read(&"a b".into(), None, &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    let heads = heads.await.unwrap();
    assert!(heads[0].starts_with("GET /d/a%20b HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("accept-encoding: identity") && !heads[0].contains("authorization"));
    assert!(heads[1].contains("if-match: \"a\"") && heads[1].contains("range: bytes=1-1"), "{}", heads[1]);
    // Without an ETag the time stands for the version.
    let (url, heads) = server(vec![ok("Content-Length: 2\r\n", "xy")]).await;
    let version = Version { etag: None, ..version };
    assert!(at(&url).read(&"k".into(), None, &version).await.is_err(), "no time any more");
    assert!(heads.await.unwrap()[0].contains("if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[tokio::test]
async fn ranges_are_believed_only_as_they_were_asked_for() {
    let part = |range: &str, body: &str| {
        format!(
            "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: {range}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let version = Version { size: 9, ..Version::default() };
    for (answer, good) in [
        (part("bytes 2-4/9", "abc"), true),
        (part("bytes 1-3/9", "abc"), false),
        (part("bytes 2-4/8", "abc"), false),
        (part("bytes 2-5/9", "abcd"), false),
        (part("bytes 2-4/9", "ab"), false),
        (part("nonsense", "abc"), false),
    ] {
        let (url, _server) = server(vec![answer.clone()]).await;
        assert_eq!(at(&url).read(&"k".into(), Some(2..5), &version).await.is_ok(), good, "{answer}");
    }
    let (url, _server) = server(vec![part("bytes 0-0/9", "a")]).await;
    assert_eq!(at(&url).head(&"k".into()).await.unwrap().size, 9);
    let (url, _server) = server(vec![part("bytes 0-0/*", "a")]).await;
    assert_eq!(at(&url).head(&"k".into()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let empty =
        "HTTP/1.1 416 Range Not Satisfiable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (url, _server) = server(vec![empty, ok("Content-Length: 0\r\n", "")]).await;
    assert_eq!(at(&url).head(&"k".into()).await.unwrap().size, 0);
    // An answer to no range is the whole object or nothing.
    let (url, _server) = server(vec![part("bytes 0-2/9", "abc")]).await;
    assert_eq!(at(&url).open(&"k".into(), 100).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_refusal_says_who_said_what() {
    let body = "<Error><Code>SlowDown</Code><Message>Please wait.</Message></Error>";
    let answer = format!(
        "HTTP/1.1 503 Busy\r\nConnection: close\r\nRetry-After: 7\r\nx-oss-request-id: 5F\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (url, _server) = server(vec![answer]).await;
    let error = at(&url).open(&"k?Signature=secret".into(), 100).await.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Throttled, Some(Duration::from_secs(7))));
    assert_eq!((error.code(), error.request_id()), ("SlowDown", "5F"));
    assert!(error.message().contains("/d/k: Please wait.") && !error.message().contains("secret"), "{error}");
}

#[tokio::test]
async fn what_a_proxy_changed_is_not_taken() {
    let changed = ok("Content-Length: 2\r\n", "xy").replace("200 OK", "203 Transformed");
    let (url, _server) = server(vec![changed]).await;
    let error = at(&url).open(&"k".into(), 100).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Protocol, Some(203)), "{error}");
    assert!(error.message().contains("a proxy on the way changed it"), "{error}");
}

#[tokio::test]
async fn ranges_of_a_large_object_are_tried_where_the_server_does_not_say() {
    let headers = "ETag: \"a\"\r\nContent-Length: 9\r\n";
    let part = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx";
    let (url, _server) = server(vec![ok(headers, "123456789"), part.to_owned()]).await;
    assert!(at(&url).open(&"k".into(), 8).await.unwrap().ranges);
    let (url, _server) = server(vec![ok(headers, "123456789"), ok(headers, "123456789")]).await;
    assert!(!at(&url).open(&"k".into(), 8).await.unwrap().ranges);
    // One that has no version cannot be read in pieces, whatever it says.
    let (url, _server) = server(vec![ok("Accept-Ranges: bytes\r\nContent-Length: 9\r\n", "123456789")]).await;
    assert!(!at(&url).open(&"k".into(), 8).await.unwrap().ranges);
}
