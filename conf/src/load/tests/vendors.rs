//! Endpoints of the services of the S3 family, as users write them.

use super::{Files, convert, each_is_refused, good, load, text};
use crate::job::{Endpoint, EndpointType};

/// A job whose source is this.
fn from(lines: &str) -> String {
    text("", "", "", "")
        .replace("type = \"s3\"\nendpoint = \"http://127.0.0.1:9000\"\nbucket = \"photos\"", lines)
}

/// A job whose destination is this.
fn to(lines: &str) -> String {
    text("", "", "", "").replace("endpoint = \"oss-cn-hangzhou.aliyuncs.com\"\nbucket = \"archive\"", lines)
}

fn source(lines: &str) -> Endpoint {
    good(&from(lines)).source
}

#[test]
fn what_older_tools_wrote_becomes_the_address_of_today() {
    for (lines, endpoint, region) in [
        (
            "type = \"cos\"\nendpoint = \"gz\"\nbucket = \"p-125\"",
            "https://cos.ap-guangzhou.myqcloud.com",
            "ap-guangzhou",
        ),
        (
            "type = \"cos\"\nendpoint = \"tj\"\nbucket = \"p-125\"",
            "https://cos.ap-beijing-1.myqcloud.com",
            "ap-beijing-1",
        ),
        (
            "type = \"cos\"\nregion = \"sh\"\nbucket = \"p-125\"",
            "https://cos.ap-shanghai.myqcloud.com",
            "ap-shanghai",
        ),
        (
            "type = \"cos\"\nendpoint = \"https://cos.ap-beijing.tencentcos.cn\"\nbucket = \"p-125\"",
            "https://cos.ap-beijing.tencentcos.cn",
            "ap-beijing",
        ),
        (
            "type = \"bos\"\nendpoint = \"http://bj.bcebos.com\"\nbucket = \"p\"",
            "https://s3.bj.bcebos.com",
            "bj",
        ),
        ("type = \"bos\"\nregion = \"su\"\nbucket = \"p\"", "https://s3.su.bcebos.com", "su"),
        (
            "type = \"ks3\"\nendpoint = \"ks3-cn-beijing.ksyun.com\"\nbucket = \"p\"",
            "https://ks3-cn-beijing.ksyuncs.com",
            "BEIJING",
        ),
        (
            "type = \"ks3\"\nregion = \"cn-shanghai\"\nbucket = \"p\"",
            "https://ks3-cn-shanghai.ksyuncs.com",
            "SHANGHAI",
        ),
        (
            "type = \"ks3\"\nregion = \"BEIJING\"\nbucket = \"p\"",
            "https://ks3-cn-beijing.ksyuncs.com",
            "BEIJING",
        ),
        (
            "type = \"qiniu\"\nregion = \"cn-east-1\"\nbucket = \"p\"",
            "https://s3.cn-east-1.qiniucs.com",
            "cn-east-1",
        ),
        (
            "type = \"qiniu\"\nendpoint = \"s3-cn-east-1.qiniucs.com\"\nbucket = \"p\"",
            "https://s3-cn-east-1.qiniucs.com",
            "cn-east-1",
        ),
        (
            "type = \"s3\"\nprovider = \"obs\"\nregion = \"cn-north-4\"\nbucket = \"p\"",
            "https://obs.cn-north-4.myhuaweicloud.com",
            "cn-north-4",
        ),
        ("type = \"s3\"\nprovider = \"gcs\"\nbucket = \"p\"", "https://storage.googleapis.com", "auto"),
        (
            "type = \"s3\"\nprovider = \"garage\"\nendpoint = \"http://g:3900\"\nbucket = \"p\"",
            "http://g:3900",
            "garage",
        ),
    ] {
        let source = source(lines);
        assert_eq!((source.endpoint.as_str(), source.region.as_str()), (endpoint, region), "{lines}");
        // What `convert` prints is understood again, and is the same.
        let files = Files::new();
        let printed = convert(&files.write("a.toml", from(lines))).unwrap().value;
        assert_eq!(good(&printed).source, source, "{printed}");
    }
}

/// Here they would be the names of directories below that of the file.
#[test]
fn paths_of_windows_are_refused_and_explained() {
    for path in [r"\\server\share\dir", r"\data\new", r"data\new", r"D:\data", "C:/data"] {
        let lines = format!("type = \"local\"\npath = '{path}'");
        each_is_refused(&[(from(&lines), &["5: ", "Windows path", "on this machine"])]);
    }
    assert_eq!(source("type = \"local\"\npath = '/data/a\\b'").path, std::path::Path::new("/data/a\\b"));
}

#[test]
fn a_directory_can_be_told_to_keep_what_is_there() {
    let (job, said) = load(&to("type = \"local\"\npath = \"/data/new\"\nforbid_overwrite = true")).unwrap();
    assert!(job.destination.forbid_overwrite && said.is_empty(), "{said:?}");
}

#[test]
fn a_service_is_known_by_its_address_or_by_its_name() {
    let provider = |lines: &str| source(lines).provider;
    let at = |endpoint: &str| provider(&format!("type = \"s3\"\nendpoint = \"{endpoint}\"\nbucket = \"p\""));
    assert_eq!(at("https://storage.googleapis.com"), "gcs");
    assert_eq!(at("https://0123abcd.r2.cloudflarestorage.com"), "r2");
    assert_eq!(at("https://obs.cn-north-4.myhuaweicloud.com"), "obs");
    assert_eq!(at("https://tos-s3-cn-beijing.volces.com"), "tos");
    assert_eq!(at("https://s3.eu-west-1.amazonaws.com"), "");
    assert_eq!(
        provider("type = \"s3\"\nprovider = \"minio\"\nendpoint = \"http://m:9000\"\nbucket = \"p\""),
        "minio"
    );
}

#[test]
fn what_cannot_work_is_refused_with_what_to_write() {
    each_is_refused(&[
        (from("type = \"cos\"\nendpoint = \"gz\"\nbucket = \"photos\""), &["6: ", "photos-APPID"]),
        (from("type = \"cos\"\nbucket = \"p-125\""), &["no endpoint"]),
        (
            from("type = \"qiniu\"\nendpoint = \"http://photos.u.qiniudn.com\"\nbucket = \"p\""),
            &["5: ", "download domain", "https://s3.REGION.qiniucs.com", "cn-north-1"],
        ),
        (
            from("type = \"qiniu\"\nendpoint = \"http://img.example.com\"\nbucket = \"p\""),
            &["5: ", "no S3 address of Qiniu", "https://s3.REGION.qiniucs.com", "cn-east-1"],
        ),
        (
            from(
                "type = \"qiniu\"\nendpoint = \"img.example.com:8080\"\nregion = \"cn-south-1\"\nbucket = \"p\"",
            ),
            &["5: ", "no S3 address of Qiniu", "write https://s3.cn-south-1.qiniucs.com"],
        ),
        (
            from(
                "type = \"qiniu\"\nendpoint = \"https://photos.s3-cn-east-1.qiniucs.com\"\nbucket = \"photos\"",
            ),
            &["5: ", "begins with the bucket", "https://s3-cn-east-1.qiniucs.com"],
        ),
        (
            from("type = \"ks3\"\nendpoint = \"ks3-us-west-1.ksyun.com\"\nbucket = \"p\""),
            &["no region", "SHANGHAI", "SINGAPORE"],
        ),
        (
            to(
                "type = \"s3\"\nprovider = \"gcs\"\nbucket = \"p\"\nserver_side_encryption = \"aws:kms\"\nkms_key_id = \"k\"",
            ),
            &["gcs takes none"],
        ),
        (from("type = \"ks3\"\nendpoint = \"mars\"\nbucket = \"p\""), &["5: ", "no region of ks3"]),
        (
            from("type = \"s3\"\nprovider = \"mino\"\nendpoint = \"http://m:1\"\nbucket = \"p\""),
            &["5: ", "minio"],
        ),
        (
            to("type = \"bos\"\nregion = \"bj\"\nbucket = \"p\"\nforbid_overwrite = true"),
            &["bos has no such promise", "skip_existing"],
        ),
        (
            to("type = \"s3\"\nprovider = \"gcs\"\nbucket = \"p\"\nforbid_overwrite = true"),
            &["gcs has no such promise"],
        ),
        (
            to(
                "type = \"qiniu\"\nregion = \"cn-east-1\"\nbucket = \"p\"\nserver_side_encryption = \"AES256\"",
            ),
            &["qiniu has none"],
        ),
        (
            to(
                "type = \"cos\"\nregion = \"ap-guangzhou\"\nbucket = \"p-125\"\nserver_side_encryption = \"KMS\"",
            ),
            &["cos takes AES256, cos/kms"],
        ),
    ]);
    let lines = "type = \"bos\"\nregion = \"bj\"\nbucket = \"p\"\nstorage_class = \"COLD\"";
    let (_, said) = load(&to(lines)).unwrap();
    assert!(said.len() == 1 && said[0].contains("STANDARD, STANDARD_IA"), "{said:?}");
    let (job, said) =
        load(&to("type = \"oss\"\nprovider = \"minio\"\nregion = \"cn-beijing\"\nbucket = \"archive\""))
            .unwrap();
    assert_eq!((job.destination.kind, said.len()), (EndpointType::Oss, 1));
    assert!(said[0].contains("does nothing for a destination of type \"oss\""), "{said:?}");
}
