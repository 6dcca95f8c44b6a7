//! Where the cases run: in memory, in a directory, and at servers as child processes on 127.0.0.1.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use conf::job::EndpointType;
use conf::{Endpoint, Secret};
use storage::memory::MemoryStore;
use storage::open::{self, Context};
use storage::{ErrorKind, Meter};
use tempfile::TempDir;

use crate::world::{Abilities, Fate, PAGE, World};

const ACCESS_KEY: &str = "brigadetestkey";
const SECRET_KEY: &str = "brigade/test+secret=0123456789";

const STRICT: Abilities = Abilities {
    key: |_| Fate::Kept,
    keeps_headers: true,
    conditional_reads: true,
    checks_whole: true,
    keeps_books: true,
    lists_uploads: false,
    states_etags: true,
    etags_are_md5: true,
    utf16_order: false,
    checks_credentials: true,
};

/// An adapter, at one service.
pub(crate) enum Place {
    Memory,
    Local,
    Server(Server),
}

/// A running server; ends when it is dropped.
pub(crate) struct Server {
    name: &'static str,
    kind: EndpointType,
    child: Child,
    port: u16,
    can: Abilities,
    _root: TempDir,
}

impl Place {
    pub(crate) fn memory() -> Place {
        Place::Memory
    }

    pub(crate) fn local() -> Place {
        Place::Local
    }

    /// Plain files behind S3: alters some keys, does not look at If-Match.
    pub(crate) fn s3s_fs(buckets: usize) -> Result<Place, String> {
        let tools = std::env::var_os("BRIGADE_TEST_TOOLS").map(|tools| Path::new(&tools).join("bin/s3s-fs"));
        let program = program("BRIGADE_S3S_FS", tools)?;
        let can = Abilities {
            key: s3s_fs_key,
            conditional_reads: false,
            checks_whole: false,
            keeps_books: false,
            ..STRICT
        };
        let root = TempDir::new().unwrap();
        for number in 0..buckets {
            fs::create_dir(root.path().join(bucket(number))).unwrap();
        }
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]).arg(root.path());
        Server::start("s3s-fs", EndpointType::S3, command, port, can, root)
    }

    pub(crate) fn strict_s3(buckets: usize) -> Result<Place, String> {
        let can = Abilities { key: s3_key, lists_uploads: true, ..STRICT };
        Self::strict("s3", EndpointType::S3, can, buckets)
    }

    pub(crate) fn strict_oss(buckets: usize) -> Result<Place, String> {
        let can = Abilities { key: oss_key, lists_uploads: true, ..STRICT };
        Self::strict("oss", EndpointType::Oss, can, buckets)
    }

    /// Its bucket names end in the account's number.
    pub(crate) fn strict_cos(buckets: usize) -> Result<Place, String> {
        let can = Abilities { key: cos_key, lists_uploads: true, checks_whole: false, ..STRICT };
        Self::strict("cos", EndpointType::Cos, can, buckets)
    }

    pub(crate) fn strict_bos(buckets: usize) -> Result<Place, String> {
        let can = Abilities { key: bos_key, lists_uploads: true, checks_whole: false, ..STRICT };
        Self::strict("bos", EndpointType::Bos, can, buckets)
    }

    pub(crate) fn strict_ks3(buckets: usize) -> Result<Place, String> {
        let can = Abilities { key: s3_key, lists_uploads: true, checks_whole: false, ..STRICT };
        Self::strict("ks3", EndpointType::Ks3, can, buckets)
    }

    pub(crate) fn strict_qiniu(buckets: usize) -> Result<Place, String> {
        // Its ETags may be its own hash: nobody may rely on them.
        let can = Abilities {
            key: qiniu_key,
            lists_uploads: true,
            checks_whole: false,
            etags_are_md5: false,
            ..STRICT
        };
        Self::strict("qiniu", EndpointType::Qiniu, can, buckets)
    }

    /// Folders and files; says nothing of what it wrote.
    pub(crate) fn upyun(buckets: usize) -> Result<Place, String> {
        let program = program("BRIGADE_UPYUN", beside("upyun"))?;
        let can = Abilities {
            key: upyun_key,
            keeps_headers: false,
            lists_uploads: true,
            states_etags: false,
            ..STRICT
        };
        let port = free_port();
        let mut command = Command::new(program);
        command.args([&port.to_string(), ACCESS_KEY, SECRET_KEY]).args((0..buckets).map(bucket));
        Server::start("upyun", EndpointType::Youpai, command, port, can, TempDir::new().unwrap())
    }

    fn strict(
        dialect: &'static str,
        kind: EndpointType,
        can: Abilities,
        buckets: usize,
    ) -> Result<Place, String> {
        let program = program("BRIGADE_FAMILY", beside("family"))?;
        let port = free_port();
        let mut command = Command::new(program);
        command.args([dialect, &port.to_string(), ACCESS_KEY, SECRET_KEY]).args((0..buckets).map(bucket));
        Server::start(dialect, kind, command, port, can, TempDir::new().unwrap())
    }

    /// The emulator that the vendor keeps. It has no uploads: blocks of nobody vanish by themselves.
    pub(crate) fn azurite(buckets: usize) -> Result<Place, String> {
        let tools =
            |end: &str| std::env::var_os("BRIGADE_TEST_TOOLS").map(|tools| Path::new(&tools).join(end));
        let server = program("BRIGADE_AZURITE", tools("npm/node_modules/.bin/azurite-blob"))?;
        let python = program("BRIGADE_PYTHON", tools("venv/bin/python"))?;
        // Names of metadata are identifiers of C#, and there is no Expires: what `write` tests is not to be had.
        let can = Abilities {
            key: azure_key,
            keeps_headers: false,
            keeps_books: false,
            utf16_order: true,
            ..STRICT
        };
        let (root, port) = (TempDir::new().unwrap(), free_port());
        let mut command = Command::new(server);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"]);
        command.arg(root.path()).args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
        let key = base64::engine::general_purpose::STANDARD.encode(SECRET_KEY);
        command.env("AZURITE_ACCOUNTS", format!("{ACCESS_KEY}:{key}"));
        let place = Server::start("azurite", EndpointType::Azure, command, port, can, root)?;
        let script = "import sys\nfrom azure.storage.blob import BlobServiceClient\n\
             url, account, key, *names = sys.argv[1:]\n\
             service = BlobServiceClient(url, credential={'account_name': account, 'account_key': key})\n\
             [service.create_container(name) for name in names]\n";
        let made = Command::new(python)
            .args(["-c", script, &format!("http://127.0.0.1:{port}/{ACCESS_KEY}"), ACCESS_KEY, &key])
            .args((0..buckets).map(bucket))
            .status();
        match made {
            Ok(status) if status.success() => Ok(place),
            other => Err(format!("the containers cannot be made: {other:?}")),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Place::Memory => "memory",
            Place::Local => "local",
            Place::Server(server) => server.name,
        }
    }

    /// An empty bucket for this case.
    pub(crate) fn world(&self, number: usize) -> World {
        match self {
            Place::Memory => in_memory(),
            Place::Local => {
                let root = TempDir::new().unwrap();
                let endpoint =
                    Endpoint { path: root.path().to_owned(), list_page: PAGE, ..Endpoint::default() };
                let can =
                    Abilities { key: local_key, keeps_headers: false, checks_credentials: false, ..STRICT };
                opened(endpoint, can, Some(root))
            }
            Place::Server(server) => opened(server.endpoint(&bucket(number)), server.can, None),
        }
    }
}

impl Server {
    fn start(
        name: &'static str,
        kind: EndpointType,
        mut command: Command,
        port: u16,
        can: Abilities,
        root: TempDir,
    ) -> Result<Place, String> {
        let context =
            Context { meter: Meter::unlimited(), timeout: Duration::from_secs(1), job: String::new() };
        let probe = Endpoint {
            kind,
            bucket: "b".into(),
            endpoint: "http://127.0.0.1:1".into(),
            ..Endpoint::default()
        };
        if open::source(&probe, &context).is_err_and(|error| error.kind() == ErrorKind::Unsupported) {
            return Err("there is no adapter".into());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env("RUST_LOG", "off");
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let server = Server { name, kind, child, port, can, _root: root };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "{name} does not answer");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(Place::Server(server))
    }

    fn endpoint(&self, bucket: &str) -> Endpoint {
        if self.kind == EndpointType::Azure {
            let key = base64::engine::general_purpose::STANDARD.encode(SECRET_KEY);
            return Endpoint {
                kind: self.kind,
                endpoint: format!("http://127.0.0.1:{}/{ACCESS_KEY}", self.port),
                bucket: bucket.to_owned(),
                secret_key: Secret::Literal(key),
                list_page: PAGE,
                ..Endpoint::default()
            };
        }
        Endpoint {
            kind: self.kind,
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: region(self.kind).to_owned(),
            bucket: bucket.to_owned(),
            access_key: Secret::Literal(ACCESS_KEY.to_owned()),
            secret_key: Secret::Literal(SECRET_KEY.to_owned()),
            list_page: PAGE,
            ..Endpoint::default()
        }
    }
}

/// The one that the strict server wants in a signature, where it looks.
fn region(kind: EndpointType) -> &'static str {
    match kind {
        EndpointType::Oss => "cn-test",
        EndpointType::Cos => "ap-test",
        EndpointType::Bos => "bj",
        EndpointType::Ks3 => "BEIJING",
        EndpointType::Qiniu => "cn-east-1",
        _ => "us-east-1",
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_memory() -> World {
    let mut store = MemoryStore::new();
    store.page = PAGE as usize;
    let store = Arc::new(store);
    let can = Abilities { key: memory_key, checks_credentials: false, ..STRICT };
    World { source: store.clone(), destination: store, endpoint: None, can, _keep: None }
}

/// Both sides of an endpoint.
pub(crate) fn opened(endpoint: Endpoint, can: Abilities, keep: Option<TempDir>) -> World {
    let context = Context { meter: Meter::unlimited(), timeout: Duration::from_secs(20), job: String::new() };
    World {
        source: open::source(&endpoint, &context).unwrap(),
        destination: open::destination(&endpoint, &context).unwrap(),
        endpoint: Some(endpoint),
        can,
        _keep: keep,
    }
}

fn bucket(number: usize) -> String {
    format!("case-{number}")
}

fn program(variable: &str, otherwise: Option<PathBuf>) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).map(PathBuf::from).or(otherwise);
    path.filter(|path| path.exists()).ok_or_else(|| format!("{variable} is not set"))
}

/// target/debug/deps/conformance-… → target/debug/NAME
fn beside(name: &str) -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.join(name)))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn has_bad_segment(key: &str) -> bool {
    key.split('/').any(|segment| matches!(segment, "." | "..") || segment.len() > 255)
}

fn memory_key(key: &str) -> Fate {
    if key.is_empty() || key.starts_with('/') || key.len() > 1023 { Fate::Refused } else { Fate::Kept }
}

fn local_key(key: &str) -> Fate {
    let path = key.strip_suffix('/').unwrap_or(key);
    let empty = path.split('/').any(str::is_empty);
    if empty || has_bad_segment(path) || key.contains('\0') { Fate::Refused } else { Fate::Kept }
}

/// Paths; how long they may be is the service's to say.
fn upyun_key(key: &str) -> Fate {
    let path = key.strip_suffix('/').unwrap_or(key);
    let segments = || path.split('/');
    let no_path = segments().any(|segment| matches!(segment, "" | "." | ".."));
    if no_path || key.contains(['\r', '\n', '\t', '\0']) {
        Fate::Refused
    } else if key.len() > 1023 || segments().any(|segment| segment.len() > 255) {
        Fate::Either
    } else {
        Fate::Kept
    }
}

/// Dot segments may be refused before they are sent; a control character may not survive XML.
fn s3_key(key: &str) -> Fate {
    let unsure = has_bad_segment(key) || key.chars().any(char::is_control);
    if key.is_empty() || key.len() > 1024 {
        Fate::Refused
    } else if unsure {
        Fate::Either
    } else {
        Fate::Kept
    }
}

fn azure_key(key: &str) -> Fate {
    let segments: Vec<&str> = key.split('/').collect();
    let changed = segments.iter().any(|segment| segment.ends_with('.')) || key.contains('\\');
    let refused = key.is_empty() || key.len() > 1024 || segments.len() > 254;
    if refused || changed || key.chars().any(char::is_control) { Fate::Refused } else { Fate::Kept }
}

fn oss_key(key: &str) -> Fate {
    if key.starts_with(['/', '\\']) || key.len() > 1023 { Fate::Refused } else { s3_key(key) }
}

/// At most 850 bytes, not beginning with a slash of either kind, without CAN, EM, SUB and ESC.
fn cos_key(key: &str) -> Fate {
    let never = key.bytes().any(|byte| matches!(byte, 0x18..=0x1b));
    if key.starts_with(['/', '\\']) || key.len() > 850 || never { Fate::Refused } else { s3_key(key) }
}

/// The service refuses `.` and `..` segments and a slash at the begin.
fn bos_key(key: &str) -> Fate {
    if key.starts_with('/') { Fate::Either } else { s3_key(key) }
}

/// At most 750 bytes; its listing is plain XML.
fn qiniu_key(key: &str) -> Fate {
    if key.len() > 750 { Fate::Refused } else { s3_key(key) }
}

/// Takes keys for paths and simplifies them.
fn s3s_fs_key(key: &str) -> Fate {
    match local_key(key) {
        // Its own files have longer names than the keys.
        Fate::Kept if !key.ends_with('/') && !key.contains('\\') && key.len() < 1000 => s3_key(key),
        _ => Fate::Altered,
    }
}
