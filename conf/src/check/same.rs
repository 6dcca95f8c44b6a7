//! A job must not write into what it reads: it would never end, or damage its own source.

use std::path::{Component, Path, PathBuf};

use super::host::Host;
use super::reader::Reader;
use crate::job::{Endpoint, EndpointType};

/// An error when the two ends overlap.
pub(super) fn refuse(read: &mut Reader<'_>, source: &Endpoint, destination: &Endpoint) {
    let local = |end: &Endpoint| end.kind == EndpointType::Local;
    if local(source) && local(destination) {
        let (from, to) = (resolved(&directory(source)), resolved(&directory(destination)));
        if from.starts_with(&to) || to.starts_with(&from) {
            let what = format!(
                "is {}, which lies in the source, around it, or is the source itself ({}): choose a directory outside of it",
                to.display(),
                from.display()
            );
            read.bad("destination", "path", &what);
        }
        return;
    }
    let list = source.kind == EndpointType::Http;
    if list || local(source) || local(destination) || service(source) != service(destination) {
        return;
    }
    let (from, to) = (source.prefix.as_str(), destination.prefix.as_str());
    if source.bucket == destination.bucket && (from.starts_with(to) || to.starts_with(from)) {
        let what = format!(
            "is the source's own bucket, and the prefixes {from:?} and {to:?} overlap: choose another bucket, or prefixes of which none begins with the other"
        );
        read.bad("destination", "bucket", &what);
    }
}

/// The deepest directory that holds all of it.
fn directory(end: &Endpoint) -> PathBuf {
    end.path.join(end.prefix.rsplit_once('/').map_or("", |(directory, _)| directory))
}

fn service(end: &Endpoint) -> String {
    Host::parse(&end.endpoint).map_or_else(|_| end.endpoint.clone(), |host| host.identity())
}

/// Without `.` and `..`, and with links resolved as far as the path exists.
fn resolved(path: &Path) -> PathBuf {
    let mut known = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                known.pop();
            }
            other => known.push(other),
        }
        if let Ok(real) = known.canonicalize() {
            known = real;
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn a_service_is_the_same_by_all_of_its_names() {
        use crate::check::host::Host;
        let identity = |name: &str| Host::parse(name).unwrap().identity();
        for names in [
            ["cos.ap-guangzhou.myqcloud.com", "http://cos-internal.ap-guangzhou.tencentcos.cn"],
            ["s3.bj.bcebos.com", "bj.bcebos.com"],
            ["v0.api.upyun.com", "http://v3.api.upyun.com"],
            ["ks3-cn-beijing.ksyun.com", "ks3-cn-beijing-internal.ksyuncs.com"],
            ["s3.cn-east-1.qiniucs.com", "s3-cn-east-1.qiniucs.com"],
            ["s3.eu-west-1.amazonaws.com", "s3.dualstack.eu-west-1.amazonaws.com"],
            ["s3.amazonaws.com", "s3-us-west-2.amazonaws.com"],
            ["oss-cn-beijing.aliyuncs.com", "s3.oss-cn-beijing-internal.aliyuncs.com"],
        ] {
            assert_eq!(identity(names[0]), identity(names[1]));
        }
        assert_ne!(identity("s3.bj.bcebos.com"), identity("s3.gz.bcebos.com"));
        assert_ne!(identity("s3.cn-north-1.amazonaws.com.cn"), identity("s3.amazonaws.com"));
        assert_ne!(identity("cos.ap-beijing.myqcloud.com"), identity("cos.ap-guangzhou.myqcloud.com"));
        assert_ne!(identity("http://10.0.0.1:9000"), identity("http://10.0.0.1:9001"));
    }

    #[test]
    fn a_path_is_resolved_through_links_as_far_as_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        let odd = dir.path().join("./link/../link/not/./there");
        // `link/..` is the directory that holds `real`: the link is followed first.
        let end = resolved(&dir.path().join("link/not/../there"));
        assert_eq!(end, real.join("there"));
        assert!(resolved(&odd).ends_with("not/there"));
    }
}
