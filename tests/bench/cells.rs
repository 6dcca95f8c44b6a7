//! What is measured: the cells, and the servers and data of each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::{RngCore, SeedableRng};
use tempfile::TempDir;
use tests::family::{Dialect, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use tests::world::Side;

use crate::line::{Line, Relay};
use crate::measure::{self, Figures};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) objects: u64,
    /// Bytes of each.
    pub(crate) size: u64,
    work: Work,
    /// Between the client and each server.
    line: Option<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// From SeaweedFS to s3s-fs.
    Between,
    /// From files to s3s-fs.
    Up,
    /// From SeaweedFS to SeaweedFS, where everything is already.
    Again,
    /// The listing of SeaweedFS.
    Plan,
    /// The listing of a bucket without any `/`, with so many listers, from the strict server of these tests: others
    /// take a minute to be filled.
    Flat(u32),
}

impl Work {
    fn only_lists(self) -> bool {
        matches!(self, Work::Plan | Work::Flat(_))
    }
}

const fn cell(name: &'static str, objects: u64, size: u64, work: Work) -> Cell {
    Cell { name, objects, size, work, line: None }
}

const fn far(cell: Cell, bytes_per_s: Option<u64>) -> Cell {
    Cell { line: Some(Line { round_trip: Duration::from_millis(20), bytes_per_s }), ..cell }
}

const GIGABIT: Option<u64> = Some(125_000_000);

pub(crate) const CELLS: [Cell; 13] = [
    cell("small-s3-s3", 10_000, 4 << 10, Work::Between),
    cell("medium-s3-s3", 500, 1 << 20, Work::Between),
    cell("large-s3-s3", 4, 512 << 20, Work::Between),
    cell("small-local-s3", 10_000, 4 << 10, Work::Up),
    cell("medium-local-s3", 500, 1 << 20, Work::Up),
    cell("large-local-s3", 4, 512 << 20, Work::Up),
    cell("second-run", 10_000, 4 << 10, Work::Again),
    cell("plan", 50_000, 0, Work::Plan),
    far(cell("small-s3-s3-20ms", 10_000, 4 << 10, Work::Between), None),
    far(cell("large-s3-s3-20ms-1gbit", 4, 512 << 20, Work::Between), GIGABIT),
    far(cell("large-local-s3-20ms-1gbit", 4, 512 << 20, Work::Up), GIGABIT),
    far(cell("flat-1-lister-20ms", 1_000_000, 0, Work::Flat(1)), None),
    far(cell("flat-16-listers-20ms", 1_000_000, 0, Work::Flat(16)), None),
];

/// The flags with which rclone is quickest here.
const TUNED: [&str; 9] = [
    "--transfers",
    "32",
    "--checkers",
    "32",
    "--fast-list",
    "--s3-no-check-bucket",
    "--s3-upload-concurrency",
    "8",
    "--s3-chunk-size=16M",
];

/// Servers and data of one cell.
pub(crate) struct Stage {
    files: TempDir,
    source: Option<End>,
    destination: Option<End>,
    runs: AtomicU32,
}

/// A server, and the line to it.
struct End {
    server: Kept,
    relay: Option<Relay>,
}

enum Kept {
    Others(S3Server),
    Strict(Server),
}

impl End {
    fn start(kind: Kind, line: Option<Line>) -> End {
        let server = S3Server::start(kind);
        let relay = line.map(|line| Relay::before(&server.endpoint(), line));
        End { server: Kept::Others(server), relay }
    }

    /// The strict server with that many keys of no bytes in `data/`.
    fn flat(objects: u64, line: Option<Line>) -> End {
        let server = Server::start(Dialect::S3, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        let empty = Object::new("");
        for n in 0..objects {
            server.insert("bucket", format!("data/o{n:09}").as_bytes(), empty.clone());
        }
        let relay = line.map(|line| Relay::before(&server.endpoint(), line));
        End { server: Kept::Strict(server), relay }
    }

    /// Without the line: to prepare.
    fn near(&self) -> String {
        match &self.server {
            Kept::Others(server) => server.endpoint(),
            Kept::Strict(server) => server.endpoint(),
        }
    }

    /// At the other end of the line.
    fn far(&self) -> String {
        self.relay.as_ref().map_or_else(|| self.near(), Relay::endpoint)
    }

    /// Where it keeps a bucket as files.
    fn root(&self) -> Option<&Path> {
        match &self.server {
            Kept::Others(server) => Some(server.root()),
            Kept::Strict(_) => None,
        }
    }
}

impl Stage {
    /// Starts the servers, makes the data, and brings them where they have to be.
    pub(crate) fn set(cell: &Cell) -> Stage {
        let files = TempDir::new().unwrap();
        let (source, destination) = match cell.work {
            Work::Between => (Some(Kind::Seaweed), Some(Kind::S3sFs)),
            Work::Up => (None, Some(Kind::S3sFs)),
            Work::Again => (Some(Kind::Seaweed), Some(Kind::Seaweed)),
            Work::Plan => (Some(Kind::Seaweed), None),
            Work::Flat(_) => {
                let source = Some(End::flat(cell.objects, cell.line));
                return Stage { files, source, destination: None, runs: AtomicU32::new(0) };
            }
        };
        make(files.path(), cell);
        let start = |kind: Option<Kind>| kind.map(|kind| End::start(kind, cell.line));
        let (source, destination) = (start(source), start(destination));
        let stage = Stage { files, source, destination, runs: AtomicU32::new(0) };
        for end in stage.source.iter().chain(&stage.destination) {
            Side::s3(&end.near(), "bucket", "made/").seed("small:1");
        }
        let local = Side::local(stage.files.path());
        if let Some(end) = &stage.source {
            import(&local, &Side::s3(&end.near(), "bucket", "data/"), "");
        }
        if let (Work::Again, Some(end)) = (cell.work, &stage.destination) {
            import(&stage.from(), &Side::s3(&end.near(), "bucket", "there/"), "");
        }
        stage
    }

    /// A server's data, or the files.
    fn from(&self) -> Side {
        match &self.source {
            Some(end) => Side::s3(&end.far(), "bucket", "data/"),
            None => Side::local(self.files.path()),
        }
    }

    pub(crate) fn brigade(&self, cell: &Cell) -> Figures {
        let home = Home::new();
        let (prefix, more) = self.place(cell);
        let destination = match &self.destination {
            Some(end) => Side::s3(&end.far(), "bucket", &prefix),
            None => Side::local(home.path()),
        };
        home.job(&self.from(), &destination, &more);
        let args: &[&str] = if cell.work.only_lists() { &["plan"] } else { &["--no-input", "import"] };
        let figures = measure::run(home.command(args).env("MALLOC_ARENA_MAX", "2"));
        self.clear(&prefix, cell);
        figures
    }

    pub(crate) fn rclone(&self, cell: &Cell, program: &Path) -> Figures {
        let (prefix, _) = self.place(cell);
        let mut command = Command::new(program);
        for (name, end) in [("A", &self.source), ("B", &self.destination)] {
            let endpoint = end.as_ref().map(End::far).unwrap_or_default();
            for (key, value) in [
                ("TYPE", "s3"),
                ("PROVIDER", "Other"),
                ("ACCESS_KEY_ID", ACCESS_KEY),
                ("SECRET_ACCESS_KEY", SECRET_KEY),
                ("REGION", "us-east-1"),
                ("ENDPOINT", &endpoint),
                ("FORCE_PATH_STYLE", "true"),
            ] {
                command.env(format!("RCLONE_CONFIG_{name}_{key}"), value);
            }
        }
        command.env("RCLONE_CONFIG", "/dev/null");
        let from = match self.source {
            Some(_) => "A:bucket/data".to_owned(),
            None => self.files.path().display().to_string(),
        };
        match cell.work {
            work if work.only_lists() => {
                command.args(["lsf", "-R", "--files-only", "--format", "ps", "--fast-list", &from])
            }
            _ => command.arg("copy").args(TUNED).args([&from, &format!("B:bucket/{prefix}")]),
        };
        let figures = measure::run(&mut command);
        self.clear(&prefix, cell);
        figures
    }

    /// Where a run writes, and what its job says besides.
    fn place(&self, cell: &Cell) -> (String, String) {
        let fresh = format!("run{}/", self.runs.fetch_add(1, Ordering::Relaxed));
        match cell.work {
            Work::Again => ("there/".to_owned(), "[transfer]\nskip_existing = true\n".to_owned()),
            Work::Flat(listers) => (fresh, format!("[task]\nscan_threads = {listers}\n")),
            _ => (fresh, String::new()),
        }
    }

    /// Takes away what a run wrote, behind the server's back: memory file systems are small.
    fn clear(&self, prefix: &str, cell: &Cell) {
        let root = self.destination.as_ref().and_then(End::root);
        if let (Work::Between | Work::Up, Some(root)) = (cell.work, root) {
            let written = root.join("bucket").join(prefix);
            let found = files(&written);
            assert_eq!(found, cell.objects, "{} files of {} in {written:?}", found, cell.objects);
            std::fs::remove_dir_all(written).unwrap();
        }
    }
}

/// Moves the data of a stage to where it is measured from.
fn import(from: &Side, to: &Side, more: &str) {
    let home = Home::new();
    home.job(from, to, more);
    home.import(0, &[]);
}

/// Files that do not compress, 1,000 a directory.
fn make(root: &Path, cell: &Cell) {
    let mut random = rand::rngs::StdRng::seed_from_u64(cell.objects ^ cell.size);
    let mut block = vec![0; cell.size.min(1 << 20) as usize];
    for n in 0..cell.objects {
        let folder: PathBuf = root.join(format!("d{:03}", n / 1000));
        std::fs::create_dir_all(&folder).unwrap();
        let mut file = std::fs::File::create(folder.join(format!("o{n:07}"))).unwrap();
        let mut left = cell.size;
        while left > 0 {
            random.fill_bytes(&mut block);
            std::io::Write::write_all(&mut file, &block).unwrap();
            left -= block.len() as u64;
        }
    }
}

fn files(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { 1 }).sum()
}
