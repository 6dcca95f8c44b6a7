//! What can be known without a server: addressing, encoding, and what refusals become.

use http::{Method, Request};

mod answers;
mod recorded;

use super::request::{Call, encode};
use super::*;
use crate::dialect::{BOS, COS, KS3, OSS, QINIU, S3};
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
    S3Store::open(&endpoint, dialect, &context()).unwrap()
}

fn context() -> Context {
    Context { meter: Meter::unlimited(), timeout: std::time::Duration::from_secs(1), job: String::new() }
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

/// What a request would look like on the wire.
async fn signed(store: &S3Store, call: &Call<'_>) -> http::request::Parts {
    store.client().signed(call).await.unwrap()
}

#[tokio::test]
async fn cos_is_asked_in_its_own_way() {
    let store = client(&COS, "https://cos.ap-guangzhou.myqcloud.com", "photos-1250000000");
    let request = ListRequest { under: "a b/".into(), ..ListRequest::default() };
    let next = list::Next::After(b"a b/\xc3\xa9".to_vec());
    let call = store.client().list_call(&request, None, Some(&next), 7, false).unwrap();
    let parts = signed(&store, &call).await;
    assert_eq!(
        parts.uri.to_string(),
        "https://photos-1250000000.cos.ap-guangzhou.myqcloud.com/?encoding-type=url&max-keys=7&prefix=a%20b%2F&marker=a%20b%2F%C3%A9"
    );
    let authorization = parts.headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("q-sign-algorithm=sha1&q-ak=id&"), "{authorization}");
    assert!(
        authorization.contains("q-header-list=host&q-url-param-list=encoding-type;marker;max-keys;prefix&")
    );
    assert!(store.client().list_v1.load(Ordering::Relaxed), "it has no version 2");
}

#[tokio::test]
async fn cos_never_takes_the_bucket_for_an_object_and_its_signer_never_panics() {
    let store = client(&COS, "https://cos.ap-guangzhou.myqcloud.com", "photos-1250000000");
    for key in ["./", "a/..", "a/../", "x/./..//"] {
        let key = ObjectKey::from(key);
        let call = Call::new(Op::Get, RequestKind::Get, Method::GET, Some(&key));
        assert_eq!(store.client().signed(&call).await.unwrap_err().kind(), ErrorKind::InvalidName, "{key:?}");
    }
    let key = ObjectKey::from("a/../b");
    let mut call = Call::new(Op::Put, RequestKind::Put, Method::PUT, Some(&key));
    assert!(signed(&store, &call).await.uri.path().ends_with("/a/../b"));
    let value = http::HeaderValue::from_bytes("é".as_bytes()).unwrap();
    call.headers.push((http::HeaderName::from_static("x-cos-meta-a"), value));
    let error = store.client().signed(&call).await.unwrap_err();
    assert!(error.to_string().contains("x-cos-meta-a is not ASCII"), "{error}");
}

/// A signature of COS lives for an hour, and its signer refuses keys that are to be read again before.
#[tokio::test]
async fn cos_signs_with_keys_from_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret").unwrap();
    let endpoint = Endpoint {
        kind: conf::job::EndpointType::Cos,
        endpoint: "https://cos.ap-guangzhou.myqcloud.com".into(),
        bucket: "p-125".into(),
        access_key: conf::Secret::Literal("id".into()),
        secret_key: conf::Secret::File(file.path().to_owned()),
        session_token: conf::Secret::Literal("token".into()),
        ..Endpoint::default()
    };
    let store = S3Store::open(&endpoint, &COS, &context()).unwrap();
    let key = ObjectKey::from("k");
    let parts = signed(&store, &Call::new(Op::Get, RequestKind::Get, Method::GET, Some(&key))).await;
    assert_eq!(parts.headers["x-cos-security-token"], "token");
}

#[tokio::test]
async fn the_others_sign_as_amazon_does_with_what_they_lack_left_out() {
    let request = ListRequest::default();
    let query = |store: &S3Store| {
        let call = store.client().list_call(&request, None, None, 7, true).unwrap();
        call.query.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let qiniu = client(&QINIU, "https://s3.cn-east-1.qiniucs.com", "b");
    assert_eq!(query(&qiniu), ["list-type", "max-keys"]);
    assert!(qiniu.client().path_style);
    let ks3 = client(&KS3, "https://ks3-cn-beijing.ksyuncs.com", "b");
    assert_eq!(query(&ks3), ["list-type", "encoding-type", "max-keys"]);
    assert!(!ks3.client().path_style);
    let key = ObjectKey::from("k");
    let put = |payload: &'static str| {
        Call::new(Op::Put, RequestKind::Put, Method::PUT, Some(&key)).body(payload.into())
    };
    let hash =
        |parts: http::request::Parts| parts.headers["x-amz-content-sha256"].to_str().unwrap().to_owned();
    assert_eq!(hash(signed(&ks3, &put("x")).await), "UNSIGNED-PAYLOAD");
    let bos = client(&BOS, "https://s3.bj.bcebos.com", "b");
    // SHA-256 of the example in Amazon's documents of the signature.
    assert_eq!(
        hash(signed(&bos, &put("Welcome to Amazon S3.")).await),
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    );
    assert!(hash(signed(&bos, &put("")).await).starts_with("e3b0c442"));
}
