//! Where a request goes: the bucket is a label of the host, or the begin of the path.

use http::request::Parts;

use super::reply::Failure;
use super::{Dialect, Target, sign};

/// Virtual-hosted when the host begins with a bucket's label, path style for IP addresses.
pub(crate) fn locate(dialect: Dialect, parts: &Parts) -> Result<Target, Failure> {
    let host = parts
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| parts.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned))
        .unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    let path = sign::decode(parts.uri.path());
    let path = path.strip_prefix(b"/").unwrap_or(&path);
    let (bucket, key) = match bucket_of(dialect, name)? {
        Some(bucket) => (bucket.as_bytes().to_vec(), path.to_vec()),
        None => match path.iter().position(|b| *b == b'/') {
            Some(at) => (path[..at].to_vec(), path[at + 1..].to_vec()),
            None => (path.to_vec(), Vec::new()),
        },
    };
    let bucket =
        String::from_utf8(bucket).map_err(|_| Failure::new(400, "InvalidBucketName", "not UTF-8"))?;
    let query = sign::query(parts.uri.query().unwrap_or_default());
    Ok(Target { method: parts.method.clone(), bucket, key, query })
}

/// The bucket that the host names; `None` where it is in the path.
fn bucket_of(dialect: Dialect, name: &str) -> Result<Option<&str>, Failure> {
    let rules = dialect.rules();
    let by_address = name.is_empty() || name.parse::<std::net::IpAddr>().is_ok() || name == "localhost";
    // Addresses cannot have labels before them, so that tests need the path for every vendor.
    if by_address {
        return Ok(None);
    }
    let labels: Vec<&str> = name.split('.').collect();
    let is_service = |at: usize| labels.get(at).is_some_and(|label| label.starts_with(rules.service));
    if is_service(0) && rules.path_style {
        return Ok(None);
    }
    if !is_service(0) && (is_service(1) || labels.len() >= 4) {
        return Ok(labels.first().copied());
    }
    let text = "The bucket you are attempting to access must be addressed using third level domain.";
    Err(Failure::new(403, "SecondLevelDomainForbidden", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dialect: Dialect, uri: &str) -> Result<(String, String), Failure> {
        let parts = http::Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        let target = locate(dialect, &parts)?;
        Ok((target.bucket, String::from_utf8(target.key).unwrap()))
    }

    #[test]
    fn the_bucket_is_a_label_of_the_host_or_the_begin_of_the_path() {
        let same = [
            (Dialect::Oss, "http://b.oss-cn-x.aliyuncs.com/a%2Fb//c"),
            (Dialect::Cos, "http://b.cos.ap-x.myqcloud.com/a/b//c"),
            (Dialect::Ks3, "http://b.ks3-cn-beijing.ksyuncs.com/a/b/%2Fc"),
            (Dialect::S3, "http://b.s3.us-east-1.amazonaws.com/a/b//c"),
            (Dialect::S3, "http://s3.us-east-1.amazonaws.com/b/a/b//c"),
            (Dialect::Bos, "http://s3.bj.bcebos.com/b/a/b//c"),
            (Dialect::Bos, "http://b.s3.bj.bcebos.com/a/b//c"),
            (Dialect::Qiniu, "http://s3.cn-east-1.qiniucs.com/b/a/b//c"),
            (Dialect::Qiniu, "http://b.u.qiniudn.com/a/b//c"),
            (Dialect::Cos, "http://127.0.0.1:1/b/a/b//c"),
        ];
        for (dialect, uri) in same {
            assert_eq!(at(dialect, uri).unwrap(), ("b".to_owned(), "a/b//c".to_owned()), "{uri}");
        }
    }

    #[test]
    fn vendors_without_path_style_refuse_it() {
        for (dialect, uri) in [
            (Dialect::Oss, "http://oss-cn-x.aliyuncs.com/b/c"),
            (Dialect::Cos, "http://cos.ap-x.myqcloud.com/b/c"),
            (Dialect::Ks3, "http://ks3-cn-beijing.ksyuncs.com/b/c"),
        ] {
            assert!(at(dialect, uri).is_err(), "{uri}");
        }
    }
}
