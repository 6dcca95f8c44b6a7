//! Answers of a hostile service, byte for byte: status lines, headers, bodies of every operation in both
//! dialects, sent by a server that says whatever the input is.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use conf::job::EndpointType;
use conf::{Endpoint, Secret};
use futures::StreamExt;
use proto::ObjectKey;
use storage::destination::{Unwanted, Whole};
use storage::open::{self, Context};
use storage::upkeep::CopyFrom;
use storage::{Error, ListRequest, Meter, PartDone, Payload, PutOptions, UploadRef, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use tests::discreet::must_be_harmless;

use crate::{Bound, fuzz};

/// A chunk of a body, the buffers of a connection, and the documents, which name everything twice.
const BOUND: Bound = Bound { base: 16 << 20, each: 400 };

const SECRET: &str = "hostile/secret+key=0123456789";
const TOKEN: &str = "hostile/session+token=0123456789";

const WORDS: [&str; 40] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n",
    "HTTP/1.1 503 Slow\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Retry-After: ",
    "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    "Content-Range: bytes 0-9/10\r\n",
    "Content-Range: bytes 0-18446744073709551615/*\r\n",
    "ETag: \"",
    "x-amz-meta-a: =?UTF-8?B?AAAA?=\r\n",
    "x-oss-err: ",
    "x-oss-hash-crc64ecma: ",
    "x-amz-checksum-crc64nvme: ",
    "Content-Encoding: gzip\r\n",
    "{AUTHORIZATION}",
    "{SECRET}",
    "{TOKEN}",
    "<Error><Code>NoSuchBucket</Code><Message>",
    "</Message></Error>",
    "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]>",
    "&c;",
    "&#0;",
    "&#x1b;",
    "&#x110000;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<Contents><Key>",
    "</Key></Contents>",
    "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
    "<IsTruncated>true</IsTruncated>",
    "<NextContinuationToken>",
    "<EncodingType>url</EncodingType>",
    "<Size>",
    "<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
    "<a><a><a><a>",
];

const LISTING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>b</Name><Prefix>p/</Prefix>\
    <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t1</NextContinuationToken>\
    <NextMarker>p/b</NextMarker><Contents><Key>p/a%20b</Key><LastModified>2026-11-21T07:00:00.000Z</LastModified>\
    <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass>\
    <Type>Normal</Type></Contents><Contents><Key>p/b</Key><Size>18</Size></Contents>\
    <CommonPrefixes><Prefix>p/c/</Prefix></CommonPrefixes></ListBucketResult>";
const UPLOADS: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>\
    <Upload><Key>p/a</Key><UploadId>u1</UploadId></Upload></ListMultipartUploadsResult>";
const PARTS: &str = "<ListPartsResult><IsTruncated>false</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker><Part>\
    <PartNumber>1</PartNumber><ETag>\"e\"</ETag><Size>5</Size><HashCrc64ecma>77</HashCrc64ecma></Part></ListPartsResult>";
const BEGUN: &str = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult><ETag>\"e-1\"</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=\
    </ChecksumCRC64NVME></CompleteMultipartUploadResult>";
const COPIED: &str = "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>";
const DELETED: &str = "<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
const REFUSAL: &str = "<Error><Code>SignatureDoesNotMatch</Code><Message>You sent {AUTHORIZATION} with {SECRET} and {TOKEN}\
    </Message><RequestId>r1</RequestId><StringToSign>{SECRET}</StringToSign><Region>us-east-1</Region></Error>";

const HEADERS: &str = "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\nLast-Modified: Sat, 21 Nov 2026 07:00:00 GMT\r\n\
    x-oss-hash-crc64ecma: 11051210869376104954\r\nx-amz-checksum-crc64nvme: rosUhgp5mIg=\r\nx-amz-meta-name: v\r\n\
    x-oss-meta-name: v\r\nContent-Type: text/plain\r\nx-amz-request-id: r1\r\nx-oss-object-type: Normal\r\n";

/// The first byte of an input says which operation is answered, the second in which dialect.
fn valid() -> Vec<Vec<u8>> {
    let bodies = [
        LISTING,
        "",
        "0123456789",
        "",
        BEGUN,
        "",
        PARTS,
        COMPLETED,
        "",
        UPLOADS,
        DELETED,
        COPIED,
        LISTING,
        UPLOADS,
    ];
    let mut inputs = Vec::new();
    for dialect in 0..2 {
        for (operation, body) in bodies.iter().enumerate() {
            for (status, body) in [
                ("200 OK", *body),
                ("403 Forbidden", REFUSAL),
                ("502 Bad Gateway", "<html>{AUTHORIZATION}</html>"),
            ] {
                let mut input = vec![operation as u8, dialect];
                // The length is of the body as it is sent, whatever is filled in.
                let length = if status == "200 OK" {
                    format!("Content-Length: {}\r\n", body.len())
                } else {
                    String::new()
                };
                input.extend(format!("HTTP/1.1 {status}\r\n{HEADERS}{length}\r\n{body}").bytes());
                inputs.push(input);
            }
        }
    }
    inputs
}

/// What the server says to everybody, and what it heard of the last one.
#[derive(Default)]
struct Script {
    answer: Vec<u8>,
    signatures: Vec<String>,
}

async fn serve(listener: TcpListener, script: Rc<RefCell<Script>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = script.clone();
        tokio::task::spawn_local(async move { drop(reply(stream, &script).await) });
    }
}

async fn reply(mut stream: TcpStream, script: &RefCell<Script>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await?;
        if n == 0 {
            return Ok(());
        }
        head.extend_from_slice(&some[..n]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let authorization = text.lines().find_map(|line| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    });
    let authorization = authorization.map(|(_, value)| value.to_owned()).unwrap_or_default();
    let signature = authorization.rsplit('=').next().unwrap_or_default().to_owned();
    let answer = {
        let mut script = script.borrow_mut();
        script.signatures.push(signature);
        script.answer.clone()
    };
    let fill = [("{AUTHORIZATION}", &*authorization), ("{SECRET}", SECRET), ("{TOKEN}", TOKEN)];
    let mut answer = answer;
    for (place, value) in fill {
        // A few times: the bounds are in proportion to the input.
        for _ in 0..8 {
            let found = answer.windows(place.len()).position(|part| part == place.as_bytes());
            let Some(at) = found else { break };
            answer.splice(at..at + place.len(), value.bytes());
        }
    }
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Whatever of the request is still on its way is taken, so that the answer is not lost to a reset.
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn run(operation: u8, endpoint: &Endpoint) -> Result<(), Error> {
    let (meter, timeout) = (Meter::unlimited(), Duration::from_secs(5));
    let context = Context { meter, timeout, job: "local_test".into() };
    let (from, to) = (open::source(endpoint, &context)?, open::destination(endpoint, &context)?);
    let beside = open::upkeep(endpoint, &context)?;
    let (key, version) = (ObjectKey::from("a b"), Version { size: 10, ..Version::default() });
    let upload = UploadRef { key: key.clone(), id: "u1".into() };
    let (options, payload) = (PutOptions::default(), Payload::new(vec!["01234".into()]));
    let part = PartDone { number: 1, offset: 0, size: 5, etag: "e".into(), crc: Some(77), md5: None };
    match operation % 14 {
        0 | 12 => {
            let folded = operation % 14 == 12;
            let mut pages = from.list(ListRequest { folded, ..ListRequest::default() });
            for _ in 0..4 {
                let Some(page) = pages.next().await else { break };
                let page = page?;
                for entry in &page.entries {
                    assert!(
                        entry.key.as_bytes().len() <= 4096,
                        "a key of {} bytes",
                        entry.key.as_bytes().len()
                    );
                    assert!(entry.size <= i64::MAX as u64, "an object of {} bytes", entry.size);
                }
            }
        }
        1 => drop(from.head(&key).await?),
        2 => {
            let mut read = from.read(&key, Some(0..10), &version).await?;
            let mut bytes = 0;
            while let Some(chunk) = read.body.next().await {
                bytes += chunk?.len();
            }
            assert!(bytes <= 4 << 20);
        }
        3 => drop(to.put(&key, &options, &payload).await?),
        4 => drop(to.begin(&key, &options).await?),
        5 => drop(to.part(&upload, 1, 0, &payload).await?),
        6 => drop(to.parts(&upload, &[part]).await?),
        7 => {
            drop(to.complete(&upload, &options, &[part], &Whole { size: 5, crc: Some(77), md5: None }).await?)
        }
        8 => drop(to.abort(&Unwanted::Known(upload)).await?),
        13 => drop(to.abort(&Unwanted::Unknown { key, since_ms: 0, wanted: "u2".into() }).await?),
        9 => drop(beside.uploads().await?),
        10 => beside.delete(&[key]).await?,
        _ => {
            let source = CopyFrom { bucket: "b".into(), key: "x".into(), etag: Some("e".into()) };
            drop(beside.copy(&source, &key).await?);
        }
    }
    Ok(())
}

#[test]
fn answers_of_a_service() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let script = Rc::new(RefCell::new(Script::default()));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    local.spawn_local(serve(listener, script.clone()));
    fuzz("answers_of_a_service", 5_000, BOUND, &valid(), &WORDS, |input| {
        let [operation, dialect, answer @ ..] = input else { return };
        *script.borrow_mut() = Script { answer: answer.to_vec(), signatures: Vec::new() };
        let endpoint = Endpoint {
            kind: if dialect % 2 == 0 { EndpointType::S3 } else { EndpointType::Oss },
            endpoint: endpoint.clone(),
            region: "us-east-1".into(),
            bucket: "b".into(),
            prefix: "p/".into(),
            access_key: Secret::Literal("AKID".into()),
            secret_key: Secret::Literal(SECRET.into()),
            session_token: Secret::Literal(TOKEN.into()),
            addressing: conf::job::Addressing::Path,
            ..Endpoint::default()
        };
        must_be_bounded_and_discreet(&runtime, &local, *operation, &endpoint, &script);
    });
}

fn must_be_bounded_and_discreet(
    runtime: &Runtime,
    local: &tokio::task::LocalSet,
    operation: u8,
    endpoint: &Endpoint,
    script: &RefCell<Script>,
) {
    let Err(error) = local.block_on(runtime, run(operation, endpoint)) else { return };
    let text = error.to_string();
    must_be_harmless("an error", &text, &[]);
    assert!(text.len() < 8_000, "{} bytes", text.len());
    let signatures = script.borrow().signatures.clone();
    for secret in signatures.iter().map(String::as_str).chain([SECRET, TOKEN]) {
        assert!(secret.is_empty() || !text.contains(secret), "{secret} is told: {text}");
    }
}
