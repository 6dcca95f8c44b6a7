//! Every source to OSS, S3, a directory and Azure Blob: 300 objects with all names that the source can hold, its
//! headers, metadata and sizes up to three parts. Both ends are looked at with the vendors' own SDKs: what is
//! there is the same, or the records name it.

use std::collections::BTreeSet;

use tempfile::TempDir;
use tests::azurite::Azurite;
use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::nginx::Nginx;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::{Side, python, script};
use tests::{family, upyun};

const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

/// What has to live as long as the side.
#[expect(dead_code, reason = "held, not looked at")]
enum Held {
    Folder(TempDir),
    Family(Server),
    Azure(Azurite),
    Upyun(upyun::Server),
    Web(Nginx),
}

fn dialect(dialect: Dialect) -> (Held, Side) {
    let server = family::Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    // Bucket names of COS end in the account's number; the longest keys of BOS and KS3 have no room for a prefix.
    let (bucket, prefix) = match dialect {
        Dialect::Cos => ("bucket-1250000000", "in/"),
        Dialect::Qiniu => ("bucket", "in/"),
        _ => ("bucket", ""),
    };
    server.make_bucket(bucket);
    let side = Side::of(&server, bucket, prefix);
    (Held::Family(server), side)
}

fn azure() -> (Held, Side) {
    let server = Azurite::start();
    let side = Side::azure(&server.endpoint(), "bucket", "");
    // Makes the container.
    side.seed("small:0");
    (Held::Azure(server), side)
}

fn upyun() -> (Held, Side) {
    let server = upyun::Server::start(ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let side = Side::youpai(&server.endpoint(), "bucket", "in/");
    (Held::Upyun(server), side)
}

fn local() -> (Held, Side) {
    let folder = TempDir::new().unwrap();
    let side = Side::local(folder.path());
    (Held::Folder(folder), side)
}

fn web() -> (Held, Side) {
    let nginx = Nginx::start("");
    let side = Side::web(&nginx.files(), &format!("{}/plain/", nginx.url()));
    (Held::Web(nginx), side)
}

/// From there to each of the four.
fn to_all(kind: &str, (_from, from): (Held, Side)) {
    from.seed(&format!("pairs:300:{kind}"));
    for (to_kind, (_to, to)) in
        [("oss", dialect(Dialect::Oss)), ("s3", dialect(Dialect::S3)), ("local", local()), ("azure", azure())]
    {
        let home = Home::new();
        let mut from = from.clone();
        if kind == "http" {
            home.write("list.txt", &from.lines());
            from = from.with("key_list", &home.path().join("list.txt").display().to_string());
        }
        home.job(&from, &to, PARTS);
        let said = home.run(&["--no-input", "import", "--restart"]);
        let records = home.report("local_test");
        let codes: BTreeSet<&str> = records.iter().filter_map(|record| record["code"].as_str()).collect();
        let refused = codes.contains("INVALID_NAME");
        let what = format!("{kind} to {to_kind}: {}{}", said.out, said.err);
        assert_eq!(said.code, if refused { 3 } else { 0 }, "{what}");
        let compared = python()
            .arg(script("pairs.py"))
            .args([from.text(), to.text()])
            .arg(home.path().join("report-local_test.jsonl"))
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&compared.stdout);
        let failed = String::from_utf8_lossy(&compared.stderr);
        assert!(compared.status.success(), "{what}\n{found}{failed}");
        println!("{kind} to {to_kind}: {found}");
        home.must_not_hold_the_secret();
    }
}

#[test]
fn from_a_directory() {
    to_all("local", local());
}

#[test]
fn from_oss() {
    to_all("oss", dialect(Dialect::Oss));
}

#[test]
fn from_s3() {
    to_all("s3", dialect(Dialect::S3));
}

#[test]
fn from_cos() {
    to_all("cos", dialect(Dialect::Cos));
}

#[test]
fn from_bos() {
    to_all("bos", dialect(Dialect::Bos));
}

#[test]
fn from_ks3() {
    to_all("ks3", dialect(Dialect::Ks3));
}

#[test]
fn from_qiniu() {
    to_all("qiniu", dialect(Dialect::Qiniu));
}

#[test]
fn from_azure() {
    to_all("azure", azure());
}

#[test]
fn from_upyun() {
    to_all("youpai", upyun());
}

#[test]
fn from_a_list() {
    to_all("http", web());
}
