//! Error bodies as the services send them (from the vendors' documents and from reports of their users): the right
//! kind, the right decision, and what the user is told.

use super::{refused, refused_with};
use crate::dialect::{BOS, COS, Dialect, KS3, OSS, QINIU, S3};
use crate::error::{ErrorKind, Op};
use crate::retry::retryable;

/// COS, "Error codes": the element names, the indentation, and what it adds for signatures.
fn cos(code: &str, message: &str) -> String {
    format!(
        "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>{code}</Code>\n\t<Message>{message}</Message>\n\t<ServerTime>2019-07-19T11:10:53Z</ServerTime>\n\t<Resource>photos-1250000000.cos.ap-beijing.myqcloud.com/1.png</Resource>\n\t<RequestId>NWQzMWE1M2RfMTlhYTk0MGFfYjc1Zl8yODc3ZDA=</RequestId>\n\t<TraceId>OGVmYzZiMmQzYjA2OWNhODk0NTRkMTBiOWVmMDAx</TraceId>\n</Error>\n"
    )
}

/// BOS over S3; over its own interface the same in JSON ("Error codes").
fn bos(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Resource>/b/k</Resource><RequestId>4db2b34d-654d-4d8a-b49b-3049ca786409</RequestId></Error>"
    )
}

/// KS3 and Qiniu: as Amazon.
fn amazon(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Resource>/b/k</Resource><RequestId>f3b9a1c7e2d84a55</RequestId></Error>"
    )
}

fn check(dialect: &'static Dialect, op: Op, status: u16, body: &str, kind: ErrorKind, again: bool) {
    let error = refused(dialect, op, status, body);
    assert_eq!(error.kind(), kind, "{} {body}", dialect.name);
    assert_eq!(retryable(error.kind()), again, "{} {body}", dialect.name);
    assert!(!error.code().is_empty() && !error.request_id().is_empty(), "{} {body}", dialect.name);
}

#[test]
fn cos_is_understood() {
    use ErrorKind::*;
    for (op, status, code, message, kind, again) in [
        (Op::Get, 403, "AccessDenied", "Access Denied.", AccessDenied, false),
        (Op::Get, 403, "AccessDenied", "Request has expired", ClockSkew, false),
        (Op::Get, 403, "RequestTimeTooSkewed", "The difference is too large.", ClockSkew, false),
        (
            Op::Get,
            403,
            "InvalidAccessKeyId",
            "The Access Key Id you provided does not exist in our records",
            BadCredentials,
            false,
        ),
        (Op::Get, 400, "ExpiredToken", "The provided token has expired.", CredentialsExpired, true),
        (
            Op::Get,
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            Archived,
            false,
        ),
        (Op::Get, 404, "NoSuchKey", "The specified key does not exist.", NotFound, false),
        (Op::List, 404, "NoSuchBucket", "The specified bucket does not exist.", BucketNotFound, false),
        (
            Op::Complete,
            404,
            "NoSuchUpload",
            "The specified multipart upload does not exist.",
            UploadNotFound,
            false,
        ),
        (Op::Put, 400, "KeyTooLong", "Your key is too long.", InvalidName, false),
        (
            Op::Put,
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            Corrupted,
            true,
        ),
        (Op::Put, 400, "EntitySizeNotMatch", "The size does not match.", Corrupted, true),
        (Op::Put, 400, "RequestTimeOut", "Your socket connection was not read from in time.", Timeout, true),
        (Op::Put, 409, "FileAlreadyExists", "The file already exists.", PreconditionFailed, false),
        (Op::Put, 503, "SlowDown", "Reduce your request rate.", Throttled, true),
        (Op::Put, 503, "ServiceUnavailable", "Please reduce your request rate.", Throttled, true),
        (
            Op::Put,
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
            ServiceFailure,
            true,
        ),
        (Op::List, 451, "UnavailableForLegalReasons", "The account is in arrears.", AccessDenied, false),
        (Op::List, 400, "InvalidRegionName", "The region is not valid.", WrongEndpoint, false),
    ] {
        check(&COS, op, status, &cos(code, message), kind, again);
    }
}

/// As a user reported it: the service says back what it signed.
#[test]
fn a_wrong_signature_at_cos_is_no_reason_to_try_again() {
    let body = "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>SignatureDoesNotMatch</Code>\n\t<Message>The Signature you specified is invalid.</Message>\n\t<StringToSign>sha1\n1615113257;1615199657\nc7503b92a8581b3f3f68c8f7f64a8917b03a1a95\n</StringToSign>\n\t<FormatString>put\n/imagesresume-zh en_页面_1.png\n\nhost=o2-1258123310.cos.ap-beijing.myqcloud.com\n</FormatString>\n\t<Resource>o2-00000000.cos.ap-beijing.myqcloud.com/imagesresume-zh+en_页面_1.png</Resource>\n\t<RequestId>NjA0NGFjMmFfZTViOTJhMDlfMjA0NDlfNzU0MzM4NQ==</RequestId>\n</Error>";
    check(&COS, Op::Put, 403, body, ErrorKind::BadCredentials, false);
    let error = refused(&COS, Op::Put, 403, body);
    assert_eq!(error.request_id(), "NjA0NGFjMmFfZTViOTJhMDlfMjA0NDlfNzU0MzM4NQ==");
}

#[test]
fn bos_is_understood() {
    use ErrorKind::*;
    for (op, status, code, message, kind, again) in [
        (Op::Get, 403, "AccessDenied", "Access denied.", AccessDenied, false),
        (
            Op::List,
            403,
            "AccountOverdue",
            "Your request is denied because there is an overdue bill of your account.",
            AccessDenied,
            false,
        ),
        (
            Op::Get,
            403,
            "InvalidAccessKeyId",
            "The Access Key ID you provided does not exist in our records.",
            BadCredentials,
            false,
        ),
        (
            Op::Get,
            400,
            "InvalidHTTPAuthHeader",
            "The HTTP authorization header is invalid.",
            BadCredentials,
            false,
        ),
        (
            Op::Get,
            400,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match.",
            BadCredentials,
            false,
        ),
        (Op::Get, 400, "RequestExpired", "Request has expired.", ClockSkew, false),
        (Op::Get, 404, "NoSuchKey", "The resource you requested does not exist", NotFound, false),
        (Op::List, 404, "NoSuchBucket", "The requested bucket does not exist.", BucketNotFound, false),
        (Op::Part, 404, "NoSuchUpload", "The upload ID might be invalid.", UploadNotFound, false),
        (
            Op::Put,
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            Corrupted,
            true,
        ),
        (
            Op::Put,
            400,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
            Refused,
            false,
        ),
        (Op::Put, 400, "InvalidObjectName", "Your object key is too long.", InvalidName, false),
        (Op::Complete, 400, "InappropriateXML", "not appropriate for this operation.", Refused, false),
        (
            Op::Put,
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
            ServiceFailure,
            true,
        ),
        (Op::Put, 503, "ServiceUnavailable", "Please reduce your request rate.", Throttled, true),
        (Op::Put, 503, "SlowDown", "Please reduce your request rate.", Throttled, true),
    ] {
        check(&BOS, op, status, &bos(code, message), kind, again);
    }
    // Its own interface, which answers where a name is not the S3 one's.
    let json = "{\n\"code\":\"NoSuchKey\",\n\"message\":\"The resource you requested does not exist\",\n\"requestId\":\" 4db2b34d-654d-4d8a-b49b-3049ca786409\"\n}";
    check(&BOS, Op::Get, 404, json, NotFound, false);
}

#[test]
fn ks3_is_understood() {
    use ErrorKind::*;
    for (op, status, code, message, kind, again) in [
        (Op::List, 404, "NoSuchBucket", "The specified bucket does not exist.", BucketNotFound, false),
        (Op::Get, 404, "NotFound", "Object not found", NotFound, false),
        (Op::Get, 404, "NoSuchKey", "The specified key does not exist.", NotFound, false),
        (Op::Get, 403, "AccessDenied", "Access Denied", AccessDenied, false),
        (Op::Get, 403, "RequestTimeTooSkewed", "more than 15 minutes", ClockSkew, false),
        (Op::Get, 403, "InvalidAccessKeyId", "the AWS access key Id is invalid", BadCredentials, false),
        (
            Op::Get,
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match",
            BadCredentials,
            false,
        ),
        (Op::Put, 400, "InvalidKey", "The object name is not valid", InvalidName, false),
        (Op::Put, 400, "InvalidDigest", "The Content-MD5 you specified is not valid", Corrupted, true),
        (
            Op::Part,
            400,
            "InvalidPartNum",
            "Part number must be an integer between 1 and 10000",
            Refused,
            false,
        ),
        (
            Op::Complete,
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order",
            Refused,
            false,
        ),
        (Op::Put, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum", Refused, false),
        (Op::Put, 429, "Throttling", "Rate exceeded", Throttled, true),
        (Op::Put, 500, "InternalError", "We encountered an internal error", ServiceFailure, true),
    ] {
        check(&KS3, op, status, &amazon(code, message), kind, again);
    }
}

#[test]
fn qiniu_is_understood() {
    use ErrorKind::*;
    for (op, status, code, message, kind, again) in [
        (Op::List, 404, "NoSuchBucket", "The specified bucket does not exist", BucketNotFound, false),
        (Op::Get, 404, "NoSuchKey", "The specified key does not exist.", NotFound, false),
        (
            Op::Get,
            403,
            "InvalidAccessKeyId",
            "The Access Key Id you provided does not exist",
            BadCredentials,
            false,
        ),
        (
            Op::Get,
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match",
            BadCredentials,
            false,
        ),
        (
            Op::Get,
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            Archived,
            false,
        ),
        (Op::Put, 400, "BadDigest", "The Content-MD5 you specified did not match", Corrupted, true),
        (Op::Put, 503, "SlowDown", "Please reduce your request rate.", Throttled, true),
        (
            Op::Put,
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
            ServiceFailure,
            true,
        ),
    ] {
        check(&QINIU, op, status, &amazon(code, message), kind, again);
    }
    // The numbers of its own interface.
    assert_eq!(refused(&QINIU, Op::Get, 573, "").kind(), Throttled);
    assert_eq!(refused(&QINIU, Op::Get, 612, "{\"error\":\"no such file or directory\"}").kind(), NotFound);
    assert_eq!(refused(&QINIU, Op::List, 631, "{\"error\":\"no such bucket\"}").kind(), BucketNotFound);
}

/// As a user of OSS reported it.
#[test]
fn oss_is_understood() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>NoSuchKey</Code>\n  <Message>The specified key does not exist.</Message>\n  <RequestId>6631665D70888B3338D312E1</RequestId>\n  <HostId>b.oss-ap-southeast-1.aliyuncs.com</HostId>\n  <Key>k</Key>\n  <EC>0026-00000001</EC>\n  <RecommendDoc>https://api.alibabacloud.com/troubleshoot?q=0026-00000001</RecommendDoc>\n</Error>\n";
    check(&OSS, Op::Get, 404, body, ErrorKind::NotFound, false);
}

#[test]
fn who_asks_at_the_wrong_place_is_told_what_to_write() {
    let at = |endpoint: &str, status, headers: &[(&'static str, &'static str)], body: &str| {
        let error = refused_with(&S3, endpoint, Op::List, status, headers, body);
        assert_eq!(error.kind(), ErrorKind::WrongEndpoint, "{error}");
        error.to_string()
    };
    let moved = "<Error><Code>PermanentRedirect</Code><Message>must be addressed using the specified endpoint.</Message><Endpoint>b.s3-us-west-2.amazonaws.com</Endpoint><RequestId>R</RequestId></Error>";
    let said = at("https://s3.us-east-1.amazonaws.com", 301, &[("x-amz-bucket-region", "us-west-2")], moved);
    assert!(
        said.contains("write region = \"us-west-2\" and endpoint = \"https://s3.us-west-2.amazonaws.com\""),
        "{said}"
    );
    let said = at("https://s3.us-east-1.amazonaws.com", 301, &[], moved);
    assert!(said.contains("write endpoint = \"https://s3-us-west-2.amazonaws.com\""), "{said}");
    let wrong = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>";
    let said = at("https://s3.us-east-1.amazonaws.com", 400, &[], wrong);
    assert!(said.contains("endpoint = \"https://s3.eu-central-1.amazonaws.com\""), "{said}");
    // A server of one's own stays where it is.
    let said = at("https://minio.example.com", 400, &[], wrong);
    assert!(said.contains("write region = \"eu-central-1\"") && !said.contains("amazonaws"), "{said}");
    let said =
        at("https://s3.example.com", 307, &[("location", "https://b.s3.far.example.com/?list-type=2")], "");
    assert!(said.contains("write endpoint = \"https://s3.far.example.com\""), "{said}");
}
