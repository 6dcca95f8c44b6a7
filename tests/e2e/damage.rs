//! Files of the state that are torn, changed, emptied or gone: each is found, named, and the message says what
//! to do; what can be mended is.

use std::path::{Path, PathBuf};
use std::process::Command;

use proto::breakpoint::{RECORDED, SETTLED};
use tests::crash::{End, Objects, files, must_be_whole, objects};
use tests::family::Dialect;
use tests::home::Home;

const JOB: &str = "local_test";

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Gone,
    Empty,
    Half,
    Zeros,
    /// One bit at this part (of 16) of the file.
    Flip(usize),
}

const ALL: [Harm; 8] = [
    Harm::Gone,
    Harm::Empty,
    Harm::Half,
    Harm::Zeros,
    Harm::Flip(0),
    Harm::Flip(5),
    Harm::Flip(9),
    Harm::Flip(15),
];

impl Harm {
    fn to(self, path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        let length = bytes.len();
        match self {
            Harm::Gone => return std::fs::remove_file(path).unwrap(),
            Harm::Empty => bytes.clear(),
            Harm::Half => bytes.truncate(length / 2),
            Harm::Zeros => bytes.fill(0),
            Harm::Flip(part) => {
                if let Some(byte) = bytes.get_mut(length * part / 16) {
                    *byte ^= 4;
                }
            }
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// A job that died in the middle, to be broken in many ways.
struct Broken {
    home: Home,
    _from: End,
    to: End,
    all: Objects,
}

impl Broken {
    fn at(place: &str) -> Broken {
        let (home, from, to) = (Home::new(), End::tree(), End::server(Dialect::Oss));
        let all = objects(90, 0, 0);
        from.fill(&all);
        home.job(&from.side(), &to.side(), "[task]\nobject_count_limit = 30\n");
        let died =
            home.command(&["--no-input", "import", "--restart"]).env("BRIGADE_BREAKPOINT", place).output();
        assert_eq!(died.unwrap().status.code(), None, "{place} was not reached");
        Broken { home, _from: from, to, all }
    }

    /// The same again, to be harmed.
    fn copy(&self) -> Home {
        let home = Home::new();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", self.home.path().display()))
            .arg(home.path())
            .status();
        assert!(copied.unwrap().success());
        home
    }

    /// Goes on; or refuses, naming the file and what to do, and changes nothing: with the file as it was it goes on.
    /// Whether it went on.
    #[track_caller]
    fn goes_on_or_names(&self, home: &Home, name: &str, harmed: &str) -> bool {
        let said = home.run(&["--no-input", "import", "--resume"]);
        if said.code == 0 {
            must_be_whole(home, JOB, &self.to, &self.all);
            return true;
        }
        assert_eq!(said.code, 1, "{harmed}: {}{}", said.out, said.err);
        let told = said.out + &said.err;
        assert!(told.contains(name), "{harmed}: it does not name {name}: {told}");
        let way_out =
            ["Restore", "Put the file back", "use that version"].iter().any(|way| told.contains(way));
        assert!(way_out, "{harmed}: no way out: {told}");
        false
    }

    fn put_back(&self, home: &Home, part: &str) {
        let (from, to) = (self.home.path().join(part), home.path().join(part));
        let _ = std::fs::remove_dir_all(&to);
        let _ = std::fs::remove_file(&to);
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    }
}

fn one(home: &Home, folder: &str) -> PathBuf {
    let found = files(&home.path().join("master/jobs").join(JOB).join(folder));
    found.into_iter().max().unwrap_or_else(|| panic!("no file in {folder}"))
}

#[test]
fn a_harmed_state_is_named_and_nothing_is_changed_or_begun_anew() {
    let broken = Broken::at(&format!("{RECORDED}#2"));
    for name in ["state/db", "state/conf", "STEPS", "FORMAT", "secret.key"] {
        for harm in ALL {
            let home = broken.copy();
            harm.to(&home.path().join("master").join(name));
            let harmed = format!("{harm:?} {name}");
            if !broken.goes_on_or_names(&home, "master/", &harmed) {
                let again = home.run(&["stat", JOB]);
                assert_ne!(again.code, 0, "{harmed}: refused once, and not again");
                // The one file that was harmed, as it was: everything else is untouched.
                let part = if name.starts_with("state") { "master/state" } else { &format!("master/{name}") };
                broken.put_back(&home, part);
                assert!(broken.goes_on_or_names(&home, "", &harmed), "{harmed}, put back");
            } else {
                assert!(
                    !matches!(name, "STEPS" | "FORMAT") || !matches!(harm, Harm::Gone),
                    "{harmed} was not seen"
                );
            }
        }
    }
}

#[test]
fn a_state_that_is_gone_is_never_begun_anew() {
    let broken = Broken::at(&format!("{RECORDED}#2"));
    for gone in [
        &["state"][..],
        &["FORMAT"],
        &["state", "FORMAT"],
        &["state", "STEPS"],
        &["FORMAT", "STEPS"],
        &["state", "FORMAT", "STEPS"],
        &["state", "FORMAT", "STEPS", "secret.key"],
    ] {
        let home = broken.copy();
        for name in gone {
            let path = home.path().join("master").join(name);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            } else {
                std::fs::remove_file(path).unwrap()
            }
        }
        assert!(
            !broken.goes_on_or_names(&home, "master/", &format!("without {gone:?}")),
            "without {gone:?} it began anew"
        );
    }
}

#[test]
fn a_harmed_manifest_is_named_and_other_jobs_go_on() {
    let broken = Broken::at(&format!("{RECORDED}#1"));
    for harm in ALL {
        let home = broken.copy();
        let path = one(&home, "manifests");
        harm.to(&path);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let harmed = format!("{harm:?} {name}");
        assert!(!broken.goes_on_or_names(&home, &name, &harmed), "{harmed} was not seen");
        assert_eq!(home.json(&["stat", JOB])["state"], "paused", "{harmed}");
        broken.put_back(&home, &format!("master/jobs/{JOB}/manifests"));
        assert!(broken.goes_on_or_names(&home, "", &harmed), "{harmed}, put back");
    }
    // One job is broken, another one runs.
    let home = broken.copy();
    Harm::Half.to(&one(&home, "manifests"));
    home.expect(0, &["start"]);
    let text = std::fs::read_to_string(home.path().join("conf/local_job.toml")).unwrap();
    home.write("conf/other.toml", &text.replace(JOB, "other_job"));
    home.expect(0, &["submit", &home.path().join("conf/other.toml").display().to_string()]);
    home.wait_for("the other job", || home.json(&["stat", "other_job"])["state"] == "succeeded");
    home.wait_for("paused", || home.json(&["stat", JOB])["state"] == "paused");
    home.expect(0, &["stop"]);
}

#[test]
fn a_harmed_audit_record_is_named_and_going_on_moves_its_objects_again() {
    let broken = Broken::at(&format!("{RECORDED}#1"));
    let mut named = 0;
    for harm in ALL {
        let home = broken.copy();
        let path = one(&home, "audit");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Two batches, so that the first is not the last.
        let (file, frame) = (std::fs::read(&path).unwrap(), tests::crash::frame());
        std::fs::write(&path, [&file[..], &frame].concat()).unwrap();
        harm.to(&path);
        let harmed = format!("{harm:?} {name}");
        if broken.goes_on_or_names(&home, &name, &harmed) {
            continue;
        }
        named += 1;
        assert!(broken.goes_on_or_names(&home, "", &harmed), "{harmed}: told once, then resumed");
        assert!(path.with_extension("bra.damaged").exists(), "{harmed}");
    }
    assert!(named >= 2, "damage in the middle was named {named} times");
}

#[test]
fn a_settled_task_without_its_record_makes_no_report_that_looks_whole() {
    let broken = Broken::at(&format!("{SETTLED}#2"));
    for harm in [Harm::Gone, Harm::Half, Harm::Flip(8)] {
        let home = broken.copy();
        home.import(0, &["--resume"]);
        let path = one(&home, "audit");
        harm.to(&path);
        let said = home.run(&["report", JOB, "--out", "/dev/null"]);
        assert_eq!(said.code, 1, "{harm:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(".bra"), "{harm:?}: {}", said.err);
    }
}
