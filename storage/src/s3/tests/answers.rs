//! Against a server of a few lines, for what the test servers of the family do not do by themselves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use conf::Secret;
use futures::TryStreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::dialect::provider;

/// A request as it came.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// Method and target.
    line: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// Status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

struct Server {
    endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn has(&self, text: &str) -> bool {
        self.line.contains(text)
    }
}

impl Server {
    async fn start(rule: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (rule, kept) = (Arc::new(rule), asked.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (rule, kept) = (rule.clone(), kept.clone());
                tokio::spawn(async move {
                    let (asked, mut stream) = read(stream).await;
                    let (status, headers, body) = rule(&asked);
                    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
                    text.push_str(&format!("content-length: {}\r\n", body.len()));
                    for (name, value) in headers {
                        text.push_str(&format!("{name}: {value}\r\n"));
                    }
                    text.push_str("\r\n");
                    if !asked.line.starts_with("HEAD") {
                        text.push_str(&body);
                    }
                    kept.lock().unwrap().push(asked);
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        Server { endpoint, asked, task }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked for, methods and targets alone.
    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    fn store(&self, dialect: &'static Dialect, change: impl FnOnce(&mut Endpoint)) -> S3Store {
        let mut endpoint = Endpoint {
            kind: conf::job::EndpointType::S3,
            endpoint: self.endpoint.clone(),
            bucket: "b".into(),
            region: "r1".into(),
            access_key: Secret::Literal("id".into()),
            secret_key: Secret::Literal("secret".into()),
            list_page: 3,
            ..Endpoint::default()
        };
        change(&mut endpoint);
        let context = Context { timeout: std::time::Duration::from_secs(10), ..context() };
        S3Store::open(&endpoint, dialect, &context).unwrap()
    }
}

async fn read(stream: TcpStream) -> (Asked, TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut asked = Asked::default();
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    asked.line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
    asked.headers = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    asked.body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut asked.body).await.unwrap();
    (asked, stream.into_inner())
}

fn refusal(status: u16, code: &str) -> Answer {
    (status, vec![], format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}

fn answer(body: impl Into<String>) -> Answer {
    (200, vec![], body.into())
}

#[tokio::test]
async fn a_head_that_is_refused_says_why_by_the_objects_first_byte() {
    for (status, code, kind) in [
        (400, "ExpiredToken", ErrorKind::CredentialsExpired),
        (403, "InvalidAccessKeyId", ErrorKind::BadCredentials),
        (403, "SignatureDoesNotMatch", ErrorKind::BadCredentials),
        (403, "RequestTimeTooSkewed", ErrorKind::ClockSkew),
        (403, "AccessDenied", ErrorKind::AccessDenied),
        (400, "InvalidRequest", ErrorKind::Refused),
        (503, "SlowDown", ErrorKind::Throttled),
    ] {
        let server = Server::start(move |asked| match asked.has("HEAD") {
            true => (if status == 503 { 403 } else { status }, vec![], String::new()),
            false => refusal(status, code),
        })
        .await;
        let error = server.store(&S3, |_| {}).client().head(&"k".into()).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.op()), (kind, code, Op::Head));
        assert_eq!(server.lines(), ["HEAD /b/k", "GET /b/k"]);
        assert_eq!(server.asked()[1].header("range"), "bytes=0-0");
    }
}

#[tokio::test]
async fn a_head_that_alone_is_refused_stays_so() {
    for (status, code) in [(206, ""), (416, "InvalidRange"), (403, "InvalidObjectState"), (404, "NoSuchKey")]
    {
        let server = Server::start(move |asked| match (asked.has("HEAD"), code) {
            (true, _) => (403, vec![], String::new()),
            (_, "") => (status, vec![], "x".into()),
            _ => refusal(status, code),
        })
        .await;
        let error = server.store(&S3, |_| {}).client().head(&"k".into()).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::AccessDenied, Some(403)), "{code}");
        assert_eq!(server.lines().len(), 3, "{code}");
    }
}

#[tokio::test]
async fn keys_that_were_replaced_are_read_again_for_a_head_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let server = Server::start(|asked| match (asked.header("x-amz-security-token"), asked.has("HEAD")) {
        ("new", _) => answer("12345"),
        (_, true) => (400, vec![], String::new()),
        _ => refusal(400, "ExpiredToken"),
    })
    .await;
    let path = file.path().to_owned();
    let store = server.store(&S3, |endpoint| endpoint.session_token = Secret::File(path));
    let head = || async { store.client().head(&"k".into()).await };
    assert_eq!(head().await.unwrap_err().kind(), ErrorKind::CredentialsExpired);
    std::fs::write(file.path(), "new").unwrap();
    assert_eq!(head().await.unwrap().size, 5);
}

/// Keys of a listing, and the number of its requests.
async fn listed(server: &Server, store: &S3Store) -> Result<(Vec<String>, usize)> {
    let before = server.lines().len();
    let pages: Vec<crate::source::Page> = store.list(ListRequest::default()).try_collect().await?;
    let keys = pages.into_iter().flat_map(|page| page.entries);
    let keys = keys.map(|entry| entry.key.to_str().unwrap().to_owned()).collect();
    Ok((keys, server.lines().len() - before))
}

fn page(keys: &[&str], more: &str) -> Answer {
    let contents = |key: &&str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
    let keys: String = keys.iter().map(contents).collect();
    answer(format!("<ListBucketResult>{more}{keys}</ListBucketResult>"))
}

#[tokio::test]
async fn a_page_that_does_not_say_that_it_is_the_last_is_believed_only_where_it_is_short() {
    let marked = Server::start(|asked| match asked.has("continuation-token=t") {
        true => page(&["c"], ""),
        false => page(&["a", "b"], "<NextContinuationToken>t</NextContinuationToken>"),
    })
    .await;
    let of = |names: &[&str], requests| (names.iter().map(ToString::to_string).collect::<Vec<_>>(), requests);
    assert_eq!(listed(&marked, &marked.store(&S3, |_| {})).await.unwrap(), of(&["a", "b", "c"], 2));
    // Three keys are a full page here.
    let full = Server::start(|asked| match asked.has("start-after=c") || asked.has("marker=c") {
        true => page(&["d"], ""),
        false => page(&["a", "b", "c"], ""),
    })
    .await;
    assert_eq!(listed(&full, &full.store(&S3, |_| {})).await.unwrap(), of(&["a", "b", "c", "d"], 2));
    let deaf = Server::start(|_| page(&["a", "b", "c"], "")).await;
    let error = listed(&deaf, &deaf.store(&S3, |_| {})).await.unwrap_err();
    assert!(error.to_string().contains("stands still"), "{error}");
    let said = Server::start(|_| page(&["a", "b", "c"], "<IsTruncated>false</IsTruncated>")).await;
    assert_eq!(listed(&said, &said.store(&S3, |_| {})).await.unwrap(), of(&["a", "b", "c"], 1));
}

#[tokio::test]
async fn a_question_about_the_encoding_that_fails_is_not_answered_by_a_guess() {
    // It says that keys are encoded, and they are not.
    let failures = std::sync::atomic::AtomicU32::new(1);
    let server = Server::start(move |asked| {
        let fails =
            || failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if !asked.has("encoding-type") && fails() {
            return refusal(503, "SlowDown");
        }
        let encoding = if asked.has("encoding-type") { "<EncodingType>url</EncodingType>" } else { "" };
        page(&["a+b%20"], encoding)
    })
    .await;
    let store = server.store(&S3, |_| {});
    assert_eq!(listed(&server, &store).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(listed(&server, &store).await.unwrap().0, ["a+b%20"]);
}

#[tokio::test]
async fn what_must_not_be_written_over_is_said_where_the_request_has_the_header() {
    let server = Server::start(|asked| match asked.has("uploadId") {
        true => answer("<CompleteMultipartUploadResult><ETag>e-1</ETag></CompleteMultipartUploadResult>"),
        false => {
            answer("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        }
    })
    .await;
    let store = server.store(provider("ceph"), |endpoint| endpoint.forbid_overwrite = true);
    let options = PutOptions::default();
    let upload = Destination::begin(&store, &"k".into(), &options).await.unwrap();
    Destination::complete(&store, &upload, &options, &[], &Whole::default()).await.unwrap();
    let said: Vec<String> =
        server.asked().iter().map(|asked| asked.header("if-none-match").to_owned()).collect();
    assert_eq!(said, ["", "*"]);
}

#[tokio::test]
async fn what_is_stored_packed_is_read_as_it_is_stored() {
    // Unpacked for who does not take it, as Cloud Storage and R2 do it.
    let server = Server::start(|asked| match (asked.header("accept-encoding"), asked.has("/packed")) {
        ("gzip", true) => (200, vec![("content-encoding", "gzip".into())], "packed".into()),
        _ => answer("what was packed"),
    })
    .await;
    for (name, size) in [("gcs", 6), ("r2", 6), ("minio", 15)] {
        let store = server.store(provider(name), |_| {});
        let meta = store.client().head(&"packed".into()).await.unwrap();
        assert_eq!(meta.size, size, "{name}");
        let version = Version { size, ..Version::default() };
        let read = store.client().read(&"packed".into(), None, &version).await.unwrap();
        let encoding = read.meta.headers.content_encoding.clone();
        let body: Vec<bytes::Bytes> = read.body.try_collect().await.unwrap();
        assert_eq!(body.concat().len() as u64, size, "{name}");
        assert_eq!(encoding.is_some(), size == 6, "{name}");
    }
}

fn options() -> PutOptions {
    PutOptions { acl: Some("public-read".into()), ..PutOptions::default() }
}

#[tokio::test]
async fn parts_whose_etags_are_no_md5s_are_checked_by_the_service() {
    // It encrypts by itself, and states no CRC.
    let server = Server::start(|asked| match asked.has("partNumber") {
        true => {
            let kms = ("x-amz-server-side-encryption", "aws:kms".to_owned());
            (200, vec![("etag", format!("\"{}\"", "0f".repeat(16))), kms], String::new())
        }
        false => {
            answer("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        }
    })
    .await;
    let store = server.store(provider("ceph"), |_| {});
    let upload = Destination::begin(&store, &"k".into(), &PutOptions::default()).await.unwrap();
    for number in [1, 2] {
        let payload = Payload::from("12345");
        let done = Destination::part(&store, &upload, number, 0, &payload).await.unwrap();
        assert_eq!((done.md5, done.etag), (None, "0f".repeat(16)), "{number}");
    }
    let sums: Vec<bool> =
        server.asked()[1..].iter().map(|asked| !asked.header("content-md5").is_empty()).collect();
    assert_eq!(sums, [false, true, true], "the first goes twice");
}

#[tokio::test]
async fn a_bucket_without_access_lists_takes_objects_and_the_record_says_it() {
    let server = Server::start(|asked| match (asked.header("x-amz-acl"), asked.has("uploads")) {
        ("", true) => {
            answer("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        }
        ("", false) => (200, vec![("etag", "e".into())], String::new()),
        _ => refusal(400, "AccessControlListNotSupported"),
    })
    .await;
    for large in [false, true] {
        let store = server.store(&S3, |_| {});
        let before = server.lines().len();
        if large {
            Destination::begin(&store, &"k".into(), &options()).await.unwrap();
        }
        for _ in 0..2 {
            let written = Destination::put(&store, &"k".into(), &options(), &"x".into()).await.unwrap();
            assert_eq!(written.not_carried, ["acl: the bucket has none"]);
        }
        assert_eq!(server.lines().len() - before, 3 + usize::from(large), "it is found out once");
    }
    // One that the job names is the job's mistake.
    let store = server.store(&S3, |endpoint| endpoint.acl = "public-read".into());
    let error = Destination::put(&store, &"k".into(), &PutOptions::default(), &"x".into()).await.unwrap_err();
    assert_eq!(error.code(), "AccessControlListNotSupported");
}

#[tokio::test]
async fn metadata_that_is_too_much_is_told_with_both_numbers_and_without_a_request() {
    let server = Server::start(|_| answer("")).await;
    let store = server.store(&S3, |_| {});
    let user = vec![("name".to_owned(), "v".repeat(3000))];
    let headers = crate::meta::Headers { user, ..Default::default() };
    let options = PutOptions { headers, ..PutOptions::default() };
    let error = Destination::put(&store, &"k".into(), &options, &"x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MetadataTooLarge);
    assert!(error.to_string().contains("3004") && error.to_string().contains("2048"), "{error}");
    assert!(server.lines().is_empty());
    assert_eq!(refused(&S3, Op::Put, 400, &refusal(400, "MetadataTooLarge").2).kind(), error.kind());
}

#[tokio::test]
async fn a_restore_that_is_not_to_be_had_now_is_no_throttling() {
    use crate::archive::{Archive, Asked, Wish};
    let server = Server::start(|_| refusal(503, "GlacierExpeditedRetrievalNotAvailable")).await;
    let store = server.store(&S3, |_| {});
    let tier = conf::job::RestoreTier::Expedited;
    let wish = Wish { class: "GLACIER", automatic: false, tier, days: 3 };
    assert_eq!(store.restore(&"k".into(), &wish).await.unwrap(), Asked::Later);
}
