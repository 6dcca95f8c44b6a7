//! Small jobs whose two ends the test holds itself, and everything that has to be true when such a job was
//! broken off and went on: nothing missing, nothing different, nothing recorded that is not true, nothing
//! recorded twice, nothing left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proto::v1::{AuditRecord, Outcome};
use tempfile::TempDir;

use crate::family::{Dialect, Object, Server};
use crate::home::Home;
use crate::servers::{ACCESS_KEY, SECRET_KEY};
use crate::world::Side;

/// Every test server has this bucket.
pub const BUCKET: &str = "bucket";

/// One end of a job.
#[derive(Debug)]
pub enum End {
    /// A strict test server with one bucket.
    Server(Server),
    /// A directory.
    Tree(TempDir),
}

impl End {
    /// An empty bucket of the strict server.
    pub fn server(dialect: Dialect) -> End {
        let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
        server.make_bucket(BUCKET);
        End::Server(server)
    }

    /// An empty directory.
    pub fn tree() -> End {
        End::Tree(TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}")))
    }

    /// An empty directory in this one.
    pub fn tree_in(folder: &Path) -> End {
        let made = tempfile::Builder::new().prefix("destination").tempdir_in(folder);
        End::Tree(made.unwrap_or_else(|error| panic!("no directory: {error}")))
    }

    /// As a job file names it.
    pub fn side(&self) -> Side {
        match self {
            End::Server(server) if server.dialect() == Dialect::S3 => {
                Side::s3(&server.endpoint(), BUCKET, "")
            }
            End::Server(server) => Side::oss(&server.endpoint(), BUCKET, ""),
            End::Tree(dir) => Side::local(dir.path()),
        }
    }

    /// The server; panics where there is none.
    #[track_caller]
    pub fn as_server(&self) -> &Server {
        match self {
            End::Server(server) => server,
            End::Tree(dir) => panic!("{dir:?} is no server"),
        }
    }

    /// Puts objects there without a request.
    pub fn fill(&self, objects: &Objects) {
        for (key, data) in objects {
            match self {
                End::Server(server) => server.insert(BUCKET, key.as_bytes(), Object::new(data.clone())),
                End::Tree(dir) => {
                    let path = dir.path().join(key);
                    let folder = path.parent().map(std::fs::create_dir_all);
                    let written = folder.transpose().and_then(|_| std::fs::write(&path, data));
                    written.unwrap_or_else(|error| panic!("{path:?}: {error}"));
                }
            }
        }
    }

    /// Everything that is there.
    pub fn objects(&self) -> Objects {
        match self {
            End::Server(server) => {
                let data = |key: &[u8]| server.object(BUCKET, key).map(|object| object.data);
                let keys = server.keys(BUCKET).into_iter();
                keys.filter_map(|key| Some((String::from_utf8_lossy(&key).into_owned(), data(&key)?)))
                    .collect()
            }
            End::Tree(dir) => files(dir.path())
                .into_iter()
                .map(|path| {
                    let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                    let key = path.strip_prefix(dir.path()).unwrap_or(&path).display().to_string();
                    (key, data.into())
                })
                .collect(),
        }
    }

    /// One object, if it is there.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        match self {
            End::Server(server) => server.object(BUCKET, key.as_bytes()).map(|object| object.data),
            End::Tree(dir) => std::fs::read(dir.path().join(key)).ok().map(Bytes::from),
        }
    }

    /// Unfinished uploads, or temporary files.
    pub fn leavings(&self) -> Vec<String> {
        match self {
            End::Server(server) => server
                .uploads(BUCKET)
                .into_iter()
                .map(|(key, id)| format!("upload {id} of {}", String::from_utf8_lossy(&key)))
                .collect(),
            End::Tree(dir) => temporaries(dir.path()),
        }
    }
}

/// Keys and bytes.
pub type Objects = BTreeMap<String, Bytes>;

/// Objects whose bytes are a function of key and size.
pub fn objects(small: usize, large: usize, large_size: usize) -> Objects {
    let mut all = Objects::new();
    for number in 0..small {
        let key = format!("d{:02}/o-{number:05}.bin", number % 13);
        all.insert(key.clone(), content(&key, 1 + number * 37 % 3000));
    }
    for number in 0..large {
        let key = format!("large/{number}.bin");
        all.insert(key.clone(), content(&key, large_size + number));
    }
    all
}

fn content(key: &str, size: usize) -> Bytes {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let mut state = key.bytes().fold(0x9E37_79B9_7F4A_7C15, mix);
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend(state.to_le_bytes());
    }
    data.truncate(size);
    data.into()
}

/// What else may stand in the record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// Objects that failed before they were retried.
    pub failed_before: usize,
}

/// A job is over and succeeded: checks everything but the exit code, which the caller saw.
#[track_caller]
pub fn must_be_whole(home: &Home, job: &str, to: &End, wanted: &Objects) {
    must_be_whole_after(home, job, to, wanted, Expected::default());
}

/// [`must_be_whole`] for a job that saw failures.
#[track_caller]
pub fn must_be_whole_after(home: &Home, job: &str, to: &End, wanted: &Objects, expected: Expected) {
    must_be_equal(&to.objects(), wanted);
    assert_eq!(to.leavings(), Vec::<String>::new(), "left at the destination");
    assert_eq!(temporaries(home.path()), Vec::<String>::new(), "left in the home");
    let stat = home.json(&["stat", job]);
    assert_eq!(stat["state"], "succeeded", "{stat}");
    let objects = &stat["objects"];
    let settled = objects["succeeded"].as_u64().unwrap_or(0) + objects["skipped"].as_u64().unwrap_or(0);
    assert_eq!((settled, objects["failed"].as_u64()), (wanted.len() as u64, Some(0)), "{stat}");
    let (done, failed) = recorded(home, job);
    let twice: Vec<_> = done.iter().filter(|(_, records)| records.len() != 1).collect();
    assert!(twice.is_empty(), "recorded more than once: {twice:?}");
    assert_eq!((done.len(), failed), (wanted.len(), expected.failed_before), "recorded, failed before");
    must_be_true(home, job, to, wanted);
}

/// What is recorded so far is true: the object is there, of that size, with these bytes.
#[track_caller]
pub fn must_be_true(home: &Home, job: &str, to: &End, wanted: &Objects) {
    let there = to.objects();
    for (key, records) in recorded(home, job).0 {
        let (Some(data), Some(wanted)) = (there.get(&key), wanted.get(&key)) else {
            panic!("{key} is recorded and not there")
        };
        assert!(data == wanted, "{key} is recorded and has other bytes");
        for record in records {
            assert_eq!(record.size, wanted.len() as u64, "the record of {key}");
            assert!(!record.proof.is_empty() && record.code.is_empty(), "{record:?}");
        }
    }
}

/// The records of objects that arrived or were skipped, by key, and how many tell of a failure. A torn end, as
/// a kill leaves it, counts as nothing.
#[track_caller]
pub fn recorded(home: &Home, job: &str) -> (BTreeMap<String, Vec<AuditRecord>>, usize) {
    let (mut done, mut failed) = (BTreeMap::<String, Vec<AuditRecord>>::new(), 0);
    let audit = files(&home.path().join("master/jobs").join(job).join("audit"));
    for path in audit.into_iter().filter(|path| path.extension().is_some_and(|end| end == "bra")) {
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let decoded = proto::audit::decode(&file).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for record in decoded.records {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            match record.outcome() {
                Outcome::Failed => failed += 1,
                _ => done.entry(key).or_default().push(record),
            }
        }
    }
    (done, failed)
}

#[track_caller]
fn must_be_equal(there: &Objects, wanted: &Objects) {
    let missing: Vec<_> = wanted.keys().filter(|key| !there.contains_key(*key)).collect();
    let strange: Vec<_> = there.keys().filter(|key| !wanted.contains_key(*key)).collect();
    let differs: Vec<_> = there
        .iter()
        .filter(|(key, data)| wanted.get(*key).is_some_and(|wanted| wanted != *data))
        .map(|(key, _)| key)
        .collect();
    assert!(
        missing.is_empty() && strange.is_empty() && differs.is_empty(),
        "missing {missing:?}, not expected {strange:?}, different {differs:?}"
    );
}

/// Names of files that are not complete.
pub fn temporaries(below: &Path) -> Vec<String> {
    let unfinished =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".tmp"));
    files(below).into_iter().filter(unfinished).map(|path| path.display().to_string()).collect()
}

/// Every file below a directory.
pub fn files(below: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![below.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A batch of no records, as it stands in an audit file.
pub fn frame() -> Vec<u8> {
    proto::audit::encode_frame(&[])
}
