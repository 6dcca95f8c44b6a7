use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use conf::Endpoint;
use futures::TryStreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use tempfile::TempDir;

use crate::destination::Destination;
use crate::error::{Error, ErrorKind};
use crate::meta::Version;
use crate::meter::Meter;
use crate::open::{self, Context};
use crate::source::{ListRequest, Page, Source};

mod reading;
mod walking;
mod writing;

fn context() -> Context {
    Context { meter: Meter::unlimited(), timeout: Duration::from_secs(10), job: "test".into() }
}

fn endpoint(root: &Path) -> Endpoint {
    Endpoint { path: root.to_owned(), ..Endpoint::default() }
}

fn source(root: &Path) -> Arc<dyn Source> {
    open::source(&endpoint(root), &context()).unwrap()
}

fn destination(root: &Path) -> Arc<dyn Destination> {
    open::destination(&endpoint(root), &context()).unwrap()
}

/// A tree with these files, each holding its own name; a name that ends in `/` is an empty directory.
fn tree(names: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    for name in names {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }
    root
}

async fn pages(source: &dyn Source, request: ListRequest) -> Result<Vec<Page>, Error> {
    source.list(request).try_collect().await
}

async fn entries(source: &dyn Source, request: ListRequest) -> Vec<Entry> {
    pages(source, request).await.unwrap().into_iter().flat_map(|page| page.entries).collect()
}

async fn keys(source: &dyn Source, request: ListRequest) -> Vec<String> {
    entries(source, request).await.iter().map(|entry| entry.key.to_line()).collect()
}

fn version(entry: &Entry) -> Version {
    Version { size: entry.size, modified_ms: entry.modified_ms, etag: None }
}

async fn one(source: &dyn Source, key: &str) -> Entry {
    let request = ListRequest { under: key.into(), ..ListRequest::default() };
    entries(source, request).await.into_iter().find(|entry| entry.key == ObjectKey::from(key)).unwrap()
}

/// Every path below the root, links and temporary files too.
fn everything(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        }
    }
    found
}
