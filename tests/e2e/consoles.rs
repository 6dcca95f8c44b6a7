//! Several consoles on one home that want opposite things at once, and installations that get in each other's
//! way. A seed decides what each console does; a seed that fails is printed:
//!
//!     BRIGADE_SEEDS=17..18 cargo test -p tests --test e2e --all-features -- consoles
//!
//! `BRIGADE_SEEDS=1000..1200` is a longer run.

use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tests::crash::{End, Objects, must_be_true, must_be_whole, objects};
use tests::family::{Action, Dialect, Fault};
use tests::home::{Home, Said, brigade};
use tests::random::{Random, seeds};

/// `local_test` is also what `import` moves.
const JOBS: [&str; 2] = ["local_test", "second"];

/// What no command may ever say here: each of them means that state or processes contradict each other.
const NEVER: [&str; 9] = [
    "a bug",
    "panicked",
    "damaged",
    "transport",
    "token",
    "did not become ready",
    "did not start",
    "cannot be seen",
    "os error",
];

/// One job between two ends.
struct Line {
    from: End,
    to: End,
    all: Objects,
}

struct Scene {
    home: Home,
    lines: Vec<Line>,
    told: Mutex<Vec<String>>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let mut random = Random::new(seed);
        let home = Home::new();
        let mut lines = Vec::new();
        for job in JOBS {
            let all = objects(20 + random.below(150) as usize, random.below(2) as usize, 5_300_000);
            let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
            from.fill(&all);
            home.job(&from.side(), &to.side(), "[task]\nobject_count_limit = 11\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n");
            let conf = home.path().join("conf/local_job.toml");
            let text = std::fs::read_to_string(&conf).unwrap().replace("\"local_test\"", &format!("{job:?}"));
            home.write(&format!("conf/{job}.toml"), &text);
            lines.push(Line { from, to, all });
        }
        let text = std::fs::read_to_string(home.path().join("conf/local_test.toml")).unwrap();
        home.write("conf/local_job.toml", &text);
        Scene { home, lines, told: Mutex::default() }
    }

    fn file(&self, job: &str) -> String {
        self.home.path().join(format!("conf/{job}.toml")).display().to_string()
    }

    /// What one console does.
    fn console(&self, mut random: Random, commands: usize) {
        for _ in 0..commands {
            let job = JOBS[random.below(2) as usize];
            let file = self.file(job);
            let limit = (1 + random.below(40)).to_string();
            let limit = format!("{limit}MiB");
            let (args, codes): (Vec<&str>, &[i32]) = match random.below(15) {
                0 => (vec!["stop"], &[0]),
                1 | 2 => (vec!["start"], &[0, 1]),
                3 | 4 => (vec!["submit", &file], &[0, 2, 4]),
                5 => (vec!["pause", job], &[0, 1, 4]),
                6 | 7 => (vec!["resume", job], &[0, 1, 4]),
                8 => (vec!["retry", job], &[0, 1, 4]),
                9 => (vec!["clean", "--force", job], &[0, 1, 4]),
                10 => (vec!["limit", job, "--bytes", &limit], &[0, 1, 4]),
                11 => (vec!["import", "--resume"], &[0, 1]),
                12 => (vec!["report", job, "--out", "/dev/null"], &[0, 1, 4]),
                _ => (vec!["--output", "json", "stat", job], &[0, 1, 4]),
            };
            let args: Vec<&str> = ["--no-input"].into_iter().chain(args).collect();
            let said = self.home.run(&args);
            self.look_at(&args, codes, &said);
        }
    }

    /// Every answer is one that can be.
    fn look_at(&self, args: &[&str], codes: &[i32], said: &Said) {
        let line = format!("{args:?} -> {} {} {}", said.code, said.out.trim(), said.err.trim());
        self.told.lock().unwrap().push(line.clone());
        assert!(codes.contains(&said.code), "{line}");
        assert!(said.code == 0 || !said.err.trim().is_empty(), "says nothing: {line}");
        for word in NEVER {
            assert!(!said.err.contains(word), "{word:?} in {line}");
        }
        if args.contains(&"stat") && said.code == 0 {
            let stat: Value = serde_json::from_str(&said.out).unwrap();
            must_add_up(&stat);
        }
    }

    /// Whatever the consoles did: each job can be brought to its end, and is whole.
    fn finish(&self) {
        self.home.expect(0, &["--no-input", "stop"]);
        self.home.expect(0, &["start"]);
        for (job, line) in JOBS.into_iter().zip(&self.lines) {
            let stat = self.home.run(&["--output", "json", "stat", job]);
            if stat.code == 1 {
                self.home.expect(0, &["submit", &self.file(job)]);
            } else {
                must_be_true(&self.home, job, &line.to, &line.all);
                self.home.run(&["resume", job]);
            }
            self.home.expect(0, &["limit", job, "--bytes", "0"]);
            self.home.wait_for("the job is done", || {
                let stat = self.home.json(&["stat", job]);
                must_add_up(&stat);
                assert_ne!(stat["state"], "paused", "{stat}");
                stat["state"] == "succeeded"
            });
        }
        self.home.expect(0, &["stop"]);
        for (job, line) in JOBS.into_iter().zip(&self.lines) {
            must_be_whole(&self.home, job, &line.to, &line.all);
            assert!(line.from.leavings().is_empty());
        }
        assert_eq!(left_in_run(&self.home), Vec::<String>::new());
    }
}

/// Figures of one answer do not contradict each other.
#[track_caller]
fn must_add_up(stat: &Value) {
    let number = |path: &str| stat.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let settled = number("/objects/succeeded") + number("/objects/skipped") + number("/objects/failed");
    assert!(settled <= number("/scan/objects"), "{stat}");
    assert_eq!(number("/objects/failed"), 0, "{stat}");
    if stat["state"] == "succeeded" {
        assert!(stat["scan"]["done"] == true && settled == number("/scan/objects"), "{stat}");
        assert_eq!(
            number("/tasks/pending") + number("/tasks/dispatched") + number("/tasks/failed"),
            0,
            "{stat}"
        );
    }
}

/// What may be in `run/` where nothing runs: locks, and the last addresses.
fn left_in_run(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path().join("run")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".lock") && !name.ends_with(".last")).collect()
}

#[test]
fn consoles_that_want_opposite_things_get_true_answers_and_the_jobs_end_right() {
    for seed in seeds("0..6") {
        let scene = Scene::new(seed);
        let (consoles, commands) = (2 + seed % 3, 12);
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..consoles)
                    .map(|number| {
                        let scene = &scene;
                        scope.spawn(move || scene.console(Random::new(seed * 1000 + number + 1), commands))
                    })
                    .collect();
                for thread in threads {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                }
            });
            scene.finish();
        }));
        if let Err(panic) = played {
            let told = scene.told.lock().unwrap_or_else(|poison| poison.into_inner()).join("\n");
            println!("BRIGADE_SEEDS={seed}..{} failed; the consoles said\n{told}", seed + 1);
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_two_consoles_begin_at_once_runs_once() {
    let home = Home::new();
    let said: Vec<Said> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| home.run(&["start"]))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(said.iter().all(|said| said.code == 0), "{said:?}");
    assert_eq!(said.iter().filter(|said| said.out.starts_with("started master")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.out.starts_with("already running")).count(), 3, "{said:?}");
    home.expect(0, &["stat"]);
    let pid = std::fs::read_to_string(home.path().join("run/worker.pid")).unwrap();
    let environ = std::fs::read(format!("/proc/{}/environ", pid.split_whitespace().next().unwrap())).unwrap();
    assert!(environ.split(|byte| *byte == 0).any(|one| one == b"MALLOC_ARENA_MAX=2"));
    let said: Vec<Said> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(|| home.run(&["stop"]))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(said.iter().filter(|said| said.out.contains("nothing was running")).count(), 2, "{said:?}");
    assert_eq!(left_in_run(&home), Vec::<String>::new());
}

// === interrupted ===

#[test]
fn a_job_that_was_broken_off_is_not_called_running_and_can_be_forgotten() {
    let all = objects(400, 0, 0);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
        from.fill(&all);
        let home = Home::new();
        home.job(&from.side(), &to.side(), "[task]\nobject_count_limit = 50\n");
        let slow = Action::Delay(Duration::from_millis(200));
        to.as_server().plan(Fault {
            method: "PUT",
            contains: String::new(),
            skip: 100,
            times: 1000,
            action: slow,
        });
        let mut running = home.spawn(&["--no-input", "import"]);
        to.as_server().wait_for(|request| request.method == "PUT", 150).expect("objects are moved");
        assert_eq!(home.json(&["stat", "local_test"])["state"], "running");
        kill(Pid::from_raw(running.id() as i32), signal).unwrap();
        running.wait().unwrap();
        to.as_server().heal();
        let stat = home.json(&["stat", "local_test"]);
        assert_eq!(stat["state"], "paused", "{signal}: {stat}");
        let reason = stat["reason"].as_str().unwrap_or_default();
        for word in ["interrupted", "nothing runs", "brigade import --resume", "brigade start"] {
            assert!(reason.contains(word), "{signal}: no {word:?} in {reason}");
        }
        if signal == Signal::SIGKILL {
            let said = home.expect(0, &["--no-input", "clean", "local_test"]);
            assert!(said.out.contains("0 unfinished uploads aborted"), "{}", said.out);
            home.expect(1, &["stat", "local_test"]);
            continue;
        }
        if signal == Signal::SIGTERM {
            home.import(0, &["--resume"]);
        } else {
            // A service goes on with it as well.
            home.expect(0, &["start"]);
            home.wait_for("the job is done", || home.json(&["stat", "local_test"])["state"] == "succeeded");
            home.expect(0, &["stop"]);
        }
        must_be_whole(&home, "local_test", &to, &all);
    }
}

#[test]
fn one_is_not_many_in_what_people_read() {
    let all = objects(3, 0, 0);
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
    from.fill(&all);
    let home = Home::new();
    home.job(&from.side(), &to.side(), "");
    let refuse = Action::Status(403, "AccessDenied", None);
    to.as_server().plan(Fault {
        method: "PUT",
        contains: "o-00001".into(),
        skip: 0,
        times: 1,
        action: refuse,
    });
    let said = home.import(3, &[]);
    assert!(said.out.contains("1 object in 1 task failed"), "{}", said.out);
    let said = home.expect(0, &["report", "--out", "/dev/null"]);
    assert!(said.out.contains("found 3 objects") && said.out.contains("3 records"), "{}", said.out);
}

// === a second installation ===

/// The same home under other names.
fn other_names(home: &Path, beside: &Path) -> Vec<std::path::PathBuf> {
    let link = beside.join("link");
    std::os::unix::fs::symlink(home, &link).unwrap();
    let mut names = vec![link, Path::new("/proc/self/root").join(home.strip_prefix("/").unwrap())];
    if tests::place::own_mounts() {
        let bound = beside.join("bound");
        std::fs::create_dir(&bound).unwrap();
        let none: Option<&str> = None;
        nix::mount::mount(Some(home), &bound, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
        names.push(bound);
    }
    names
}

fn at(home: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(brigade());
    command.arg("--home").arg(home).arg("--no-input").args(args).stdin(Stdio::null());
    command.env("BRIGADE_TEST_SECRET", tests::servers::SECRET_KEY);
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_home_under_another_name_is_the_same_home() {
    let all = objects(30, 0, 0);
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
    from.fill(&all);
    let (home, beside) = (Home::new(), TempDir::new().unwrap());
    home.job(&from.side(), &to.side(), "");
    home.expect(0, &["start"]);
    let pid = std::fs::read_to_string(home.path().join("run/master.pid")).unwrap();
    let pid = pid.split_whitespace().next().unwrap();
    for name in other_names(home.path(), beside.path()) {
        let said = at(&name, &["start"]);
        assert!(said.code == 0 && said.out.contains("already running"), "{name:?}: {said:?}");
        let said = at(&name, &["import"]);
        assert!(said.code == 1 && said.err.contains(&format!("process {pid}")), "{name:?}: {said:?}");
        assert_eq!(at(&name, &["stat"]).code, 0, "{name:?}");
    }
    // Another home whose state is this one's.
    let other = Home::new();
    std::os::unix::fs::symlink(home.path().join("master"), other.path().join("master")).unwrap();
    let said = at(other.path(), &["start"]);
    assert!(said.code == 1 && said.err.contains("in use by another process"), "{said:?}");
    assert!(said.err.contains("master/state"), "{said:?}");
    home.expect(0, &["submit", &home.path().join("conf/local_job.toml").display().to_string()]);
    home.wait_for("the job is done", || home.json(&["stat", "local_test"])["state"] == "succeeded");
    home.expect(0, &["stop"]);
    must_be_whole(&home, "local_test", &to, &all);
}

#[test]
fn a_master_in_another_container_is_left_alone() {
    if !tests::place::own_mounts() {
        println!("NOT TESTED: a process that cannot be seen needs a PID namespace, and only root gets one");
        return;
    }
    let (home, from, to) = (Home::new(), End::tree(), End::tree());
    home.job(&from.side(), &to.side(), "");
    home.expect(0, &["start"]);
    let token = || std::fs::read_to_string(home.path().join("run/token")).unwrap();
    let before = token();
    for command in [&["start"][..], &["stop"], &["import"]] {
        let output = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(brigade())
            .arg("--home")
            .arg(home.path())
            .arg("--no-input")
            .args(command)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        let words = ["cannot be seen from here", "another container", &home.path().display().to_string()];
        assert!(words.iter().all(|word| said.contains(word)), "{command:?}: {said}");
        assert_eq!(token(), before, "{command:?}");
        home.expect(0, &["stat"]);
    }
    home.expect(0, &["stop"]);
}

#[test]
fn a_port_that_is_taken_is_named_and_so_is_who_knows_more() {
    let home = Home::new();
    for key in ["master_address", "tracker_address"] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let other = if key == "master_address" { "tracker_address" } else { "master_address" };
        home.write("conf/sys.toml", &format!("{key} = \"{address}\"\n{other} = \"127.0.0.1:0\"\n"));
        let said = home.expect(1, &["start"]);
        let port = address.port();
        for word in
            [address.to_string().as_str(), key, "conf/sys.toml", &format!("ss -ltnp 'sport = :{port}'")]
        {
            assert!(said.err.contains(word), "no {word:?} in {}", said.err);
        }
        // Nothing of the start that failed stays.
        home.expect(4, &["stat"]);
        let said = home.expect(0, &["stop"]);
        assert!(said.out.contains("nothing was running"), "{}", said.out);
        drop(taken);
        home.expect(0, &["start"]);
        home.expect(0, &["stop"]);
    }
}
