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
    if local(source) || local(destination) || service(source) != service(destination) {
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
