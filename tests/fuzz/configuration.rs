//! Configuration files of both formats: read, checked, converted. What is taken over the wire is the same job,
//! what is converted loads to the same job, and nothing prints a secret.

use std::path::{Path, PathBuf};

use conf::{JobConf, load};
use tempfile::TempDir;

use crate::{Bound, fuzz};

const BOUND: Bound = Bound { base: 8 << 20, each: 2_000 };

const SECRET: &str = "nVerYs3cretValueOfTheTest";

const JOB: &str = r#"name = "local_test"
type = "import"
priority = 3
[source]
type = "s3"
endpoint = "http://127.0.0.1:9000"
region = "us-east-1"
bucket = "photos"
prefix = "2026/"
access_key = "AKID"
secret_key = "nVerYs3cretValueOfTheTest"
proxy = "http://user:nVerYs3cretValueOfTheTest@127.0.0.1:3128"
[destination]
type = "local"
path = "/data/in/"
[task]
object_count_limit = 10000
object_size_limit = "1GiB"
[transfer]
multipart_threshold = "64MiB"
part_size = "16MiB"
skip_existing = false
verify = "checksum"
bytes_per_s = "50MiB/s"
"#;

const OLD_JOB: &str = "jobName=local_test\njobType=import\nisIncremental=false\nincrementalModeInterval=900\n\
    importSince=1\nsrcType=s3\nsrcAccessKey=AKID\nsrcSecretKey=nVerYs3cretValueOfTheTest\n\
    srcDomain=http://127.0.0.1:9000\nsrcBucket=photos\nsrcPrefix=2026/\ndestAccessKey=AKID\n\
    destSecretKey=nVerYs3cretValueOfTheTest\ndestDomain=oss-cn-hangzhou.aliyuncs.com\ndestBucket=copy\n\
    destPrefix=in/\ntaskObjectCountLimit=10000\ntaskObjectSizeLimit=1073741824\nisSkipExistFile=true\n\
    scanThreadCount=1\nmaxMultiThreadScanDepth=1\n";

const OLD_SYS: &str = "workingDir=/root/import\nworkerUser=root\nworkerPassword=nVerYs3cretValueOfTheTest\n\
    sshPort=22\njavaHeapMaxSize=1024m\nworkerTaskThreadNum=60\nworkerMaxThroughput(KB/s)=100000000\n\
    dispatcherThreadNum=3\n";

const WORDS: [&str; 18] = [
    "[source]",
    "[[source]]",
    "secret_key",
    "= { file = \"/etc/hostname\" }",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "a.b.c",
    "1979-05-27T07:32:00Z",
    "nan",
    "inf",
    "0x7fffffffffffffff",
    "1_000",
    "\\u0041",
    "#",
];

/// A file of this name with changing contents.
struct Slot {
    path: PathBuf,
    _dir: TempDir,
}

impl Slot {
    fn new(name: &str) -> Slot {
        let dir = TempDir::new().unwrap();
        Slot { path: dir.path().join(name), _dir: dir }
    }

    fn put(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.path, bytes).unwrap();
        &self.path
    }
}

/// Everything that is said of it, in one text.
fn said(problems: &[load::Problem]) -> String {
    problems.iter().map(|problem| format!("{problem} {problem:?}\n")).collect()
}

fn job(path: &Path, bytes: &[u8]) {
    let text = match load::job(path) {
        Ok(checked) => {
            same_over_the_wire(&checked.value);
            converts_to_the_same(path, &checked.value);
            format!("{:?} {}", checked.value, said(&checked.warnings))
        }
        Err(problems) => said(&problems),
    };
    must_not_tell(&text, bytes);
    let _ = load::kind(path);
    let (Err(problems) | Ok(problems)) = load::check(path);
    must_not_tell(&said(&problems), bytes);
}

fn same_over_the_wire(job: &JobConf) {
    let wire = job.to_wire();
    let again = JobConf::from_wire(&wire).unwrap();
    assert_eq!(&again, job);
    assert!(job.name.parse::<proto::JobName>().is_ok(), "{:?}", job.name);
    assert!(job.task.object_count_limit <= 50_000 && job.task.object_count_limit > 0);
}

fn converts_to_the_same(path: &Path, job: &JobConf) {
    let text = load::convert(path).unwrap_or_else(|problems| panic!("{}", said(&problems))).value;
    let beside = path.with_file_name("converted.toml");
    std::fs::write(&beside, &text).unwrap();
    let again = load::job(&beside).unwrap_or_else(|problems| panic!("{}\n{text}", said(&problems))).value;
    assert_eq!(&again, job, "{text}");
}

/// The secret stands where secrets stand, and is in no message. A mutation may have put it elsewhere: it counts
/// while its line is as it was.
fn must_not_tell(text: &str, bytes: &[u8]) {
    let file = String::from_utf8_lossy(bytes);
    let places = ["secret_key = ", "SecretKey=", "@127.0.0.1:3128\"", "workerPassword="];
    let mut lines = file.lines().filter(|line| line.contains(SECRET));
    let whole = |line: &str| {
        [JOB, OLD_JOB, OLD_SYS].iter().any(|valid| valid.lines().any(|known| known.trim() == line))
            && places.iter().any(|place| line.contains(place))
    };
    if lines.all(whole) {
        assert!(!text.contains(SECRET), "a secret is told: {text}");
    }
}

#[test]
fn jobs_in_toml() {
    let slot = Slot::new("job_file.toml");
    let local = JOB.replace("type = \"s3\"", "type = \"oss\"").replace("import", "audit");
    let valid = [JOB.as_bytes().to_vec(), local.into_bytes()];
    fuzz("jobs_in_toml", 1_200, BOUND, &valid, &WORDS, |bytes| job(slot.put(bytes), bytes));
}

#[test]
fn jobs_of_the_predecessor() {
    let slot = Slot::new("job.cfg");
    let gbk = [OLD_JOB.as_bytes(), b"destPrefix=\xd6\xd0\xce\xc4/\n"].concat();
    let valid = [OLD_JOB.as_bytes().to_vec(), gbk];
    fuzz(
        "jobs_of_the_predecessor",
        4_000,
        BOUND,
        &valid,
        &["srcType=local", "\\u", "=", ":", "!"],
        |bytes| {
            job(slot.put(bytes), bytes);
        },
    );
}

#[test]
fn system_files() {
    let toml = include_str!("../../conf/sys.toml").replace("# ", "").into_bytes();
    for (name, valid) in [("sys.toml", toml), ("sys.properties", OLD_SYS.as_bytes().to_vec())] {
        let slot = Slot::new(name);
        fuzz("system_files", 800, BOUND, &[valid], &WORDS, |bytes| {
            let path = slot.put(bytes);
            let text = match load::sys(path) {
                Ok(checked) => format!("{:?} {}", checked.value, said(&checked.warnings)),
                Err(problems) => said(&problems),
            };
            must_not_tell(&text, bytes);
            let _ = load::convert(path);
        });
    }
}

#[test]
fn lists_of_workers() {
    let slot = Slot::new("workers");
    let valid = [b"192.168.1.7\nhost-2.example.com\n::1 # here\n".to_vec()];
    fuzz("lists_of_workers", 1_500, BOUND, &valid, &["[::1]:22", "user@", "-oProxyCommand=x"], |bytes| {
        let Ok(checked) = load::workers(slot.put(bytes)) else { return };
        for host in checked.value {
            // It becomes an argument of other programs.
            assert!(!host.starts_with('-') && !host.contains(char::is_whitespace), "{host:?}");
        }
    });
}
