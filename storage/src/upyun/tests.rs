//! Recorded refusals map to the right kind and decision.

mod walking;

use std::time::Duration;

use http::{HeaderMap, Response};
use proto::ObjectKey;

use super::request::Call;
use super::*;
use crate::meter::RequestKind;
use crate::retry::{is_systemic, retryable};

fn store(endpoint: &Endpoint) -> UpyunStore {
    let context = Context { meter: Meter::unlimited(), timeout: Duration::from_secs(60), job: String::new() };
    UpyunStore::open(endpoint, &context).unwrap()
}

fn endpoint() -> Endpoint {
    Endpoint {
        endpoint: "http://127.0.0.1:1".into(),
        bucket: "photos".into(),
        secret_key: conf::Secret::Literal("hunter2-hunter2".into()),
        ..Endpoint::default()
    }
}

/// The error that an answer becomes.
fn refused(op: Op, status: u16, body: &str, headers: HeaderMap) -> Error {
    let store = store(&endpoint());
    let key = ObjectKey::from("a/b");
    let call = Call::new(op, RequestKind::Get, http::Method::GET, Some(&key), b"a/b".to_vec());
    call.hidden.keep(&HeaderMap::new(), &store.0.endpoint);
    let (mut head, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
    head.headers = headers;
    failure::of_answer(&store.0, &call, &head, body.as_bytes())
}

fn document(code: u32, msg: &str) -> String {
    format!(r#"{{"msg": "{msg}", "code": {code}, "id": "11e4a729d24943409933a5e8314cd32e"}}"#)
}

/// The sentences of the vendor's table of codes.
const RECORDED: &[(Op, u16, u32, &str, ErrorKind)] = &[
    (Op::Get, 404, 40400001, "file or directory not found", ErrorKind::NotFound),
    (Op::Part, 400, 40011058, "x-upyun-multi-uuid not found", ErrorKind::UploadNotFound),
    (Op::Complete, 400, 40011059, "file md5 not match", ErrorKind::Corrupted),
    (Op::Part, 400, 40011061, "part id error", ErrorKind::Refused),
    (Op::Put, 400, 40000006, "content md5 not match", ErrorKind::Corrupted),
    (Op::Put, 403, 40300007, "content md5 not match", ErrorKind::Corrupted),
    (Op::Put, 400, 40000011, "chunked request bodies not supported yet", ErrorKind::Refused),
    (Op::Put, 400, 40000030, "path encoding should be utf8", ErrorKind::InvalidName),
    (Op::Put, 403, 40300001, "file name contains invalid chars", ErrorKind::InvalidName),
    (Op::Put, 403, 40300002, "file path too long", ErrorKind::InvalidName),
    (Op::Put, 403, 40300004, "bucket is full", ErrorKind::DiskFull),
    (Op::Put, 403, 40300009, "file too large", ErrorKind::Refused),
    (Op::List, 401, 40100002, "date offset error", ErrorKind::ClockSkew),
    (Op::List, 401, 40100005, "signature error", ErrorKind::BadCredentials),
    (Op::List, 401, 40100006, "user not exists", ErrorKind::BadCredentials),
    (Op::List, 401, 40100009, "user password error", ErrorKind::BadCredentials),
    (Op::List, 401, 40100012, "bucket not exist", ErrorKind::BucketNotFound),
    (Op::Put, 401, 40100015, "bucket read only", ErrorKind::AccessDenied),
    (Op::Put, 401, 40100017, "user need permission", ErrorKind::AccessDenied),
    (Op::Put, 406, 40600001, "dir not acceptable", ErrorKind::InvalidName),
    (Op::Put, 406, 40600002, "folder already exists", ErrorKind::InvalidName),
    (Op::Get, 403, 40300015, "path is not a file, maybe a directory", ErrorKind::NotFound),
    (Op::Put, 408, 40800001, "read client request timeout", ErrorKind::Timeout),
    (Op::Get, 429, 42900001, "too many requests", ErrorKind::Throttled),
    (Op::Put, 429, 42900002, "too many requests of the same uri", ErrorKind::Throttled),
    (Op::Put, 503, 50300027, "put file to fs error", ErrorKind::ServiceFailure),
    (Op::Get, 503, 50300031, "read upstream timeout", ErrorKind::ServiceFailure),
];

#[test]
fn recorded_refusals_have_their_kind_and_keep_what_the_service_said() {
    for (op, status, code, msg, kind) in RECORDED {
        let error = refused(*op, *status, &document(*code, msg), HeaderMap::new());
        assert_eq!(error.kind(), *kind, "{error}");
        assert_eq!((error.code(), error.status()), (code.to_string().as_str(), Some(*status)));
        assert_eq!(error.request_id(), "11e4a729d24943409933a5e8314cd32e");
        assert!(error.to_string().contains(msg), "{error}");
        let passes = matches!(
            kind,
            ErrorKind::Corrupted | ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::ServiceFailure
        );
        assert_eq!(retryable(*kind), passes, "{error}");
    }
    for (code, whole) in
        [(40100005, true), (40100012, true), (40100002, true), (40300004, true), (40400001, false)]
    {
        assert_eq!(
            is_systemic(refused(Op::Put, 401, &document(code, "x"), HeaderMap::new()).kind()),
            whole,
            "{code}"
        );
    }
}

#[test]
fn an_answer_without_a_document_is_told_by_its_status() {
    let none = HeaderMap::new;
    assert_eq!(refused(Op::Head, 404, "", none()).kind(), ErrorKind::NotFound);
    assert_eq!(refused(Op::Head, 401, "", none()).kind(), ErrorKind::AccessDenied);
    assert_eq!(refused(Op::Complete, 404, "", none()).kind(), ErrorKind::UploadNotFound);
    let page = refused(Op::Get, 502, "<html>Bad Gateway</html>", none());
    assert_eq!(page.kind(), ErrorKind::ServiceFailure);
    assert!(page.to_string().contains("Bad Gateway"), "{page}");
    let mut headers = HeaderMap::new();
    headers.insert("x-error-code", "40100005".parse().unwrap());
    headers.insert("x-request-id", "r-1".parse().unwrap());
    let head = refused(Op::Head, 401, "", headers);
    assert_eq!((head.kind(), head.request_id()), (ErrorKind::BadCredentials, "r-1"));
}

#[test]
fn errors_say_what_to_do_and_no_secret() {
    let mut headers = HeaderMap::new();
    headers.insert("date", "Wed, 29 Oct 2014 02:26:58 GMT".parse().unwrap());
    headers.insert("retry-after", "7".parse().unwrap());
    let error = refused(Op::List, 401, &document(40100002, "date offset error"), headers);
    assert!(error.to_string().contains("the service's Wed, 29 Oct 2014"), "{error}");
    assert_eq!(error.wait(), Some(Duration::from_secs(7)));
    let error = refused(Op::Put, 406, &document(40600001, "dir not acceptable"), HeaderMap::new());
    assert!(error.to_string().contains("a file and a folder of one name"), "{error}");
    let error = refused(Op::Put, 400, "you sent hunter2-hunter2", HeaderMap::new());
    assert!(!error.to_string().contains("hunter2-hunter2"), "{error}");
    let error = refused(Op::List, 401, &document(40100012, "bucket not exist"), HeaderMap::new());
    assert!(error.to_string().contains("\"photos\""), "{error}");
}

#[test]
fn an_endpoint_that_cannot_be_is_refused() {
    let context = Context { meter: Meter::unlimited(), timeout: Duration::from_secs(1), job: String::new() };
    for endpoint in [
        Endpoint { bucket: String::new(), ..endpoint() },
        Endpoint { endpoint: String::new(), ..endpoint() },
        Endpoint { cdn_domain: "/path".into(), ..endpoint() },
    ] {
        assert!(UpyunStore::open(&endpoint, &context).is_err());
    }
}

#[test]
fn the_rule_for_names_follows_the_prefix() {
    let allows = |prefix: &str| {
        let store = store(&Endpoint { prefix: prefix.into(), ..endpoint() });
        (store.0.limits.name)(&"/a".into()).is_ok()
    };
    assert!(!allows("") && !allows("x/") && allows("x"));
}
