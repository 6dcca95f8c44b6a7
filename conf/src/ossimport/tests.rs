//! Each field of the predecessor's files, good and bad.

use std::path::Path;
use std::time::Duration;

use crate::job::{Addressing, EndpointType, JobConf, JobKind, Verify};
use crate::load::{self, Checked, Problem};
use crate::{Secret, SysConf};

const BASE: &str = "jobName=test_job\nsrcType=oss\nsrcDomain=http://oss-cn-beijing.aliyuncs.com\nsrcBucket=photos\ndestDomain=http://oss-cn-hangzhou-internal.aliyuncs.com\ndestBucket=archive\n";

/// Without what is only odd.
fn wrong(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().filter(|problem| !problem.odd).collect()
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect()
}

/// Lines, and whether what they load to is right.
type Case<T> = (&'static str, fn(&T) -> bool);
type Loaded<T> = Result<(T, Vec<String>), Vec<String>>;

fn file<T>(
    name: &str,
    text: impl AsRef<[u8]>,
    read: impl Fn(&Path) -> Result<Checked<T>, Vec<Problem>>,
) -> Loaded<T> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    read(&path).map(|c| (c.value, said(&c.warnings))).map_err(|p| said(&wrong(p)))
}

/// `BASE` with further lines, of which the first is line 7; later ones count.
fn job(lines: &str) -> Loaded<JobConf> {
    let drop: Vec<&str> =
        lines.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()).collect();
    let base: String = BASE
        .lines()
        .map(|line| {
            if drop.iter().any(|key| line.starts_with(&format!("{key}="))) {
                "\n".into()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    file("job.cfg", base + lines, load::job)
}

fn good(lines: &str) -> JobConf {
    let (job, warnings) = job(lines).unwrap_or_else(|problems| panic!("{problems:#?}\n{lines}"));
    assert_eq!(warnings, [] as [String; 0], "{lines}");
    job
}

fn sys(text: &str) -> Loaded<SysConf> {
    file("sys.properties", text, load::sys)
}

#[test]
fn each_field_of_a_job_is_carried() {
    let cases: &[Case<JobConf>] = &[
        ("", |job| {
            job.name == "test_job" && job.kind == JobKind::Import && job.since == 0 && !job.incremental
        }),
        ("jobName= other_job ", |job| job.name == "other_job"),
        ("jobName=\"other_job\"", |job| job.name == "other_job"),
        ("jobName=", |job| job.name == "local_test"),
        ("jobType=audit", |job| job.kind == JobKind::Audit),
        ("isIncremental=true", |job| job.incremental && job.interval == Duration::from_secs(86_400)),
        ("isIncremental=TRUE\nincrementalModeInterval=3600", |job| job.interval == Duration::from_secs(3600)),
        ("importSince=1500000000", |job| job.since == 1_500_000_000),
        ("lastModify=0", |job| job.since == 0),
        ("isSkipExistFile=true", |job| job.transfer.skip_existing),
        ("srcType=OSS", |job| job.source.kind == EndpointType::Oss),
        ("srcAccessKey=a\nsrcSecretKey=s=\\:x", |job| {
            job.source.secret_key == Secret::Literal("s=:x".into())
        }),
        ("srcAccessKey=${A}\nsrcSecretKey=s\ndestAccessKey=", |job| {
            job.source.access_key == Secret::Env("A".into())
        }),
        ("srcPrefix=data/to/oss/", |job| job.source.prefix == "data/to/oss/"),
        ("srcPrefix=\\u6570\\u636e/", |job| job.source.prefix == "数据/"),
        ("srcDomain=oss-cn-beijing.aliyuncs.com", |job| {
            job.source.endpoint == "https://oss-cn-beijing.aliyuncs.com"
        }),
        ("srcDomain=oss-accelerate.aliyuncs.com\nsrcRegion=cn-beijing", |job| {
            job.source.region == "cn-beijing"
        }),
        ("destAccessKey=a\ndestSecretKey=s", |job| job.destination.access_key == Secret::Literal("a".into())),
        ("destDomain=oss-cn-shanghai.aliyuncs.com", |job| job.destination.region == "cn-shanghai"),
        ("destDomain=http://127.0.0.1:9000\ndestRegion=cn-test", |job| job.destination.region == "cn-test"),
        ("destPrefix=data/in/", |job| job.destination.prefix == "data/in/"),
        ("taskObjectCountLimit=50000", |job| job.task.object_count_limit == 50_000),
        ("taskObjectSizeLimit=1000000000", |job| job.task.object_size_limit == 1_000_000_000),
        ("taskObjectSizeLimit=2g", |job| job.task.object_size_limit == 2 << 30),
        ("scanThreadCount=32\nmaxMultiThreadScanDepth=16", |job| {
            job.task.scan_threads == 32 && job.task.scan_depth == 16
        }),
        ("appId=0", |job| job.source.bucket == "photos"),
        ("uploadThreadNumPerLargeFile=", |job| job.transfer.parts_in_flight == 3),
        ("uploadThreadNumPerLargeFile=5", |job| job.transfer.parts_in_flight == 5),
        ("multipartUploadThreshold=", |job| job.transfer.multipart_threshold == 150 << 20),
        ("multipartUploadThreshold=1g", |job| job.transfer.multipart_threshold == 1 << 30),
        ("multipartUploadPartSize=", |job| job.transfer.part_size == 50 << 20),
        ("multipartUploadPartSize=10240k", |job| job.transfer.part_size == 10 << 20),
        ("isServerSideEncryption=true", |job| job.destination.server_side_encryption == "AES256"),
        ("isServerSideEncryption=false", |job| job.destination.server_side_encryption.is_empty()),
        ("auditMode=simple", |job| job.transfer.verify == Verify::Size),
        ("auditMode=general", |job| job.transfer.verify == Verify::Checksum),
        ("auditMode=detailed", |job| job.transfer.verify == Verify::Checksum),
        ("isAuditAfterImport=true", |job| job.transfer.verify == Verify::Checksum),
        ("jobType=audit\nisAuditAfterImport=false", |job| job.transfer.verify == Verify::Checksum),
        (
            "srcType=youpai\nsrcDomain=\nsrcAccessKey=op\nsrcSecretKey=pw\nsrcPrefix=/docs/\nisDownloadFromCdn=true\ncdnDomain=http://cdn.example.com",
            |job| {
                job.source.cdn_domain == "http://cdn.example.com"
                    && job.source.prefix == "docs/"
                    && job.source.endpoint == "http://v0.api.upyun.com"
            },
        ),
        ("getObjectMetaMode=head\nisDownloadFromCdn=false\ncdnDomain=http://cdn", |job| {
            job.name == "test_job"
        }),
        (
            "isUseExpressTunnel=false\nexpressTunnelProxyHost=\nexpressTunnelProxyType=\nexpressTunnelProxyUser=\nexpressTunnelProxyDest=\nexpressTunnelAuthToken=",
            |job| job.name == "test_job",
        ),
    ];
    for (lines, right) in cases {
        let loaded = if lines.contains("${A}") { job(lines).unwrap().0 } else { good(lines) };
        assert!(right(&loaded), "{lines}\n{loaded:#?}");
    }
}

#[test]
fn each_bad_value_of_a_job_is_refused_by_the_name_of_its_field() {
    for (lines, words) in [
        ("jobName=abc", "7: `jobName` is \"abc\""),
        ("jobType=move", "7: `jobType` is \"move\""),
        ("isIncremental=yes", "`isIncremental` is \"yes\": write true or false"),
        ("incrementalModeInterval=899", "`incrementalModeInterval` is \"899\""),
        ("importSince=yesterday", "`importSince`"),
        ("isSkipExistFile=1", "`isSkipExistFile`"),
        ("srcType=ftp", "`srcType` is \"ftp\""),
        ("srcType=", "`srcType` is missing"),
        ("srcAccessKey=a", "`srcSecretKey` is missing"),
        ("srcSecretKey=a", "`srcAccessKey` is missing"),
        ("destAccessKey=a", "`destSecretKey` is missing"),
        ("destSecretKey=a", "`destAccessKey` is missing"),
        ("srcDomain=", "7: `srcDomain` is missing"),
        ("srcDomain=http://photos.oss-cn-beijing.aliyuncs.com", "begins with the bucket"),
        ("srcDomain=http://oss-cn-beijing.aliyuncs.com/photos", "has the path"),
        ("srcBucket=", "`srcBucket` is missing"),
        ("destDomain=", "`destDomain` is missing"),
        ("destDomain=http://127.0.0.1:9000", "`destRegion` is missing"),
        ("destBucket=", "`destBucket` is missing"),
        ("destBucket=archive/in", "`destBucket`"),
        ("destPrefix=/data/", "`destPrefix` begins with a slash"),
        ("destType=ftp", "`destType`"),
        ("destType=http", "can only be read"),
        ("taskObjectCountLimit=50001", "`taskObjectCountLimit`"),
        ("taskObjectSizeLimit=big", "`taskObjectSizeLimit`"),
        ("scanThreadCount=0", "`scanThreadCount`"),
        ("maxMultiThreadScanDepth=-1", "`maxMultiThreadScanDepth`"),
        ("uploadThreadNumPerLargeFile=0", "`uploadThreadNumPerLargeFile`"),
        ("multipartUploadThreshold=1k", "`multipartUploadThreshold`"),
        ("multipartUploadPartSize=50x", "`multipartUploadPartSize`"),
        ("isServerSideEncryption=AES", "`isServerSideEncryption`"),
        ("isAllowSymbolicLink=maybe", "`isAllowSymbolicLink`"),
        ("isAuditAfterImport=maybe", "`isAuditAfterImport`"),
        ("auditMode=strict", "`auditMode`"),
        ("getObjectMetaMode=get", "`getObjectMetaMode`"),
        ("isDownloadFromCdn=true", "`isDownloadFromCdn` is true"),
        ("srcType=youpai\nsrcAccessKey=op\nsrcSecretKey=pw\nisDownloadFromCdn=true", "`cdnDomain` is empty"),
        ("srcType=youpai\nsrcDomain=", "`srcAccessKey` is missing"),
        ("isUseExpressTunnel=true", "`isUseExpressTunnel` is true"),
        ("srcType=cos\nsrcDomain=\nappId=125", "`srcDomain` is empty"),
        ("srcType=cos\nsrcDomain=gz\nappId=app", "`appId` is \"app\""),
        ("srcType=cos\nsrcDomain=gz", "`srcBucket` is \"photos\", and buckets of COS end in the number"),
        ("srcType=qiniu\nsrcDomain=http://photos.u.qiniudn.com", "https://s3.REGION.qiniucs.com"),
        ("srcType=qiniu\nsrcDomain=http://img.example.com", "S3 address of Qiniu"),
        ("srcType=bos\nsrcDomain=http://bcebos.com", "https://s3.REGION.bcebos.com"),
        ("srcType=local\nsrcPrefix=/data//in/", "two slashes"),
        ("srcType=local\nsrcPrefix=D:\\work\\data\\", "Windows path"),
        ("srcType=local\nsrcPrefix=\\\\\\\\server\\\\share\\\\data/in", "Windows path"),
        ("srcType=local\nsrcPrefix=", "`srcPrefix` is missing"),
        ("destType=local\ndestPrefix=", "`destPrefix` is missing"),
        ("srcType=http", "`httpListFilePath` is missing"),
        ("srcType=http\nhttpListFilePath=/l\nhttpPrefixColumn=0", "`httpPrefixColumn`"),
        ("srcType=http\nhttpListFilePath=/l\nrelativePathColumn=four", "`relativePathColumn`"),
        ("srcType=http\nhttpListFilePath=http://me:pw@h/l", "`httpListFilePath`"),
        ("srcType=azure\nsrcDomain=core.windows.net", "`srcAccessKey` has to be"),
    ] {
        let problems = job(lines).expect_err(lines);
        assert_eq!(problems.len(), 1, "{problems:#?}\n{lines}");
        assert!(problems[0].contains(words), "no {words:?} in {problems:?}");
    }
}

#[test]
fn what_is_odd_in_a_job_is_said() {
    for (lines, words) in [
        ("srctype=oss", "unknown key `srctype` is ignored; did you mean `srcType`?"),
        ("incrementalModeInterval=900\nisIncremental=true", "below one hour"),
        ("lastModify=1500000000", "`lastModify` is not used"),
        ("isAuditAfterImport=false", "`isAuditAfterImport` is false"),
        ("scanThreadCount=10000", "`scanThreadCount` is 10000"),
        ("maxMultiThreadScanDepth=17", "`maxMultiThreadScanDepth` is 17"),
        ("multipartUploadPartSize=99k", "the default of 50m"),
        ("multipartUploadPartSize=1m", "5m is used"),
        ("srcPrefix=docs", "also matches"),
        ("importSince=1\nimportSince=2", "given in line 7 already"),
        ("srcType=ks3\nsrcDomain=http://kss.ksyun.com", "means Hangzhou"),
    ] {
        let (job, warnings) = job(lines).unwrap_or_else(|problems| panic!("{problems:#?}\n{lines}"));
        assert_eq!(warnings.len(), 1, "{warnings:#?}\n{lines}");
        assert!(warnings[0].contains(words), "no {words:?} in {warnings:?}");
        assert!(
            job.task.scan_threads <= 32 && job.task.scan_depth <= 16 && job.transfer.part_size >= 5 << 20
        );
    }
}

#[test]
fn each_kind_of_source_has_its_address_and_bucket() {
    let names: [(&str, EndpointType, &str, &str, &str, &str); 14] = [
        (
            "srcType=s3\nsrcDomain=http://s3.us-east-1.amazonaws.com",
            EndpointType::S3,
            "http://s3.us-east-1.amazonaws.com",
            "photos",
            "us-east-1",
            "",
        ),
        (
            "srcType=s3\nsrcDomain=s3.eu-west-1.amazonaws.com",
            EndpointType::S3,
            "https://s3.eu-west-1.amazonaws.com",
            "photos",
            "eu-west-1",
            "",
        ),
        (
            "srcType=cos\nsrcDomain=gz\nappId=125\nsrcPrefix=/docs/",
            EndpointType::Cos,
            "https://cos.ap-guangzhou.myqcloud.com",
            "photos-125",
            "ap-guangzhou",
            "docs/",
        ),
        (
            "srcType=cos\nsrcDomain=tj\nappId=125\nsrcBucket=photos-125",
            EndpointType::Cos,
            "https://cos.ap-beijing-1.myqcloud.com",
            "photos-125",
            "ap-beijing-1",
            "",
        ),
        (
            "srcType=cos\nsrcDomain=cossh\nsrcPrefix=docs/\nappId=125",
            EndpointType::Cos,
            "https://cos.ap-shanghai.myqcloud.com",
            "photos-125",
            "ap-shanghai",
            "docs/",
        ),
        (
            "srcType=cos\nsrcDomain=ap-chengdu\nappId=1250000000",
            EndpointType::Cos,
            "https://cos.ap-chengdu.myqcloud.com",
            "photos-1250000000",
            "ap-chengdu",
            "",
        ),
        (
            "srcType=bos\nsrcDomain=http://bj.bcebos.com",
            EndpointType::Bos,
            "https://s3.bj.bcebos.com",
            "photos",
            "bj",
            "",
        ),
        (
            "srcType=ks3\nsrcDomain=http://ks3-cn-beijing.ksyun.com",
            EndpointType::Ks3,
            "https://ks3-cn-beijing.ksyuncs.com",
            "photos",
            "BEIJING",
            "",
        ),
        (
            "srcType=qiniu\nsrcDomain=s3.cn-east-1.qiniucs.com",
            EndpointType::Qiniu,
            "https://s3.cn-east-1.qiniucs.com",
            "photos",
            "cn-east-1",
            "",
        ),
        (
            "srcType=qiniu\nsrcDomain=http://photos.u.qiniudn.com\nsrcRegion=cn-north-1",
            EndpointType::Qiniu,
            "https://s3.cn-north-1.qiniucs.com",
            "photos",
            "cn-north-1",
            "",
        ),
        (
            "srcType=youpai\nsrcDomain=http://v1.api.upyun.com\nsrcAccessKey=op\nsrcSecretKey=pw",
            EndpointType::Youpai,
            "http://v1.api.upyun.com",
            "photos",
            "",
            "",
        ),
        (
            "srcType=youpai\nsrcDomain=\nsrcAccessKey=op\nsrcSecretKey=pw",
            EndpointType::Youpai,
            "http://v0.api.upyun.com",
            "photos",
            "",
            "",
        ),
        (
            "srcType=azure\nsrcDomain=core.chinacloudapi.cn\nsrcAccessKey=acc\nsrcSecretKey=a2V5",
            EndpointType::Azure,
            "https://acc.blob.core.chinacloudapi.cn",
            "photos",
            "",
            "",
        ),
        (
            "srcType=azure\nsrcDomain=\nsrcAccessKey=acc\nsrcSecretKey=a2V5",
            EndpointType::Azure,
            "https://acc.blob.core.windows.net",
            "photos",
            "",
            "",
        ),
    ];
    for (lines, kind, endpoint, bucket, region, prefix) in names {
        let source = good(lines).source;
        assert_eq!((source.kind, source.endpoint.as_str()), (kind, endpoint), "{lines}");
        assert_eq!(
            (source.bucket.as_str(), source.region.as_str(), source.prefix.as_str()),
            (bucket, region, prefix),
            "{lines}"
        );
        assert_eq!(source.addressing, Addressing::Auto);
    }
}

#[test]
fn directories_and_lists_need_no_service() {
    let local = good(
        "srcType=local\nsrcDomain=\nsrcBucket=\nsrcPrefix=/data/a b/\nisAllowSymbolicLink=true\ndestType=local\ndestPrefix=/out/\n",
    );
    assert_eq!((local.source.path, local.source.follow_symlinks), ("/data/a b/".into(), true));
    assert_eq!((local.destination.kind, local.destination.path), (EndpointType::Local, "/out/".into()));
    let list =
        good("srcType=http\nhttpListFilePath=/data/list\nhttpPrefixColumn=1\nrelativePathColumn=4").source;
    assert_eq!((list.kind, list.key_list), (EndpointType::Http, Some("/data/list".into())));
    assert_eq!((list.prefix_column, list.path_column), (1, 4));
    let list = good("srcType=http\nhttpListFilePath=https://example.com:8443/a b/list").source;
    assert_eq!(list.key_list, Some("https://example.com:8443/a b/list".into()));
    assert_eq!((list.prefix_column, list.path_column), (1, 2));
    let s3 = good("destType=s3\ndestDomain=http://127.0.0.1:9000\ndestRegion=eu-west-1").destination;
    assert_eq!((s3.kind, s3.region.as_str()), (EndpointType::S3, "eu-west-1"));
}

#[test]
fn each_field_of_the_system_is_carried() {
    let cases: &[Case<SysConf>] = &[
        ("workingDir=.", |sys| *sys == SysConf::default()),
        ("workerUser=root\nprivateKeyFile=/k\nsshPort=2222", |sys| {
            sys.worker_user == "root" && sys.private_key_file == "/k" && sys.ssh_port == 2222
        }),
        ("workerUserName=root", |sys| sys.worker_user == "root"),
        ("privateKeyFile=/k\nworkerPassword=x", |sys| sys.private_key_file == "/k"),
        ("workerTaskThreadNum=150", |sys| sys.task_threads == 150),
        ("workerMaxThroughput(KB/s)=100", |sys| sys.worker_bytes_per_s == 102_400),
        ("workerMaxThroughput(KB/s) = 0", |sys| sys.worker_bytes_per_s == 0),
        ("workerMaxThroughput=5", |sys| sys.worker_bytes_per_s == 5120),
        ("dispatcherThreadNum=1", |sys| *sys == SysConf::default()),
        ("workerAbortWhenUncatchedException=false\nworkerRecordMd5=false", |sys| *sys == SysConf::default()),
        ("javaHeapMaxSize=1024m", |sys| sys.memory_limit == 256 << 20),
        ("javaHeapMaxSize=64m", |sys| sys.memory_limit == 32 << 20),
    ];
    for (text, right) in cases {
        let (loaded, warnings) = sys(text).unwrap();
        assert!(right(&loaded) && warnings.is_empty(), "{text}\n{loaded:#?} {warnings:?}");
    }
}

#[test]
fn each_bad_or_odd_value_of_the_system_is_said() {
    for (text, words) in [
        ("sshPort=ssh", "`sshPort`"),
        ("workerTaskThreadNum=0", "`workerTaskThreadNum`"),
        ("workerMaxThroughput(KB/s)=1MB", "`workerMaxThroughput(KB/s)`"),
        ("javaHeapMaxSize=big", "`javaHeapMaxSize`"),
        ("workerRecordMd5=1", "`workerRecordMd5`"),
        ("privateKeyFile=C:\\keys\\id", "Windows path"),
    ] {
        let problems = sys(text).expect_err(text);
        assert!(problems.len() == 1 && problems[0].contains(words), "no {words:?} in {problems:?}");
    }
    for (text, words) in [
        ("workingDir=/opt/ossimport", "--home"),
        ("workerPassword=hunter2", "SSH goes by keys"),
        ("workerUser=a\nworkerUserName=b", "differs"),
        ("dispatcherThreadNum=5", "not needed"),
        ("workerAbortWhenUncatchedException=true", "[transfer]"),
        ("workerRecordMd5=true", "record_md5"),
        ("sshport=22\nsshPort=22", "did you mean `sshPort`"),
    ] {
        let (_, warnings) = sys(text).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(words), "no {words:?} in {warnings:?}");
        assert!(!warnings[0].contains("hunter2"));
    }
}

#[test]
fn the_switches_of_a_job_in_sys_properties_count_for_the_job_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("sys.properties"),
        "workerRecordMd5=true\nworkerAbortWhenUncatchedException=true\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("job.cfg"), BASE).unwrap();
    let transfer = load::job(&dir.path().join("job.cfg")).unwrap().value.transfer;
    assert!(transfer.record_md5 && transfer.abort_on_unknown_error);
}

#[test]
fn the_format_is_known_by_content_whatever_the_name_is() {
    for name in ["job.cfg", "job.toml", "job", "job.txt"] {
        assert_eq!(file(name, BASE, load::job).unwrap().0.name, "test_job", "{name}");
    }
    let gbk = [b"# \xd7\xf7\xd2\xb5\xc3\xfb\xb3\xc6\r\n".as_slice(), BASE.replace('\n', "\r\n").as_bytes()]
        .concat();
    assert_eq!(file("job.cfg", gbk, load::job).unwrap().0.name, "test_job");
}

#[test]
fn a_converted_file_loads_to_the_same() {
    let lines = [
        "srcPrefix=a/\nisServerSideEncryption=true\nmultipartUploadThreshold=20m",
        "srcType=local\nsrcPrefix=/data/\nscanThreadCount=99",
        "srcType=cos\nsrcDomain=gz\nappId=1\nsrcAccessKey=a\nsrcSecretKey=${S}",
    ];
    for lines in lines {
        let text = BASE.to_owned() + lines;
        let (job, _) = file("job.cfg", &text, load::job).unwrap();
        let (toml, _) = file("job.cfg", &text, load::convert).unwrap();
        assert_eq!(file("job.toml", &toml, load::job).unwrap().0, job, "{toml}");
    }
    let text = "workerUser=me\nworkerTaskThreadNum=30\nworkerMaxThroughput(KB/s)=7\n";
    let (toml, _) = file("sys.properties", text, load::convert).unwrap();
    assert_eq!(file("sys.toml", &toml, load::sys).unwrap().0, sys(text).unwrap().0, "{toml}");
}
