//! What is measured: the cells, and the servers and data of each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::{RngCore, SeedableRng};
use tempfile::TempDir;
use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use tests::world::Side;

use crate::measure::{self, Figures};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) objects: u64,
    /// Bytes of each.
    pub(crate) size: u64,
    work: Work,
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
}

const fn cell(name: &'static str, objects: u64, size: u64, work: Work) -> Cell {
    Cell { name, objects, size, work }
}

pub(crate) const CELLS: [Cell; 8] = [
    cell("small-s3-s3", 10_000, 4 << 10, Work::Between),
    cell("medium-s3-s3", 500, 1 << 20, Work::Between),
    cell("large-s3-s3", 4, 512 << 20, Work::Between),
    cell("small-local-s3", 10_000, 4 << 10, Work::Up),
    cell("medium-local-s3", 500, 1 << 20, Work::Up),
    cell("large-local-s3", 4, 512 << 20, Work::Up),
    cell("second-run", 10_000, 4 << 10, Work::Again),
    cell("plan", 50_000, 0, Work::Plan),
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
    source: Option<S3Server>,
    destination: Option<S3Server>,
    runs: AtomicU32,
}

impl Stage {
    /// Starts the servers, makes the data, and brings them where they have to be.
    pub(crate) fn set(cell: &Cell) -> Stage {
        let files = TempDir::new().unwrap();
        make(files.path(), cell);
        let source = (cell.work != Work::Up).then(|| S3Server::start(Kind::Seaweed));
        let destination = match cell.work {
            Work::Plan => None,
            Work::Again => Some(S3Server::start(Kind::Seaweed)),
            Work::Between | Work::Up => Some(S3Server::start(Kind::S3sFs)),
        };
        let stage = Stage { files, source, destination, runs: AtomicU32::new(0) };
        for server in stage.source.iter().chain(&stage.destination) {
            Side::s3(&server.endpoint(), "bucket", "made/").seed("small:1");
        }
        let local = Side::local(stage.files.path());
        if let Some(server) = &stage.source {
            import(&local, &Side::s3(&server.endpoint(), "bucket", "data/"), "");
        }
        if let (Work::Again, Some(server)) = (cell.work, &stage.destination) {
            import(&stage.side(&stage.source), &Side::s3(&server.endpoint(), "bucket", "there/"), "");
        }
        stage
    }

    /// A server's data, or the files.
    fn side(&self, server: &Option<S3Server>) -> Side {
        match server {
            Some(server) => Side::s3(&server.endpoint(), "bucket", "data/"),
            None => Side::local(self.files.path()),
        }
    }

    pub(crate) fn brigade(&self, cell: &Cell) -> Figures {
        let home = Home::new();
        let (prefix, more) = self.place(cell);
        let destination = match &self.destination {
            Some(server) => Side::s3(&server.endpoint(), "bucket", &prefix),
            None => Side::local(home.path()),
        };
        home.job(&self.side(&self.source), &destination, more);
        let args: &[&str] = if cell.work == Work::Plan { &["plan"] } else { &["--no-input", "import"] };
        let figures = measure::run(home.command(args).env("MALLOC_ARENA_MAX", "2"));
        self.clear(&prefix, cell);
        figures
    }

    pub(crate) fn rclone(&self, cell: &Cell, program: &Path) -> Figures {
        let (prefix, _) = self.place(cell);
        let mut command = Command::new(program);
        for (name, server) in [("A", &self.source), ("B", &self.destination)] {
            let endpoint = server.as_ref().map(S3Server::endpoint).unwrap_or_default();
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
            Work::Plan => command.args(["lsf", "-R", "--files-only", "--format", "ps", "--fast-list", &from]),
            _ => command.arg("copy").args(TUNED).args([&from, &format!("B:bucket/{prefix}")]),
        };
        let figures = measure::run(&mut command);
        self.clear(&prefix, cell);
        figures
    }

    /// Where a run writes, and what its job says besides.
    fn place(&self, cell: &Cell) -> (String, &'static str) {
        match cell.work {
            Work::Again => ("there/".to_owned(), "[transfer]\nskip_existing = true\n"),
            _ => (format!("run{}/", self.runs.fetch_add(1, Ordering::Relaxed)), ""),
        }
    }

    /// Takes away what a run wrote, behind the server's back: memory file systems are small.
    fn clear(&self, prefix: &str, cell: &Cell) {
        if let (Work::Between | Work::Up, Some(server)) = (cell.work, &self.destination) {
            let written = server.root().join("bucket").join(prefix);
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
