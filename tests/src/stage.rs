//! Two ends of a job, each behind a proxy, an installation, and what is to happen to them: where the table of
//! faults in `docs/reliability.md` is played.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::family::{Action, Dialect, Fault, Server};
use crate::home::Home;
use crate::proxy::{Plan, Proxy, Trouble};
use crate::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use crate::world::Side;

/// What is moved: small objects and one in three parts.
pub const PLAN: &str = "faults:60";
/// A small object of the plan.
pub const SMALL: &str = "small/d07/o-000007.bin";
/// The large one.
pub const LARGE: &str = "big/0.bin";

/// One end.
#[derive(Debug)]
pub struct End {
    side: Side,
    server: Option<Server>,
    other: Option<S3Server>,
    proxy: Option<Proxy>,
    folder: Option<TempDir>,
}

/// What happens beside the import, on a thread of its own.
pub type During = Box<dyn FnOnce(&Stage) + Send + Sync>;
/// What is looked at when the import has ended.
pub type After = Box<dyn FnOnce(&Stage) + Send + Sync>;

/// Everything of one scenario.
pub struct Stage {
    /// The installation.
    pub home: Home,
    /// Where the objects are.
    pub source: End,
    /// Where they go.
    pub destination: End,
    /// Keys of `[transfer]`, a line each.
    pub transfer: String,
    /// Keys of `[source]`, a line each.
    pub of_source: String,
    /// The source's prefix.
    pub prefix: &'static str,
    /// Beside the import.
    pub during: Option<During>,
    /// After the import, before anything is healed.
    pub after: Option<After>,
    /// Between the import and the command that goes on.
    pub mend: Option<After>,
    /// Keys are given as files.
    pub key_files: bool,
    /// A failed object stands at the destination, and is wrong.
    pub wrong_stands: bool,
    /// Where key files are.
    pub keys: TempDir,
    /// What the destination has wrongly, and no check of this job can see.
    pub unseen: bool,
}

// === impl End ===

impl End {
    /// `oss` and `s3` are the strict test server, `s3s` and `weed` servers that others wrote.
    pub fn new(kind: &str) -> End {
        if kind == "local" {
            let folder = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
            let side = Side::local(folder.path());
            return End { side, server: None, other: None, proxy: None, folder: Some(folder) };
        }
        let (mut server, mut other) = (None, None);
        let endpoint = match kind {
            "oss" | "s3" => {
                let dialect = if kind == "oss" { Dialect::Oss } else { Dialect::S3 };
                let started = server.insert(Server::start(dialect, ACCESS_KEY, SECRET_KEY));
                started.make_bucket("bucket");
                started.endpoint()
            }
            "s3s" => other.insert(S3Server::start(Kind::S3sFs)).endpoint(),
            "weed" => other.insert(S3Server::start(Kind::Seaweed)).endpoint(),
            _ => panic!("no such end: {kind}"),
        };
        let side = if kind == "oss" {
            Side::oss(&endpoint, "bucket", "")
        } else {
            Side::s3(&endpoint, "bucket", "")
        };
        if other.is_some() {
            // Makes the bucket.
            side.seed("small:0");
        }
        End { side, server, other, proxy: Some(Proxy::before(&endpoint)), folder: None }
    }

    /// As other clients see it, past the proxy.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// The strict server.
    #[track_caller]
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap_or_else(|| panic!("this end is no test server: the row is wrong"))
    }

    /// What stands before the server.
    #[track_caller]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap_or_else(|| panic!("this end has no proxy: the row is wrong"))
    }

    /// The directory of a local end.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().to_path_buf())
    }

    /// The next `times` requests of this method whose key or query has this text.
    #[track_caller]
    pub fn fault(&self, method: &'static str, contains: &str, times: u32, action: Action) {
        self.later(method, contains, 0, times, action);
    }

    /// The same after `skip` of them.
    #[track_caller]
    pub fn later(&self, method: &'static str, contains: &str, skip: u32, times: u32, action: Action) {
        self.server().plan(Fault { method, contains: contains.into(), skip, times, action });
    }

    /// So many connections, after some that are well.
    #[track_caller]
    pub fn trouble(&self, skip: u32, times: u32, trouble: Trouble) {
        self.proxy().plan(Plan { skip, times, trouble });
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        self.server.iter().for_each(|server| {
            server.heal();
            server.set_clock_off(0);
        });
        self.proxy.iter().for_each(Proxy::heal);
    }

    /// The keys that the other clients know are good again.
    pub fn first_keys(&self) {
        self.server.iter().for_each(|server| server.rotate(ACCESS_KEY, SECRET_KEY));
    }

    /// Multipart uploads that are open, where that can be seen from outside.
    pub fn uploads(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.uploads("bucket").len())
    }

    /// A server that others wrote.
    pub fn is_other(&self) -> bool {
        self.other.is_some()
    }

    fn section(&self, name: &str) -> String {
        let text = self.side.section(name);
        match (&self.proxy, self.direct()) {
            (Some(proxy), Some(direct)) => text.replace(&direct, &proxy.endpoint()),
            _ => text,
        }
    }

    fn direct(&self) -> Option<String> {
        let server = self.server.as_ref().map(Server::endpoint);
        server.or_else(|| self.other.as_ref().map(S3Server::endpoint))
    }
}

// === impl Stage ===

impl Stage {
    /// Between two ends as [`End::new`] names them.
    pub fn new(source: &str, destination: &str) -> Stage {
        Stage {
            home: Home::new(),
            source: End::new(source),
            destination: End::new(destination),
            transfer: String::new(),
            of_source: String::new(),
            prefix: "",
            during: None,
            after: None,
            mend: None,
            key_files: false,
            wrong_stands: false,
            keys: TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}")),
            unseen: false,
        }
    }

    /// A line of `[transfer]`.
    pub fn set(&mut self, line: &str) {
        self.transfer.push_str(line);
        self.transfer.push('\n');
    }

    /// Writes the job file and, where keys come from files, those.
    pub fn write_job(&self) {
        let prefix = format!("prefix = {:?}\n", self.prefix);
        let mut source = self.source.section("source").replace("prefix = \"\"\n", &prefix);
        let mut destination = self.destination.section("destination");
        if self.key_files {
            self.write_keys(ACCESS_KEY, SECRET_KEY);
            let given = format!("access_key = {ACCESS_KEY:?}\nsecret_key = \"${{BRIGADE_TEST_SECRET}}\"\n");
            let path = |name: &str| self.keys.path().join(name).display().to_string();
            let files = format!(
                "access_key = {{ file = {:?} }}\nsecret_key = {{ file = {:?} }}\n",
                path("access.key"),
                path("secret.key")
            );
            source = source.replace(&given, &files);
            destination = destination.replace(&given, &files);
        }
        let text = format!(
            "name = \"local_test\"\n{source}{}{destination}[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n{}",
            self.of_source, self.transfer
        );
        self.home.write("conf/local_job.toml", &text);
    }

    /// The files that hold the keys.
    pub fn write_keys(&self, access: &str, secret: &str) {
        for (name, text) in [("access.key", access), ("secret.key", secret)] {
            let path = self.keys.path().join(name);
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        }
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("home", &self.home).finish_non_exhaustive()
    }
}
