//! This host's clock jumps, also backwards (libfaketime; the monotonic clock goes on, as it does in reality).

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tests::crash::{End, files, must_be_whole, objects};
use tests::family::Dialect;
use tests::home::{Home, Said};

/// A clock that a file sets.
struct Clock {
    library: PathBuf,
    folder: TempDir,
}

impl Clock {
    fn new() -> Clock {
        let lib = std::fs::read_dir("/usr/lib").unwrap().flatten();
        let library =
            lib.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
        let library = library.expect("libfaketime is missing: run tests/run.sh --set-up");
        let clock = Clock { library, folder: TempDir::new().unwrap() };
        clock.set(0);
        clock
    }

    /// From now on it is off by so many seconds.
    fn set(&self, seconds: i64) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn run(&self, home: &Home, args: &[&str]) -> Said {
        let mut command: Command = home.command(args);
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.file());
        command
            .env("FAKETIME_NO_CACHE", "1")
            .env("NO_FAKE_STAT", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let output = command.output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn logs(home: &Home) -> String {
    let all = files(&home.path().join("logs"));
    all.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
}

fn written(home: &Home) -> u64 {
    let stat = home.json(&["stat", "local_test"]);
    let requests = stat["requests"].as_array().cloned().unwrap_or_default();
    let puts = requests.iter().filter(|line| line["side"] == "destination" && line["kind"] == "put");
    puts.filter_map(|line| line["count"].as_u64()).sum()
}

#[test]
fn a_clock_that_jumps_loses_no_lease_and_no_figure() {
    let (clock, all) = (Clock::new(), objects(600, 1, 12_000_000));
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
    from.fill(&all);
    let home = Home::new();
    home.write(
        "conf/sys.toml",
        "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\nlease = \"3s\"\n",
    );
    let conf = "[task]\nobject_count_limit = 20\n[transfer]\nrequests_per_s = 150\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";
    home.job(&from.side(), &to.side(), conf);
    assert_eq!(clock.run(&home, &["start"]).code, 0);
    home.expect(0, &["submit"]);
    let puts =
        |times| to.as_server().wait_for(|request| request.method == "PUT", times).expect("objects are moved");
    // Services allow a quarter of an hour.
    for (after, seconds) in [(100, -700), (250, 600), (400, -300)] {
        puts(after);
        clock.set(seconds);
        let before = written(&home);
        home.wait_for("figures go on", || written(&home) > before);
    }
    home.wait_for("the job is done", || home.json(&["stat", "local_test"])["state"] == "succeeded");
    home.expect(0, &["stop"]);
    let stat = home.json(&["stat", "local_test"]);
    assert!(stat["finished_at"].as_str() >= stat["started_at"].as_str(), "{stat}");
    must_be_whole(&home, "local_test", &to, &all);
    let logs = logs(&home);
    for word in ["lease is lost", "expired", "a report was"] {
        assert!(!logs.contains(word), "{word:?} in {logs}");
    }
}

fn put(folder: &Path, name: &str) {
    std::fs::write(folder.join(name), name).unwrap();
}

#[test]
fn a_home_from_the_future_goes_on_and_so_do_the_rounds_of_its_job() {
    let (clock, home, from, to) = (Clock::new(), Home::new(), TempDir::new().unwrap(), End::tree());
    put(from.path(), "first");
    home.job(&tests::world::Side::local(from.path()), &to.side(), "incremental = true\ninterval = \"15m\"\n");
    assert_eq!(clock.run(&home, &["start"]).code, 0);
    home.expect(0, &["submit"]);
    // Forwards by more than the interval the round is due, backwards by more than it as well.
    for (name, seconds) in [("second", 3_600), ("third", -86_400), ("fourth", -40_000_000), ("fifth", 86_400)]
    {
        home.wait_for("a round ended", || home.json(&["stat", "local_test"])["state"] == "waiting");
        home.expect(0, &["stop"]);
        clock.set(seconds);
        put(from.path(), name);
        let said = clock.run(&home, &["start"]);
        assert_eq!(said.code, 0, "{said:?}");
        home.wait_for(&format!("the next round moves {name}"), || to.objects().contains_key(name));
    }
    home.wait_for("a round ended", || home.json(&["stat", "local_test"])["state"] == "waiting");
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["objects"]["failed"], &stat["round"]), (&0.into(), &5.into()), "{stat}");
    home.expect(0, &["stop"]);
    assert_eq!(to.objects().len(), 5);
    assert!(to.leavings().is_empty());
}
