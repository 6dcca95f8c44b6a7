//! Against a server of a few lines, that says what the real one would: what the emulator does not do.

mod restoring;
mod signing_in;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conf::Secret;
use conf::job::EndpointType;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::meter::RequestKind;
use crate::s3::Call;

/// A request as it came.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// Method and target.
    line: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A parameter, decoded.
    fn get(&self, name: &str) -> Option<String> {
        let query = self.line.split_once('?')?.1;
        let (_, value) =
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name)?;
        Some(percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned())
    }
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
                    // The answer to HEAD says the length of what it does not hold.
                    if !asked.line.starts_with("HEAD") {
                        text.push_str(&format!("content-length: {}\r\n", body.len()));
                    }
                    for (name, value) in headers {
                        text.push_str(&format!("{name}: {value}\r\n"));
                    }
                    kept.lock().unwrap().push(asked);
                    let _ = stream.write_all(format!("{text}\r\n{body}").as_bytes()).await;
                });
            }
        });
        Server { endpoint, asked, task }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, change: impl FnOnce(&mut Endpoint)) -> AzureStore {
        let mut endpoint = endpoint(&format!("{}/acc", self.endpoint));
        change(&mut endpoint);
        open(&endpoint)
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

fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        kind: EndpointType::Azure,
        endpoint: address.into(),
        bucket: "con".into(),
        access_key: Secret::Literal("acc".into()),
        secret_key: Secret::Literal(STANDARD.encode("hunter2hunter2")),
        ..Endpoint::default()
    }
}

fn open(endpoint: &Endpoint) -> AzureStore {
    let context = Context { meter: Meter::unlimited(), timeout: Duration::from_secs(5), job: String::new() };
    AzureStore::open(endpoint, &context).unwrap()
}

fn refusal(code: &str, detail: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>Server said so.\nRequestId:63ee1ec3\nTime:2026-09-09T09:20:02.4Z</Message>{detail}</Error>"
    )
}

fn detail(text: &str) -> String {
    format!("<AuthenticationErrorDetail>{text}</AuthenticationErrorDetail>")
}

#[test]
fn recorded_refusals_get_the_right_kind() {
    let store = open(&endpoint("http://127.0.0.1:1/acc"));
    let key = ObjectKey::from("k");
    let of = |op: Op, status: u16, code: &str, detail: &str| {
        let of_all = matches!(op, Op::List);
        let call = Call::new(op, RequestKind::Get, Method::GET, (!of_all).then_some(&key));
        let head = http::Response::builder().status(status).header("x-ms-request-id", "63ee1ec3");
        let head = head.header("x-ms-error-code", code).header("retry-after", "7").body(()).unwrap();
        failure::of_answer(&store.0, &call, &head.into_parts().0, refusal(code, detail).as_bytes(), None)
    };
    let window =
        detail("Signature not valid in the specified time frame: Start [x] - Expiry [y] - Current [z]");
    let mac = detail(
        "The MAC signature found in the HTTP request 'abc' is not the same as any computed signature. Server used following string to sign: 'GET...'.",
    );
    let skew = detail("Request date header too old: 'Fri, 26 Jun 2015 23:39:12 GMT'");
    let token = detail("Lifetime validation failed. The token is expired.");
    for (op, status, code, detail, kind) in [
        (Op::Get, 404, "BlobNotFound", "", ErrorKind::NotFound),
        (Op::Get, 404, "ContainerNotFound", "", ErrorKind::BucketNotFound),
        (Op::List, 404, "ResourceNotFound", "", ErrorKind::BucketNotFound),
        (Op::Put, 409, "ContainerBeingDeleted", "", ErrorKind::BucketNotFound),
        (Op::List, 403, "AuthenticationFailed", &*mac, ErrorKind::BadCredentials),
        (Op::List, 403, "AuthenticationFailed", &*window, ErrorKind::CredentialsExpired),
        (Op::Get, 401, "InvalidAuthenticationInfo", &*token, ErrorKind::CredentialsExpired),
        (Op::Get, 403, "AuthenticationFailed", &*skew, ErrorKind::ClockSkew),
        (Op::Put, 403, "AuthorizationPermissionMismatch", "", ErrorKind::AccessDenied),
        (Op::List, 403, "AuthorizationFailure", "", ErrorKind::AccessDenied),
        (Op::List, 409, "PublicAccessNotPermitted", "", ErrorKind::AccessDenied),
        (Op::Put, 503, "ServerBusy", "", ErrorKind::Throttled),
        (Op::Put, 500, "OperationTimedOut", "", ErrorKind::ServiceFailure),
        (Op::Put, 500, "InternalError", "", ErrorKind::ServiceFailure),
        (Op::Put, 400, "Md5Mismatch", "", ErrorKind::Corrupted),
        (Op::Part, 400, "Crc64Mismatch", "", ErrorKind::Corrupted),
        (Op::Get, 412, "ConditionNotMet", "", ErrorKind::PreconditionFailed),
        (Op::Put, 412, "LeaseIdMissing", "", ErrorKind::Conflict),
        (Op::Put, 409, "BlobAlreadyExists", "", ErrorKind::Conflict),
        (Op::Part, 409, "InvalidBlobType", "", ErrorKind::Conflict),
        (Op::Get, 409, "BlobArchived", "", ErrorKind::Archived),
        (Op::Get, 409, "BlobBeingRehydrated", "", ErrorKind::Archived),
        (Op::Get, 416, "InvalidRange", "", ErrorKind::PreconditionFailed),
        (Op::Complete, 400, "InvalidBlockList", "", ErrorKind::UploadNotFound),
        (Op::Put, 400, "OutOfRangeInput", "", ErrorKind::InvalidName),
        (Op::Put, 400, "InvalidResourceName", "", ErrorKind::InvalidName),
        (Op::Put, 400, "MetadataTooLarge", "", ErrorKind::MetadataTooLarge),
        (Op::List, 400, "AccountRequiresHttps", "", ErrorKind::WrongEndpoint),
        (Op::Put, 502, "", "", ErrorKind::ServiceFailure),
        (Op::Put, 400, "SomethingNew", "", ErrorKind::Refused),
    ] {
        let error = of(op, status, code, detail);
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!((error.request_id(), error.wait()), ("63ee1ec3", Some(Duration::from_secs(7))));
        assert!(!error.message().contains("RequestId") && !error.message().contains("'GET"), "{error}");
    }
    let gone = of(Op::List, 404, "ContainerNotFound", "");
    assert!(gone.to_string().contains("no container \"con\" at http://127.0.0.1:1/acc"), "{gone}");
    assert!(of(Op::List, 403, "AuthorizationFailure", "").message().contains("firewall"));
}

#[tokio::test]
async fn the_service_proves_a_blob_by_its_own_crc_or_md5_and_nothing_else_does() {
    let crc_mode = Arc::new(AtomicBool::new(true));
    let mode = crc_mode.clone();
    let server = Server::start(move |asked| {
        let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &asked.body);
        assert_eq!(asked.header("x-ms-content-crc64"), headers::crc_text(crc));
        assert_eq!((asked.header("x-ms-blob-type"), asked.header("if-none-match")), ("BlockBlob", "*"));
        assert_eq!(asked.header("x-ms-access-tier"), "Cool");
        let stated = match mode.load(Ordering::Relaxed) {
            true => ("x-ms-content-crc64", headers::crc_text(crc)),
            false => ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==".to_owned()),
        };
        (201, vec![("etag", "\"0x8D\"".into()), stated], String::new())
    })
    .await;
    let store = server.store(|endpoint| {
        endpoint.storage_class = "Cool".into();
        endpoint.forbid_overwrite = true;
    });
    let payload = Payload::from("hello");
    let options = PutOptions { size: 5, ..PutOptions::default() };
    let written = store.put(&"k".into(), &options, &payload).await.unwrap();
    assert_eq!(written.stated.crc64nvme, Some(payload.crc(CrcAlgorithm::Crc64Nvme)));
    assert_eq!((written.etag.as_deref(), written.stated.md5), (Some("0x8D"), None));
    assert!(store.limits().crc.is_some());
    crc_mode.store(false, Ordering::Relaxed);
    let written = store.put(&"k".into(), &options, &payload).await.unwrap();
    assert_eq!((written.stated.crc64nvme, written.stated.md5), (None, Some(payload.md5())));
    assert!(store.limits().crc.is_none());
}

#[tokio::test]
async fn blocks_that_arrive_damaged_are_refused_and_a_list_states_what_its_blocks_did() {
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    let server = Server::start(move |asked| {
        let crc = headers::crc_text(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &asked.body));
        let damaged =
            asked.get("comp").as_deref() == Some("block") && counted.fetch_add(1, Ordering::Relaxed) == 0;
        let crc = if damaged { headers::crc_text(1) } else { crc };
        (201, vec![("etag", "\"0x8D\"".into()), ("x-ms-content-crc64", crc)], String::new())
    })
    .await;
    let store = server.store(|_| {});
    let options = PutOptions { size: 10, ..PutOptions::default() };
    let upload = store.begin(&"k".into(), &options).await.unwrap();
    let (one, two) = (Payload::from("12345"), Payload::from("67890"));
    let damaged = store.part(&upload, 1, 0, &one).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Corrupted, "{damaged}");
    let parts =
        [store.part(&upload, 1, 0, &one).await.unwrap(), store.part(&upload, 2, 5, &two).await.unwrap()];
    let whole = Whole { size: 10, crc: Some(0x6025_a582_347b_79f3), md5: Some([7; 16]) };
    let written = store.complete(&upload, &options, &parts, &whole).await.unwrap();
    // Not that of the answer, which is of the list.
    assert_eq!(written.stated.crc64nvme, Some(0x6025_a582_347b_79f3));
    let list = server.asked().pop().unwrap();
    assert_eq!(list.header("x-ms-blob-content-md5"), STANDARD.encode([7; 16]), "kept for who reads it later");
    let named = |part: &PartDone| format!("<Latest>{}</Latest>", part.etag.split_once(':').unwrap().0);
    let body = String::from_utf8(list.body).unwrap();
    assert!(body.contains(&format!("{}{}", named(&parts[0]), named(&parts[1]))), "{body}");
    // What is not the whole is never sent.
    let sent = server.asked().len();
    for wrong in [Whole { crc: Some(1), ..whole }, Whole { size: 9, crc: None, md5: None }] {
        let error = store.complete(&upload, &options, &parts, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
    }
    assert_eq!(server.asked().len(), sent);
}

#[tokio::test]
async fn a_service_without_crcs_compares_the_md5_of_each_block_and_states_nothing() {
    let server = Server::start(|_| (201, vec![("etag", "\"0x8D\"".into())], String::new())).await;
    let store = server.store(|_| {});
    let options = PutOptions { size: 5, ..PutOptions::default() };
    let upload = store.begin(&"k".into(), &options).await.unwrap();
    let payload = Payload::from("hello");
    let part = store.part(&upload, 1, 0, &payload).await.unwrap();
    let again = store.part(&upload, 1, 0, &payload).await.unwrap();
    let md5s: Vec<String> =
        server.asked().iter().map(|asked| asked.header("content-md5").to_owned()).collect();
    let md5 = STANDARD.encode(payload.md5());
    assert_eq!(md5s, [String::new(), md5.clone(), md5]);
    assert_eq!((part.crc, &again), (None, &part));
    let recorded = PartDone { crc: Some(payload.crc(CrcAlgorithm::Crc64Nvme)), ..part };
    let whole = Whole { size: 5, ..Whole::default() };
    let written = store.complete(&upload, &options, &[recorded], &whole).await.unwrap();
    assert_eq!(written.stated, crate::Checksums::default());
    assert_eq!(server.asked().pop().unwrap().header("x-ms-blob-content-md5"), "", "nobody knows it");
}

/// A container with names `n00000` and so on, three a page, that can only go on by marks.
fn numbered(asked: &Asked, count: usize) -> Answer {
    let from = asked.get("marker").map_or(0, |mark| mark.trim_start_matches("after-").parse().unwrap());
    let mut body = String::from("<EnumerationResults><Blobs>");
    let until = (from + 3).min(count);
    for number in from..until {
        body.push_str(&format!(
            "<Blob><Name>n{number:05}</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>"
        ));
    }
    let next = if until < count { format!("after-{until}") } else { String::new() };
    (200, Vec::new(), format!("{body}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"))
}

async fn keys(store: &AzureStore, after: Option<&str>) -> Vec<String> {
    let request = ListRequest { after: after.map(Into::into), ..ListRequest::default() };
    let pages: Vec<_> = store.list(request).try_collect().await.unwrap();
    assert!(after.is_none() || pages.iter().all(|page| !page.entries.is_empty()), "no page of nothing");
    pages
        .into_iter()
        .flat_map(|page| page.entries)
        .map(|entry| entry.key.to_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn where_a_listing_cannot_start_in_the_middle_it_goes_on_from_the_nearest_mark() {
    for knows_version in [true, false] {
        let server = Server::start(move |asked| {
            if asked.get("startFrom").is_some() && !knows_version {
                return (400, vec![("x-ms-error-code", "InvalidHeaderValue".into())], String::new());
            }
            numbered(asked, 300)
        })
        .await;
        let store = server.store(|_| {});
        assert!(store.starts_anywhere(), "nobody knows yet");
        assert_eq!(keys(&store, None).await.len(), 300);
        assert!(!store.starts_anywhere(), "found out with the first page");
        let asked = server.asked().len();
        assert_eq!(asked, 101, "one question beside the pages");
        let rest = keys(&store, Some("n00290")).await;
        assert_eq!((rest.len(), rest[0].as_str()), (9, "n00291"));
        assert!(server.asked().len() <= asked + 5, "{} requests", server.asked().len() - asked);
        // Another one knows no marks: it reads what comes before, and gives none of it.
        let other = server.store(|_| {});
        assert_eq!(keys(&other, Some("n00290")).await.len(), 9);
        assert!(!other.starts_anywhere());
    }
}

#[tokio::test]
async fn where_a_listing_can_start_in_the_middle_it_does() {
    let server = Server::start(|asked| match asked.get("startFrom") {
        None => numbered(asked, 300),
        Some(name) => {
            assert_eq!(asked.header("x-ms-version"), "2026-02-06");
            let number: usize = name.trim_start_matches('n').parse().unwrap();
            let mark = asked.get("marker").unwrap_or(format!("after-{number}"));
            let query = format!("GET /acc/con?marker={mark}");
            numbered(&Asked { line: query, ..Asked::default() }, 300)
        }
    })
    .await;
    let store = server.store(|_| {});
    assert_eq!(keys(&store, Some("n00296")).await, ["n00297", "n00298", "n00299"]);
    assert_eq!(server.asked().len(), 3, "two pages, and one question");
    assert_eq!(keys(&store, None).await.len(), 300);
    assert!(store.starts_anywhere());
}

#[tokio::test]
async fn a_listing_that_stands_still_is_an_error() {
    let server = Server::start(|_| {
        let body = "<EnumerationResults><Blobs/><NextMarker>same</NextMarker></EnumerationResults>";
        (200, Vec::new(), body.to_owned())
    })
    .await;
    let pages: Vec<_> = server.store(|_| {}).list(ListRequest::default()).collect().await;
    assert_eq!(pages.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Protocol);
    assert!(pages.len() < 4);
}

#[tokio::test]
async fn a_directory_of_a_hierarchical_namespace_is_a_marker() {
    let server = Server::start(|asked| {
        let path = asked.line.split([' ', '?']).nth(1).unwrap_or_default();
        let folder = vec![
            ("x-ms-meta-hdi_isfolder", "true".to_owned()),
            ("etag", "\"0x8D\"".to_owned()),
            ("x-ms-meta-kept", "1".to_owned()),
        ];
        match path {
            "/acc/con" => {
                let body = "<EnumerationResults><Blobs><Blob><Name>d</Name><Properties><Etag>0x8D</Etag><Content-Length>0</Content-Length></Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob><Blob><Name>d/x</Name><Properties><Content-Length>1</Content-Length><AccessTier>Archive</AccessTier></Properties></Blob></Blobs><NextMarker/></EnumerationResults>";
                (200, Vec::new(), body.to_owned())
            }
            "/acc/con/d" if asked.line.starts_with("HEAD") => {
                (200, [folder, vec![("content-length", "0".into())]].concat(), String::new())
            }
            "/acc/con/d" => (200, folder, String::new()),
            _ => (404, vec![("x-ms-error-code", "BlobNotFound".into())], refusal("BlobNotFound", "")),
        }
    })
    .await;
    let store = server.store(|_| {});
    let pages: Vec<_> = store.list(ListRequest::default()).try_collect().await.unwrap();
    let listed: Vec<_> =
        pages[0].entries.iter().map(|e| (e.key.to_str().unwrap(), e.size, e.class.as_deref())).collect();
    assert_eq!(listed, [("d/", 0, None), ("d/x", 1, Some("Archive"))]);
    let version = Version { etag: Some("0x8D".into()), ..Version::default() };
    let read = store.read(&"d/".into(), None, &version).await.unwrap();
    assert_eq!(read.meta.headers.user, [("kept".to_owned(), "1".to_owned())]);
    assert_eq!(store.head(&"d/".into()).await.unwrap().size, 0);
    // A name that is neither is not there.
    assert_eq!(store.head(&"other/".into()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn only_an_empty_marker_of_the_prefix_is_left_out() {
    let blob = |name: &str, size: u64| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Content-Length>{size}</Content-Length></Properties></Blob>"
        )
    };
    for (prefix, size, listed) in [("logs", 10, 2), ("logs", 0, 2), ("logs/", 10, 2), ("logs/", 0, 1)] {
        let blobs = blob(prefix, size) + &blob(&format!("{prefix}/x"), 1);
        let body = format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>");
        let server = Server::start(move |_| (200, Vec::new(), body.clone())).await;
        let store = server.store(|endpoint| endpoint.prefix = prefix.into());
        let pages: Vec<_> = store.list(ListRequest::default()).try_collect().await.unwrap();
        let special: u64 = pages.iter().map(|page| page.special).sum();
        assert_eq!((pages[0].entries.len(), special), (listed, 2 - listed as u64), "{prefix}, {size} bytes");
        assert!(listed == 1 || pages[0].entries[0].size == size);
    }
}

#[tokio::test]
async fn a_signature_that_runs_out_is_read_again_from_its_file() {
    let server = Server::start(|asked| {
        assert_eq!(asked.header("authorization"), "", "a signature stands in the address");
        if asked.get("sig").as_deref() == Some("new=secret") {
            return numbered(asked, 1);
        }
        let window = detail("Signature not valid in the specified time frame");
        (403, Vec::new(), refusal("AuthenticationFailed", &window))
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "?sv=2022-11-02&sig=old%3Dsecret\n").unwrap();
    let store = server.store(|endpoint| {
        (endpoint.access_key, endpoint.secret_key) =
            (Secret::Literal(String::new()), Secret::Literal(String::new()));
        endpoint.sas_token = Secret::File(file.path().into());
    });
    let error = Source::check(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsExpired, "{error}");
    assert!(crate::retry::is_systemic(error.kind()), "the job pauses, no object fails");
    std::fs::write(file.path(), "sv=2022-11-02&sig=new%3Dsecret").unwrap();
    let before = server.asked().len();
    Source::check(&store).await.unwrap();
    assert_eq!(server.asked().len(), before + 2, "refused once, and asked again with the new one");
}

#[tokio::test]
async fn no_error_says_back_what_a_request_was_signed_with() {
    let key = STANDARD.encode("hunter2hunter2");
    let said = key.clone();
    let server = Server::start(move |asked| {
        let said = if asked.header("authorization").is_empty() { "" } else { &said };
        let body = format!("you sent {} {} {said}", asked.header("authorization"), asked.line);
        (400, Vec::new(), refusal("InvalidInput", "").replace("Server said so.", &body.replace('&', " ")))
    })
    .await;
    let signature = "sv=2022-11-02&sig=TellNobody%2Bthis%3D";
    let connection = format!("BlobEndpoint={}/acc;SharedAccessSignature={signature}", server.endpoint);
    let none = || Secret::Literal(String::new());
    let stores = [
        server.store(|_| {}),
        server.store(|e| {
            (e.access_key, e.secret_key, e.sas_token) = (none(), none(), Secret::Literal(signature.into()));
        }),
        server.store(|e| {
            (e.access_key, e.secret_key) = (none(), none());
            e.connection_string = Secret::Literal(connection.clone());
        }),
    ];
    for store in stores {
        let error = Source::check(&store).await.unwrap_err().to_string();
        assert!(error.contains("you sent"), "{error}");
        for secret in [key.as_str(), "TellNobody", "hunter2"] {
            assert!(!error.contains(secret), "{secret} is in {error}");
        }
    }
}
