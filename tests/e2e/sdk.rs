//! The vendors' SDKs can use the test server, and it refuses what the vendors refuse.

use tests::family::{Dialect, Server};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::{python, script};

fn check(dialect: Dialect) {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    for suffix in ["", "-1250000000"] {
        server.make_bucket(&format!("sdk-bucket{suffix}"));
        server.make_foreign(&format!("foreign-bucket{suffix}"));
        server.make_public(&format!("public-bucket{suffix}"));
    }
    let mut command = python();
    command.arg(script("check_family.py")).args([dialect.name(), &server.endpoint(), ACCESS_KEY, SECRET_KEY]);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn oss2_and_the_official_v2_sdk_agree_with_the_oss_server() {
    check(Dialect::Oss);
}

#[test]
fn boto3_agrees_with_the_s3_server() {
    check(Dialect::S3);
}

#[test]
fn cos_python_sdk_v5_agrees_with_the_cos_server() {
    check(Dialect::Cos);
}

#[test]
fn bce_python_sdk_and_boto3_agree_with_the_bos_server() {
    check(Dialect::Bos);
}

#[test]
fn ks3sdk_and_boto3_agree_with_the_ks3_server() {
    check(Dialect::Ks3);
}

#[test]
fn the_qiniu_sdk_and_boto3_agree_with_the_kodo_server() {
    check(Dialect::Qiniu);
}
