//! The vendors' SDKs can use the test server, and it refuses what the vendors refuse.

use tests::family::{Dialect, Server};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::{python, script};

fn check(dialect: Dialect, name: &str) {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("sdk-bucket");
    let mut command = python();
    command.arg(script("check_family.py")).args([name, &server.endpoint(), ACCESS_KEY, SECRET_KEY]);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn oss2_and_the_official_v2_sdk_agree_with_the_oss_server() {
    check(Dialect::Oss, "oss");
}

#[test]
fn boto3_agrees_with_the_s3_server() {
    check(Dialect::S3, "s3");
}
