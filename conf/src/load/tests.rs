//! Files as users write them, good and bad.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Kind, Problem, check, convert, job, kind, sys, workers};
use crate::job::{Addressing, EndpointType, JobConf, JobKind, Verify};
use crate::{Secret, SysConf, defaults};

mod rules;
mod system;
mod vendors;
mod youpai;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// A good job with more lines in its sections. `[source]` is line 3, `[destination]` line 9.
fn text(top: &str, source: &str, destination: &str, rest: &str) -> String {
    format!(
        "name = \"test_job\"\n{top}\n[source]\ntype = \"s3\"\nendpoint = \"http://127.0.0.1:9000\"\nbucket = \"photos\"\n{source}\n\n[destination]\nendpoint = \"oss-cn-hangzhou.aliyuncs.com\"\nbucket = \"archive\"\n{destination}\n{rest}\n"
    )
}

/// Without what is only odd.
fn wrong(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().filter(|problem| !problem.odd).collect()
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect()
}

fn load(text: &str) -> Result<(JobConf, Vec<String>), Vec<String>> {
    let files = Files::new();
    match job(&files.write("a.toml", text)) {
        Ok(checked) => Ok((checked.value, said(&checked.warnings))),
        Err(problems) => Err(said(&wrong(problems))),
    }
}

fn good(text: &str) -> JobConf {
    load(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).0
}

/// Each text is one problem, which has these words.
fn each_is_refused(cases: &[(String, &[&str])]) {
    for (text, words) in cases {
        let problems = load(text).expect_err(text);
        assert_eq!(problems.len(), 1, "{problems:#?}\n{text}");
        for word in *words {
            assert!(problems[0].contains(word), "no {word:?} in {problems:?}\n{text}");
        }
    }
}

#[test]
fn the_shipped_files_are_valid_and_say_nothing() {
    let files = Files::new();
    let local = job(&files.write("conf/local_job.toml", defaults::LOCAL_JOB_TOML)).unwrap();
    assert_eq!(local.value.name, "local_test");
    assert_eq!(local.value.source.path, files.root().join("docs/sample/"));
    assert_eq!(local.value.destination.path, files.root().join("out/"));
    assert_eq!(local.warnings, []);
    let cloud = job(&files.write("conf/job.toml", defaults::JOB_TOML)).unwrap();
    assert_eq!(cloud.value.source.region, "us-east-1");
    assert_eq!(cloud.value.destination.region, "cn-hangzhou");
    assert_eq!(cloud.warnings.len(), 4, "four variables that are not set: {:?}", cloud.warnings);
    let shipped = sys(&files.write("conf/sys.toml", defaults::SYS_TOML)).unwrap();
    assert_eq!((shipped.value, shipped.warnings), (SysConf::default(), vec![]));
    assert_eq!(workers(&files.write("conf/workers", defaults::WORKERS)).unwrap().value, ["127.0.0.1"]);
}

#[test]
fn relative_paths_are_taken_from_the_home_or_from_the_file() {
    let files = Files::new();
    let text = text("", "", "", "").replace(
        "endpoint = \"oss-cn-hangzhou.aliyuncs.com\"\nbucket = \"archive\"",
        "type = \"local\"\npath = \"in\"",
    );
    let at = |name: &str| job(&files.write(name, &text)).unwrap().value.destination.path;
    assert_eq!(at("conf/a.toml"), files.root().join("in"));
    assert_eq!(at("jobs/a.toml"), files.root().join("jobs/in"));
}

#[test]
fn a_missing_sys_file_means_the_defaults_and_a_missing_job_is_an_error() {
    let files = Files::new();
    assert_eq!(sys(&files.root().join("sys.toml")).unwrap().value, SysConf::default());
    let problems = job(&files.root().join("job.toml")).unwrap_err();
    assert!(problems[0].message.contains("no such file"), "{problems:?}");
}

#[test]
fn the_predecessors_file_stands_in_for_a_missing_toml() {
    let files = Files::new();
    files.write("conf/sys.properties", "sshPort=2222\n");
    assert_eq!(sys(&files.root().join("conf/sys.toml")).unwrap().value.ssh_port, 2222);
    files.write("conf/local_job.cfg", "srcType=local\nsrcPrefix=/a/\ndestType=local\ndestPrefix=/b/\n");
    assert_eq!(job(&files.root().join("conf/local_job.toml")).unwrap().value.name, "local_test");
}

#[test]
fn every_key_arrives() {
    let job = good(&text(
        "type = \"audit\"\nsince = 2026-01-31T00:00:00Z\nincremental = true\ninterval = \"2h\"\npriority = -5",
        "region = \"eu-west-1\"\nprefix = \"2026/\"\naccess_key = \"a\"\nsecret_key = { file = \"/s\" }\nsession_token = \"t\"\naddressing = \"path\"\nca_file = \"/ca\"\nproxy = \"http://p:1\"\nkey_list = \"/k\"\nlist_page = 10",
        "signature_version = 1\nstorage_class = \"IA\"\nserver_side_encryption = \"KMS\"\nkms_key_id = \"k\"\nforbid_overwrite = true\nanonymous = true",
        "[task]\nobject_count_limit = 50000\nobject_size_limit = \"2GiB\"\nscan_threads = 64\nscan_depth = 0\n[transfer]\nmultipart_threshold = \"1MiB\"\npart_size = 5242880\nparts_in_flight = 64\nskip_existing = true\nverify = \"full\"\nretries = 1\nabort_on_unknown_error = true\nrecord_md5 = true\nrecord_mtime = false\ndirectory_markers = false\nsymlinks = \"read\"\ncarry_tags = true\ncarry_acl = true\nstorage_classes = { GLACIER = \"Archive\" }\ntimeout = 90\nbytes_per_s = \"50MiB/s\"\nrequests_per_s = 7",
    ));
    assert_eq!(
        (job.kind, job.since, job.incremental, job.priority),
        (JobKind::Audit, 1_769_817_600, true, -5)
    );
    assert_eq!(job.interval, Duration::from_secs(7200));
    let (source, destination) = (&job.source, &job.destination);
    assert_eq!((source.kind, source.endpoint.as_str()), (EndpointType::S3, "http://127.0.0.1:9000"));
    assert_eq!(
        (source.region.as_str(), source.prefix.as_str(), source.list_page),
        ("eu-west-1", "2026/", 10)
    );
    assert_eq!(source.secret_key, Secret::File("/s".into()));
    assert_eq!((source.addressing, source.proxy.as_str()), (Addressing::Path, "http://p:1"));
    assert_eq!((source.ca_file.clone(), source.key_list.clone()), (Some("/ca".into()), Some("/k".into())));
    assert_eq!(
        (destination.kind, destination.endpoint.as_str()),
        (EndpointType::Oss, "https://oss-cn-hangzhou.aliyuncs.com")
    );
    assert_eq!((destination.region.as_str(), destination.signature_version), ("cn-hangzhou", 1));
    assert_eq!((destination.storage_class.as_str(), destination.kms_key_id.as_str()), ("IA", "k"));
    assert!(destination.forbid_overwrite && destination.anonymous);
    assert_eq!((job.task.object_count_limit, job.task.object_size_limit), (50_000, 2 << 30));
    assert_eq!((job.task.scan_threads, job.task.scan_depth), (64, 0));
    let transfer = &job.transfer;
    assert_eq!(
        (transfer.multipart_threshold, transfer.part_size, transfer.parts_in_flight),
        (1 << 20, 5 << 20, 64)
    );
    assert_eq!(
        (transfer.verify, transfer.retries, transfer.timeout),
        (Verify::Full, 1, Duration::from_secs(90))
    );
    assert_eq!((transfer.bytes_per_s, transfer.requests_per_s), (50 << 20, 7));
    assert!(transfer.skip_existing && transfer.abort_on_unknown_error && transfer.record_md5);
    assert!(!transfer.record_mtime && !transfer.directory_markers);
    assert!(transfer.carry.tags && transfer.carry.acl && !transfer.carry.make_markers);
    assert_eq!(transfer.carry.class_for(Some("GLACIER")), Some("Archive"));
}

#[test]
fn what_an_end_does_not_have_cannot_be_carried() {
    let transfer = |line: &str| text("", "", "", &format!("[transfer]\n{line}"));
    let destination = |line: &str| text("", "", line, "");
    let made = good(&transfer(
        "directory_markers = \"create\"\nstorage_classes = \"STANDARD_IA=IA, GLACIER=Archive\"",
    ));
    assert!(made.transfer.directory_markers && made.transfer.carry.make_markers);
    assert_eq!(made.transfer.carry.class_for(Some("GLACIER")), Some("Archive"));
    assert_eq!(good(&destination("acl = \"public-read\"")).destination.acl, "public-read");
    let wire = String::from_utf8(made.to_wire()).unwrap();
    assert_eq!(JobConf::from_wire(wire.as_bytes()).unwrap(), made);
    // As jobs were stored before there were these keys.
    let old: String = wire
        .lines()
        .take_while(|line| !line.starts_with("[transfer.carry"))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(old.len() < wire.len() && JobConf::from_wire(old.as_bytes()).is_ok());
    each_is_refused(&[
        (transfer("symlinks = \"carry\""), &["symlinks", "source of type \"s3\"", "links"]),
        (transfer("directory_markers = \"make\""), &["directory_markers", "make", "create"]),
        (transfer("storage_classes = { \"a b\" = \"IA\" }"), &["storage_classes", "a b"]),
        (transfer("storage_classes = { hot = \"IA\" }"), &["storage_classes", "Hot", "STANDARD"]),
        (transfer("storage_classes = 5"), &["storage_classes", "5", "STANDARD_IA"]),
        (destination("acl = \"publik-read\""), &["acl", "did you mean \"public-read\"", "default"]),
        (
            text("", "", "acl = \"private\"", "[transfer]\ncarry_acl = true"),
            &["acl", "carry_acl", "remove one"],
        ),
    ]);
}

#[test]
fn each_value_out_of_its_range_is_refused_with_its_line() {
    let top = |line: &str| text(line, "", "", "");
    let task = |line: &str| text("", "", "", &format!("[task]\n{line}"));
    let transfer = |line: &str| text("", "", "", &format!("[transfer]\n{line}"));
    each_is_refused(&[
        (top("type = \"imprt\""), &["2: ", "imprt", "did you mean \"import\"", "audit"]),
        (top("since = \"soon\""), &["2: ", "since", "Unix seconds"]),
        (top("interval = \"899s\""), &["2: ", "899s", "15m"]),
        (top("incremental = \"yes\""), &["2: ", "true or false"]),
        (top("priority = 101"), &["2: ", "-100 to 100"]),
        (text("", "", "", "").replace("test_job", "abc"), &["1: ", "4 to 128"]),
        (text("", "", "", "").replace("test_job", "a b c d"), &["1: ", "4 to 128"]),
        (task("object_count_limit = 50001"), &["14: ", "50001", "1 to 50000"]),
        (task("object_count_limit = 0"), &["1 to 50000"]),
        (task("object_size_limit = \"many\""), &["size", "64MiB"]),
        (task("scan_threads = 65"), &["1 to 64"]),
        (task("scan_depth = 17"), &["0 to 16"]),
        (transfer("multipart_threshold = \"1023KiB\""), &["1MiB"]),
        (transfer("part_size = \"4MiB\""), &["5MiB"]),
        (transfer("part_size = \"6GiB\""), &["5GiB"]),
        (transfer("parts_in_flight = 0"), &["1 to 64"]),
        (transfer("verify = \"md5\""), &["checksum, size, full"]),
        (transfer("retries = 0"), &["1 to 100"]),
        (transfer("timeout = \"2h\""), &["1h"]),
        (transfer("bytes_per_s = \"fast\""), &["rate"]),
        (transfer("requests_per_s = -1"), &["from 0 on"]),
        (transfer("requests_per_s = [1]"), &["array"]),
    ]);
}

#[test]
fn each_bad_endpoint_is_refused_with_the_way_out() {
    let source = |line: &str| text("", line, "", "");
    let destination = |line: &str| text("", "", line, "");
    let swap = |from: &str, to: &str| text("", "", "", "").replace(from, to);
    let s3 = "http://127.0.0.1:9000";
    each_is_refused(&[
        (swap("type = \"s3\"\n", ""), &["the source has no type", "local, oss, s3"]),
        (swap("\"s3\"", "\"S4\""), &["4: ", "one of local"]),
        (swap(&format!("endpoint = \"{s3}\"\n"), ""), &["no endpoint"]),
        (swap(s3, "ftp://x"), &["5: ", "scheme"]),
        (swap(s3, "http://host/photos"), &["the path \"photos\"", "bucket"]),
        (swap(s3, "https://a:b@host"), &["credentials"]),
        (swap(s3, "http://host:99999"), &["port"]),
        (
            swap(s3, "http://photos.s3.eu-west-1.amazonaws.com"),
            &["begins with the bucket", "http://s3.eu-west-1.amazonaws.com"],
        ),
        (swap(s3, "::1"), &["brackets"]),
        (swap("bucket = \"photos\"", "bucket = \"\""), &["6: ", "no bucket"]),
        (swap("bucket = \"photos\"", "bucket = \"photos/2026\""), &["slash", "prefix"]),
        (swap("\"archive\"", "\"Archive\""), &["OSS bucket", "lower-case"]),
        (swap("oss-cn-hangzhou.aliyuncs.com", "oss-accelerate.aliyuncs.com"), &["no region", "region ="]),
        (destination("region = \"cn-beijing\""), &["cn-hangzhou", "remove the wrong one"]),
        (destination("prefix = \"/in/\""), &["begins with a slash", "\"in/\""]),
        (destination("path = \"/data\""), &["type = \"local\""]),
        (destination("signature_version = 2"), &["neither 1 nor 4"]),
        (destination("server_side_encryption = \"aws:kms\""), &["AES256, KMS, SM4"]),
        (destination("kms_key_id = \"k\""), &["does not ask for KMS"]),
        (source("secret_key = \"s\""), &["no access_key"]),
        (source("access_key = \"s\""), &["no secret_key"]),
        (source("session_token = \"s\""), &["stands alone"]),
        (
            source("anonymous = true\naccess_key = \"a\"\nsecret_key = \"s\""),
            &["anonymous", "keys are given"],
        ),
        (source("access_key = 5\nsecret_key = \"s\""), &["access_key", "${NAME}"]),
        (source("proxy = \"proxy\""), &["proxy", "http://"]),
        (source("key_list = \"C:/list\""), &["Windows path"]),
        (source("list_page = 1001"), &["1 to 1000"]),
    ]);
}

#[test]
fn addresses_are_completed_and_say_their_region() {
    for (kind, endpoint, region, url, found) in [
        (
            "oss",
            "oss-cn-hangzhou-internal.aliyuncs.com",
            "",
            "https://oss-cn-hangzhou-internal.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            "oss",
            "http://OSS-cn-beijing.aliyuncs.com/",
            "",
            "http://oss-cn-beijing.aliyuncs.com",
            "cn-beijing",
        ),
        (
            "oss",
            "oss-accelerate.aliyuncs.com",
            "oss-cn-beijing",
            "https://oss-accelerate.aliyuncs.com",
            "cn-beijing",
        ),
        ("oss", "", "cn-shanghai", "https://oss-cn-shanghai.aliyuncs.com", "cn-shanghai"),
        ("s3", "s3.eu-west-1.amazonaws.com", "", "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3", "s3-eu-west-1.amazonaws.com", "", "https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        (
            "s3",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "",
            "https://s3.dualstack.eu-west-1.amazonaws.com",
            "eu-west-1",
        ),
        ("s3", "s3.cn-north-1.amazonaws.com.cn", "", "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3", "s3.amazonaws.com", "", "https://s3.amazonaws.com", "us-east-1"),
        (
            "s3",
            "s3.oss-cn-hangzhou.aliyuncs.com",
            "",
            "https://s3.oss-cn-hangzhou.aliyuncs.com",
            "oss-cn-hangzhou",
        ),
        ("s3", "", "us-west-2", "https://s3.us-west-2.amazonaws.com", "us-west-2"),
        ("s3", "[::1]:9000", "", "https://[::1]:9000", "us-east-1"),
        ("s3", "http://minio.example.com:9000", "mine", "http://minio.example.com:9000", "mine"),
    ] {
        let source = format!("type = \"{kind}\"\nendpoint = \"{endpoint}\"\nregion = \"{region}\"");
        let job = good(
            &text("", "", "", "").replace("type = \"s3\"\nendpoint = \"http://127.0.0.1:9000\"", &source),
        );
        assert_eq!((job.source.endpoint.as_str(), job.source.region.as_str()), (url, found), "{source}");
    }
}

#[test]
fn a_source_is_never_its_own_destination() {
    let cloud = |endpoint: &str, prefixes: (&str, &str)| {
        format!(
            "name = \"test_job\"\n[source]\ntype = \"oss\"\nendpoint = \"oss-cn-hangzhou.aliyuncs.com\"\nbucket = \"archive\"\nprefix = {:?}\n[destination]\nendpoint = {endpoint:?}\nbucket = \"archive\"\nprefix = {:?}\n",
            prefixes.0, prefixes.1
        )
    };
    let local = |from: &str, to: &str| {
        format!(
            "name = \"test_job\"\n[source]\ntype = \"local\"\npath = {from:?}\n[destination]\ntype = \"local\"\npath = {to:?}\n"
        )
    };
    let other = "http://oss-cn-hangzhou-internal.aliyuncs.com";
    each_is_refused(&[
        (cloud(other, ("", "")), &["9: ", "overlap"]),
        (cloud(other, ("", "backup/")), &["overlap"]),
        (cloud(other, ("a/b/", "a/")), &["overlap"]),
        (local("/data", "/data/"), &["7: ", "outside"]),
        (local("/data", "/data/in"), &["outside"]),
        (local("/data/in", "/data/in/../../data"), &["outside"]),
        (local("/data", "/data") + "prefix = \"../x/\"\n", &["8: ", "no .. in it"]),
        (local("/data/a", "/data") + "prefix = \"a/b/\"\n", &["outside"]),
    ]);
    good(&cloud(other, ("a/", "b/")));
    good(&cloud("oss-cn-beijing.aliyuncs.com", ("", "")));
    good(&local("/data", "/data2"));
    good(&(local("/data/a", "/data") + "prefix = \"b/\"\n"));
}

#[test]
fn what_is_odd_is_said_and_nothing_more() {
    for (text, words) in [
        (text("", "prefix = \"2026\"", "", ""), "also matches \"20262/x\""),
        (text("", "", "prefix = \"2026\"", ""), "becomes \"2026x\""),
        (text("", "prefix = \"/2026/\"", "", ""), "part of every key"),
        (text("incremental = true\ninterval = \"30m\"", "", "", ""), "below one hour"),
        (text("", "storage_class = \"IA\"", "", ""), "does nothing for a source"),
        (text("", "follow_symlinks = true", "", ""), "does nothing for a source of type \"s3\""),
        (
            text("", "access_key = \"a\"\nsecret_key = \"${BRIGADE_UNSET_HERE}\"", "", ""),
            "BRIGADE_UNSET_HERE, which is not set",
        ),
    ] {
        let (_, warnings) = load(&text).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}\n{text}");
        assert!(warnings[0].contains(words), "no {words:?} in {warnings:?}");
    }
    assert_eq!(load(&text("", "", "", "")).unwrap().1, [] as [String; 0]);
}

#[test]
fn all_problems_are_listed_at_once_with_the_nearest_key() {
    let text = text(
        "nmae = 1",
        "buckt = \"x\"\nskip_existing = true",
        "",
        "[transfr]\nx = 1\n[transfer]\nretrys = 3\nisSkipExistFile = true\nverify = \"no\"\n[task]\nnothing_like_it_qq = 1",
    );
    let problems = load(&text).unwrap_err();
    let expected = [
        "2: unknown key `nmae`; did you mean `name`?",
        "7: unknown key `buckt` in [source]; did you mean `bucket`?",
        "8: unknown key `skip_existing` in [source]; it belongs in [transfer]",
        "14: unknown section [transfr]; did you mean [transfer]?",
        "17: unknown key `retrys` in [transfer]; did you mean `retries`?",
        "18: unknown key `isSkipExistFile` in [transfer]: that is the predecessor's name; in TOML it is `transfer.skip_existing`",
        "19: `transfer.verify` is \"no\": write one of checksum, size, full",
        "21: unknown key `nothing_like_it_qq` in [task]; remove it",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn lines_that_are_no_toml_are_all_found() {
    let problems = load(&text("priority = high\nsince = = 3", "", "", "")).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("2: this is not TOML") && problems[1].starts_with("3: "), "{problems:?}");
    assert!(load("[source\ntype = 1").unwrap_err()[0].starts_with("1: "));
    let files = Files::new();
    assert!(said(&job(&files.write("a.toml", b"name = \"\xff\"")).unwrap_err())[0].contains("UTF-8"));
}

#[test]
fn secrets_that_others_may_read_are_warned_of_and_never_shown() {
    let files = Files::new();
    let literal = files.write("a.toml", text("", "access_key = \"a\"\nsecret_key = \"hunter2\"", "", ""));
    assert_eq!(job(&literal).unwrap().warnings, []);
    std::fs::set_permissions(&literal, std::fs::Permissions::from_mode(0o640)).unwrap();
    let warnings = job(&literal).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].message.contains("chmod 600"), "{warnings:?}");
    let file = files.write("b.toml", text("", "access_key = \"a\"\nsecret_key = { file = \"s\" }", "", ""));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(job(&file).unwrap().warnings, []);
    let bad = load(&text(
        "",
        "access_key = \"a\"\nsecret_key = \"hunter2\"\nanonymous = true\nproxy = \"u:hunter2@x\"",
        "",
        "",
    ));
    assert!(!format!("{bad:?}").contains("hunter2"));
}

/// Whoever mends the one would come upon the other a run later.
#[test]
fn what_is_odd_is_said_beside_what_is_wrong() {
    let files = Files::new();
    let text = text("priority = \"high\"", "prefix = \"2026\"", "", "");
    let problems = job(&files.write("job.toml", text)).unwrap_err();
    let odd: Vec<bool> = problems.iter().map(|problem| problem.odd).collect();
    assert_eq!(odd, [false, true], "{problems:?}");
    assert!(problems[1].message.contains("does not end in a slash"), "{problems:?}");
}
