//! Files as users write them, good and bad.

use std::path::PathBuf;

use super::{Problem, job, sys};
use crate::job::{Addressing, EndpointType, JobConf, JobKind, Verify};
use crate::{Secret, SysConf, defaults, keys};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

const TOP: &str = "name = \"test_job\"\n";
const SOURCE: &str = "[source]\ntype = \"s3\"\nendpoint = \"http://127.0.0.1:9000\"\nbucket = \"photos\"\n";
const DESTINATION: &str = "[destination]\ntype = \"local\"\npath = \"/data/in\"\n";

/// A good job with more lines in its sections.
fn text(top: &str, source: &str, destination: &str, rest: &str) -> String {
    format!("{TOP}{top}\n{SOURCE}{source}\n{DESTINATION}{destination}\n{rest}\n")
}

fn load(text: &str) -> Result<(JobConf, Vec<String>), Vec<String>> {
    let files = Files::new();
    let path = files.write("a.toml", text);
    let said = |problems: Vec<Problem>| -> Vec<String> {
        problems.iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect()
    };
    match job(&path) {
        Ok(checked) => Ok((checked.value, said(checked.warnings))),
        Err(problems) => Err(said(problems)),
    }
}

#[test]
fn the_shipped_files_are_valid_and_say_nothing() {
    let files = Files::new();
    let home = files.0.path().canonicalize().unwrap();
    let local = job(&files.write("conf/local_job.toml", defaults::LOCAL_JOB_TOML)).unwrap();
    assert_eq!(local.value.name, "local_test");
    assert_eq!(local.value.source.path.canonicalize().ok(), None);
    assert!(local.value.source.path.ends_with("docs/sample"), "{:?}", local.value.source.path);
    assert!(local.value.destination.path.starts_with(&home) || local.value.destination.path.ends_with("out"));
    assert_eq!(local.warnings, []);
    let cloud = job(&files.write("conf/job.toml", defaults::JOB_TOML)).unwrap();
    assert_eq!(cloud.value.source.region, "us-east-1");
    assert_eq!(cloud.value.destination.region, "cn-hangzhou");
    let shipped = sys(&files.write("conf/sys.toml", defaults::SYS_TOML)).unwrap();
    assert_eq!((shipped.value, shipped.warnings), (SysConf::default(), vec![]));
}

#[test]
fn a_missing_sys_file_means_the_defaults_and_a_missing_job_is_an_error() {
    let files = Files::new();
    assert_eq!(sys(&files.0.path().join("sys.toml")).unwrap().value, SysConf::default());
    let problems = job(&files.0.path().join("job.toml")).unwrap_err();
    assert!(problems[0].message.contains("no such file"), "{problems:?}");
}
