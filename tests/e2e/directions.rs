//! 1,000 objects of mixed sizes from zero bytes to 300 MiB in every direction, compared by another client.

use tempfile::TempDir;
use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use tests::world::Side;

const MIXED: &str = "mixed:1000";

fn oss() -> (Server, Side) {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let side = Side::oss(&server.endpoint(), "bucket", "in/");
    (server, side)
}

fn s3(kind: Kind) -> (S3Server, Side) {
    let server = S3Server::start(kind);
    let side = Side::s3(&server.endpoint(), "bucket", "in/");
    // Makes the bucket: importing into one that does not exist is refused.
    side.seed("small:0");
    (server, side)
}

/// Imports, and looks at the summary's numbers, at both ends, and for secrets.
fn import(source: &Side, destination: &Side) -> Home {
    let home = Home::new();
    home.job(source, destination, "");
    home.import(0, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["state"], "succeeded", "{stat}");
    assert_eq!(stat["objects"]["succeeded"], 1000, "{stat}");
    assert_eq!(stat["objects"]["failed"], 0, "{stat}");
    assert_eq!(stat["bytes"]["moved"], stat["scan"]["bytes"], "{stat}");
    home.must_not_hold_the_secret();
    home
}

#[test]
fn local_to_local() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (from, to) = (Side::local(a.path()), Side::local(b.path()));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal_bare(MIXED);
}

#[test]
fn local_to_s3() {
    let a = TempDir::new().unwrap();
    let (from, (_server, to)) = (Side::local(a.path()), s3(Kind::S3sFs));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal_bare(MIXED);
}

#[test]
fn local_to_oss() {
    let a = TempDir::new().unwrap();
    let (from, (server, to)) = (Side::local(a.path()), oss());
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal_bare(MIXED);
    assert!(server.uploads("bucket").is_empty());
}

#[test]
fn s3_that_lists_out_of_order_to_local() {
    let b = TempDir::new().unwrap();
    let ((_server, from), to) = (s3(Kind::Seaweed), Side::local(b.path()));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal_bare(MIXED);
}

#[test]
fn s3_to_s3() {
    let ((_a, from), (_b, to)) = (s3(Kind::Seaweed), s3(Kind::S3sFs));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal(MIXED);
}

#[test]
fn s3_to_oss() {
    let ((_a, from), (server, to)) = (s3(Kind::Moto), oss());
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal(MIXED);
    assert!(server.uploads("bucket").is_empty());
}

#[test]
fn oss_to_local() {
    let b = TempDir::new().unwrap();
    let ((_server, from), to) = (oss(), Side::local(b.path()));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal_bare(MIXED);
}

#[test]
fn oss_to_s3() {
    let ((_a, from), (_b, to)) = (oss(), s3(Kind::S3sFs));
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal(MIXED);
}

#[test]
fn oss_to_oss() {
    let ((_a, from), (_b, to)) = (oss(), oss());
    from.seed(MIXED);
    import(&from, &to);
    to.must_equal(MIXED);
}
