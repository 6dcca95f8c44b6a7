//! What can be known without a server: addressing, encoding, and what refusals become.

use http::{Method, Request};

mod recorded;

use super::request::{Call, encode};
use super::*;
use crate::dialect::{OSS, S3};
use crate::meter::RequestKind;

fn client(dialect: &'static Dialect, endpoint: &str, bucket: &str) -> S3Store {
    let kinds = conf::job::EndpointType::NAMES;
    let kind = kinds.iter().find(|(_, name)| *name == dialect.name).map(|(kind, _)| *kind);
    let endpoint = Endpoint {
        kind: kind.unwrap_or(conf::job::EndpointType::S3),
        endpoint: endpoint.into(),
        bucket: bucket.into(),
        region: "r1".into(),
        access_key: conf::Secret::Literal("id".into()),
        secret_key: conf::Secret::Literal("secret".into()),
        ..Endpoint::default()
    };
    let context =
        Context { meter: Meter::unlimited(), timeout: std::time::Duration::from_secs(1), job: String::new() };
    S3Store::open(&endpoint, dialect, &context).unwrap()
}

#[test]
fn every_byte_of_a_key_travels_encoded_and_dot_segments_stay() {
    let mut path = String::new();
    encode(&mut path, "a//b/../c d+e%20\u{1}é".as_bytes(), true);
    assert_eq!(path, "a//b/../c%20d%2Be%2520%01%C3%A9");
}

#[test]
fn addresses_and_localhost_are_path_style_names_are_virtual() {
    for (endpoint, bucket, path) in [
        ("http://127.0.0.1:9000", "b", true),
        ("http://[::1]:9000", "b", true),
        ("http://localhost:9000", "b", true),
        ("https://s3.eu-central-1.amazonaws.com", "b", false),
        ("https://s3.eu-central-1.amazonaws.com", "dotted.bucket", true),
    ] {
        assert_eq!(client(&S3, endpoint, bucket).client().path_style, path, "{endpoint} {bucket}");
    }
}

fn refused(dialect: &'static Dialect, op: Op, status: u16, body: &str) -> Error {
    refused_with(dialect, "http://127.0.0.1:1", op, status, &[("retry-after", "7")], body)
}

fn refused_with(
    dialect: &'static Dialect,
    endpoint: &str,
    op: Op,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Error {
    let store = client(dialect, endpoint, "b");
    let key = ObjectKey::from("k");
    let call = Call::new(op, RequestKind::Get, Method::GET, Some(&key));
    let mut answer = http::Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    let head = answer.body(()).unwrap().into_parts().0;
    failure::of_answer(store.client(), &call, &head, body.as_bytes())
}

#[test]
fn recorded_refusals_get_the_right_kind() {
    let document = |code: &str| {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message><RequestId>R1</RequestId></Error>"
        )
    };
    for (dialect, op, status, code, kind) in [
        (&S3, Op::Get, 404, "NoSuchKey", ErrorKind::NotFound),
        (&S3, Op::Get, 404, "NoSuchBucket", ErrorKind::BucketNotFound),
        (&S3, Op::List, 404, "NoSuchKey", ErrorKind::BucketNotFound),
        (&S3, Op::Put, 503, "SlowDown", ErrorKind::Throttled),
        (&S3, Op::Put, 403, "SignatureDoesNotMatch", ErrorKind::BadCredentials),
        (&S3, Op::Put, 400, "ExpiredToken", ErrorKind::CredentialsExpired),
        (&S3, Op::Get, 403, "InvalidObjectState", ErrorKind::Archived),
        (&S3, Op::Put, 400, "BadDigest", ErrorKind::Corrupted),
        (&S3, Op::Put, 500, "SomethingNew", ErrorKind::ServiceFailure),
        (&S3, Op::Put, 400, "SomethingNew", ErrorKind::Refused),
        (&OSS, Op::Put, 409, "FileAlreadyExists", ErrorKind::PreconditionFailed),
        (&OSS, Op::Put, 503, "UploadTrafficRateLimitExceeded", ErrorKind::Throttled),
        (&OSS, Op::Put, 403, "SecurityTokenExpired", ErrorKind::CredentialsExpired),
    ] {
        let error = refused(dialect, op, status, &document(code));
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!((error.code(), error.request_id()), (code, "R1"));
        assert_eq!(error.wait(), Some(std::time::Duration::from_secs(7)));
    }
}

#[test]
fn a_proxys_page_and_an_empty_answer_are_decided_by_their_status() {
    let page = refused(&S3, Op::Get, 502, "<html><body>Bad gateway</body></html>");
    assert_eq!(page.kind(), ErrorKind::ServiceFailure);
    assert!(page.to_string().contains("Bad gateway"));
    assert_eq!(refused(&S3, Op::Head, 403, "").kind(), ErrorKind::AccessDenied);
    assert_eq!(refused(&S3, Op::Part, 404, "").kind(), ErrorKind::UploadNotFound);
}

#[test]
fn a_wrong_region_is_named() {
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>eu-west-1</Region></Error>";
    let error = refused(&S3, Op::List, 400, body);
    assert_eq!(error.kind(), ErrorKind::WrongEndpoint);
    assert!(error.to_string().contains("eu-west-1"));
}

#[test]
fn hostile_documents_are_errors_and_no_panic() {
    for body in [
        "",
        "<",
        "<Error>",
        "<Error><Code>",
        "<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
        "\u{0}\u{1}",
    ] {
        let _ = xml::refusal(body.as_bytes());
        let _ = xml::parse::<xml::Listing>(body.as_bytes());
    }
}

#[test]
fn a_page_that_is_no_listing_is_not_an_empty_bucket() {
    for body in [
        "<html><body>Please log in</body></html>",
        "<?xml version=\"1.0\"?><Error><Code>X</Code></Error>",
        "",
        "<ListBucketResult><Contents><Key>cut",
    ] {
        assert!(xml::parse::<xml::Listing>(body.as_bytes()).is_err(), "{body}");
    }
    let body = "<?xml version=\"1.0\"?><!-- c --><s:ListBucketResult xmlns:s=\"u\"></s:ListBucketResult>";
    assert!(xml::parse::<xml::Listing>(body.as_bytes()).is_ok());
}

#[test]
fn keys_and_prefixes_may_be_mixed_and_keep_every_byte() {
    let body = "<?xml version=\"1.0\"?>\r\n<ListBucketResult>\r\n<Contents>\r\n<Key>a\rb</Key>\r\n<Size>1</Size>\r\n</Contents>\r\n</ListBucketResult>\r\n";
    let listing: xml::Listing = xml::parse(body.as_bytes()).unwrap();
    assert_eq!((listing.contents[0].key.as_str(), listing.contents[0].size), ("a\rb", Some(1)));
    let body = "<ListBucketResult><Contents><Key> a&amp;&#13;b </Key><Size>1</Size></Contents>\
        <CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>\
        <Contents><Key><![CDATA[<c>]]></Key><Size>2</Size></Contents></ListBucketResult>";
    let listing: xml::Listing = xml::parse(body.as_bytes()).unwrap();
    let keys: Vec<&str> = listing.contents.iter().map(|contents| contents.key.as_str()).collect();
    assert_eq!(keys, [" a&\rb ", "<c>"]);
    assert_eq!(listing.common_prefixes[0].prefix, "a/");
}

#[test]
fn a_range_that_ends_behind_the_object_means_that_it_was_changed() {
    let body = "<Error><Code>InvalidRange</Code><Message>m</Message></Error>";
    assert_eq!(refused(&S3, Op::Get, 416, body).kind(), ErrorKind::PreconditionFailed);
    assert_eq!(refused(&S3, Op::Get, 416, "").kind(), ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn oss_signs_the_bucket_also_where_it_stands_in_the_path() {
    let store = client(&OSS, "http://127.0.0.1:9000", "bucket");
    let uri = "http://bucket.127.0.0.1:9000/key";
    let (mut parts, ()) =
        Request::builder().uri(uri).header("host", "127.0.0.1:9000").body(()).unwrap().into_parts();
    store.client().signing.sign(&mut parts).await.unwrap();
    let authorization = parts.headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("OSS4-HMAC-SHA256"), "{authorization}");
}
