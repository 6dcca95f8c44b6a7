//! Awkward keys, byte for byte; what a destination cannot hold fails alone, as INVALID_NAME.

use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use tempfile::TempDir;
use tests::family::{Dialect, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

/// Keys that a local root cannot hold (see docs/operations.md, "Keys at a local destination").
const NOT_LOCAL: [&str; 8] = ["a//b", "/a", "with-content/", ".", "..", "a/./b", "a/../b", "../x"];

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

/// Code and key of each failure, sorted by key.
fn failures(home: &Home) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut failed: Vec<(String, String)> = home
        .report("local_test")
        .iter()
        .filter(|record| record["outcome"] == "failed")
        .map(|record| (text(&record["key"]), text(&record["code"])))
        .collect();
    failed.sort();
    failed
}

#[test]
fn s3_to_s3_carries_every_awkward_key_with_headers_and_metadata() {
    let (a, b) = (server(Dialect::S3), server(Dialect::S3));
    let (from, to) = (Side::s3(&a.endpoint(), "bucket", ""), Side::s3(&b.endpoint(), "bucket", "pre/fix "));
    from.seed("awkward");
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(3, &["--restart"]);
    // 1,023 bytes and the prefix are more than a key may have.
    let long = format!("{}/{}", "k".repeat(1000), "l".repeat(22));
    assert_eq!(failures(&home), [(long.clone(), "INVALID_NAME".to_owned())]);
    to.must_equal_without("awkward", &[long], false);
}

#[test]
fn s3_to_s3_carries_the_longest_key() {
    let (a, b) = (server(Dialect::S3), server(Dialect::S3));
    let (from, to) = (Side::s3(&a.endpoint(), "bucket", ""), Side::s3(&b.endpoint(), "bucket", ""));
    from.seed("awkward");
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(0, &["--restart"]);
    to.must_equal("awkward");
}

#[test]
fn oss_refuses_a_leading_slash_alone() {
    let (a, b) = (server(Dialect::S3), server(Dialect::Oss));
    let (from, to) = (Side::s3(&a.endpoint(), "bucket", ""), Side::oss(&b.endpoint(), "bucket", ""));
    from.seed("awkward");
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(3, &["--restart"]);
    assert_eq!(failures(&home), [("/a".to_owned(), "INVALID_NAME".to_owned())]);
    // The official SDK rewrites dot segments on the way, so these are compared where they are kept.
    for key in a.keys("bucket").into_iter().filter(|key| key != b"/a") {
        let name = String::from_utf8_lossy(&key).into_owned();
        let (left, right) = (a.object("bucket", &key).unwrap(), b.object("bucket", &key));
        assert_eq!(right.unwrap_or_else(|| panic!("no {name}")).data, left.data, "{name}");
    }
    assert_eq!(b.keys("bucket").len(), a.keys("bucket").len() - 1);
}

#[test]
fn no_key_escapes_a_local_root() {
    let a = server(Dialect::S3);
    let from = Side::s3(&a.endpoint(), "bucket", "");
    from.seed("awkward");
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("root");
    let to = Side::local(&root);
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(3, &["--restart"]);
    let failed = failures(&home);
    assert!(failed.iter().all(|(_, code)| code == "INVALID_NAME"), "{failed:?}");
    let keys: Vec<&str> = failed.iter().map(|(key, _)| key.as_str()).collect();
    for key in NOT_LOCAL {
        assert!(keys.contains(&key), "{key} was not refused: {keys:?}");
    }
    let entries: Vec<_> =
        std::fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["root"]);
    to.must_equal_bare("awkward:local");
}

#[test]
fn a_key_that_is_both_file_and_directory_fails_alone() {
    let a = server(Dialect::S3);
    for key in ["n", "n/m", "other"] {
        a.insert("bucket", key.as_bytes(), Object::new(key.to_owned()));
    }
    let root = TempDir::new().unwrap();
    let home = Home::new();
    home.job(&Side::s3(&a.endpoint(), "bucket", ""), &Side::local(root.path()), "");
    home.import(3, &["--restart"]);
    let failed = failures(&home);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].1, "INVALID_NAME");
    assert_eq!(std::fs::read(root.path().join("other")).unwrap(), b"other");
    let kept = std::fs::read(root.path().join("n")).or_else(|_| std::fs::read(root.path().join("n/m")));
    assert!([&b"n"[..], b"n/m"].contains(&&kept.unwrap()[..]));
}

#[test]
fn local_names_that_are_not_utf8_and_special_files_are_reported() {
    let (a, b) = (TempDir::new().unwrap(), server(Dialect::Oss));
    std::fs::write(a.path().join("good"), "good").unwrap();
    std::fs::write(a.path().join(std::ffi::OsStr::from_bytes(b"bad-\xff")), "bad").unwrap();
    std::os::unix::fs::symlink("good", a.path().join("link")).unwrap();
    nix::unistd::mkfifo(&a.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let home = Home::new();
    home.job(&Side::local(a.path()), &Side::oss(&b.endpoint(), "bucket", ""), "");
    let said = home.import(3, &["--restart"]);
    assert_eq!(failures(&home), [("bad-%FF".to_owned(), "INVALID_NAME".to_owned())], "{}", said.out);
    assert_eq!(b.keys("bucket"), [b"good".to_vec()]);
}
