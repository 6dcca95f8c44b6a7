//! `[[rename]]`: objects arrive under their new names, two that become one are never written over one another, and
//! everything that looks for an object looks under its new name.

use std::collections::BTreeMap;
use std::process::Stdio;

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::family::{Dialect, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const RULES: &str =
    "[[rename]]\nmatch = '^(\\d{4})-(\\d{2})-'\nto = '$1/$2/'\n[[rename]]\nmatch = '[ -]'\nto = '_'\n";
const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

fn sides(from: &Server, to: &Server) -> (Side, Side) {
    (Side::s3(&from.endpoint(), "bucket", "in/"), Side::oss(&to.endpoint(), "bucket", "out/"))
}

/// Source key to destination key, both below their prefixes; none: it is refused.
fn world(objects: usize) -> BTreeMap<String, Option<String>> {
    let mut world = BTreeMap::new();
    for n in 0..objects {
        let key = format!("2025-{:02}-a {n:03}.jpg", n % 12 + 1);
        world.insert(key, Some(format!("2025/{:02}/a_{n:03}.jpg", n % 12 + 1)));
    }
    world.insert("same".into(), Some("same".into()));
    world.insert("large one".into(), Some("large_one".into()));
    // Three become one: the first in key order has it.
    world.insert("x y".into(), Some("x_y".into()));
    world.insert("x-y".into(), None);
    world.insert("x_y".into(), None);
    world
}

fn data(key: &str) -> Bytes {
    if key == "large one" { vec![7; 6 << 20].into() } else { format!("content of {key}").into() }
}

fn fill(from: &Server, world: &BTreeMap<String, Option<String>>) {
    for key in world.keys() {
        from.insert("bucket", format!("in/{key}").as_bytes(), Object::new(data(key)));
    }
}

/// What is there is what the mapping says, and nothing else.
fn must_be_there(to: &Server, world: &BTreeMap<String, Option<String>>) {
    let mut wanted = BTreeMap::new();
    for (key, target) in world {
        if let Some(target) = target {
            assert_eq!(wanted.insert(format!("out/{target}"), data(key)), None);
        }
    }
    let there: Vec<String> =
        to.keys("bucket").into_iter().map(|key| String::from_utf8(key).unwrap()).collect();
    assert_eq!(there, wanted.keys().cloned().collect::<Vec<_>>());
    for (target, data) in wanted {
        assert!(to.object("bucket", target.as_bytes()).unwrap().data == data, "{target} has other bytes");
    }
    assert!(to.uploads("bucket").is_empty());
}

fn records(home: &Home) -> BTreeMap<String, Value> {
    let lines = home.report("local_test").into_iter().skip(1);
    lines.map(|line| (line["key"].as_str().unwrap().to_owned(), line)).collect()
}

#[test]
fn objects_get_their_new_names_and_two_that_become_one_are_both_named() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    let (source, destination) = sides(&from, &to);
    let world = world(60);
    fill(&from, &world);
    let home = Home::new();
    home.job(&source, &destination, &format!("{RULES}{PARTS}"));

    let plan = home.json(&["plan"]);
    assert_eq!((&plan["objects"], &plan["refused"]), (&65.into(), &2.into()), "{plan}");
    assert_eq!(plan["mapping"][0]["key"], "2025-01-a 000.jpg", "{plan}");
    assert_eq!(plan["mapping"][0]["to"], "out/2025/01/a_000.jpg", "{plan}");
    let said = home.expect(0, &["plan"]).out;
    assert!(said.contains("2025-01-a 000.jpg  ->  out/2025/01/a_000.jpg"), "{said}");
    assert!(said.contains("2 objects would fail with INVALID_NAME"), "{said}");

    home.import(3, &["--restart"]);
    must_be_there(&to, &world);
    let found = records(&home);
    assert_eq!(found.len(), world.len());
    for (key, target) in &world {
        let record = &found[key];
        match target {
            Some(target) => assert_eq!(record["destination_key"], format!("out/{target}"), "{record}"),
            None => {
                assert_eq!(record["code"], "INVALID_NAME", "{record}");
                let text = record["text"].as_str().unwrap();
                assert!(text.contains("\"x_y\"") && text.contains("\"x y\""), "{text}");
            }
        }
    }

    // A retry changes nothing of that: whoever has the name keeps it.
    home.expect(0, &["start"]);
    home.expect(0, &["retry", "local_test"]);
    home.wait_for("the retry is over", || home.json(&["stat", "local_test"])["state"] == "failed");
    home.expect(0, &["stop"]);
    must_be_there(&to, &world);
}

#[test]
fn what_is_there_under_its_new_name_is_left_alone_and_audited() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    let (source, destination) = sides(&from, &to);
    let mut world = world(60);
    world.retain(|_, target| target.is_some());
    fill(&from, &world);
    let home = Home::new();
    home.job(&source, &destination, &format!("{RULES}{PARTS}"));
    home.import(0, &["--restart"]);
    must_be_there(&to, &world);

    home.job(&source, &destination, &format!("{RULES}{PARTS}skip_existing = true\n"));
    to.forget_requests();
    home.import(0, &["--restart"]);
    assert_eq!(home.json(&["stat", "local_test"])["objects"]["skipped"], world.len(), "all of them");
    assert!(to.requests().iter().all(|request| !matches!(&*request.method, "PUT" | "POST")));

    home.job(&source, &destination, &format!("type = \"audit\"\n{RULES}{PARTS}"));
    home.import(0, &["--restart"]);
    to.remove("bucket", b"out/2025/01/a_000.jpg");
    home.import(3, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["failed"], 1, "{stat}");
}

#[test]
fn a_killed_job_goes_on_and_no_new_key_takes_a_name_that_was_given() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    let (source, destination) = sides(&from, &to);
    let mut world = world(400);
    fill(&from, &world);
    let home = Home::new();
    home.job(&source, &destination, &format!("{RULES}[task]\nobject_count_limit = 20\n{PARTS}"));
    for (turn, puts) in [40, 200].into_iter().enumerate() {
        let way = if turn == 0 { "--restart" } else { "--resume" };
        let mut running = home.spawn(&["--no-input", "import", way]);
        to.wait_for(|request| request.method == "PUT", puts).expect("the import moves objects");
        running.kill().unwrap();
        running.wait().unwrap();
    }
    // Whether a scan still sees it or not: its name is given.
    world.insert("2025-01-a-000.jpg".into(), None);
    fill(&from, &world);
    home.import(3, &["--resume"]);
    must_be_there(&to, &world);
    assert!(!home.path().join("master/jobs/local_test/scan-r1").exists(), "the sort leaves nothing");
}

#[test]
fn a_rule_that_is_none_is_refused_before_anything_starts() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    let (source, destination) = sides(&from, &to);
    let home = Home::new();
    home.job(&source, &destination, "[[rename]]\nmatch = 'a(b'\nto = '$2'\n");
    for command in [&["config", "check", "conf/local_job.toml"][..], &["--no-input", "import", "--restart"]] {
        let mut command = home.command(command);
        let output = command.current_dir(home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("local_job.toml:3: `rename.match` is no regular expression"), "{said}");
        assert!(said.contains("(column 11)"), "{said}");
    }
}

/// An import up to the end of this round, stopped while it waits for the next one.
fn round(home: &Home, way: &str, round: u32) -> Value {
    let mut command = home.command(&["--no-input", "import", way]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).env("BRIGADE_ROUNDS", round.to_string());
    let mut running = command.spawn().unwrap();
    let mut stat = Value::Null;
    home.wait_for("the round is over", || {
        let said = home.run(&["--output", "json", "stat", "local_test"]);
        stat = serde_json::from_str(&said.out).unwrap_or_default();
        stat["round"] == round && stat["state"] == "waiting"
    });
    kill(Pid::from_raw(running.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    stat
}

#[test]
fn a_later_round_gives_no_name_that_an_earlier_one_gave() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    let (source, destination) = sides(&from, &to);
    let put = |key: &str| from.insert("bucket", format!("in/{key}").as_bytes(), Object::new(data(key)));
    ["a b", "c d"].into_iter().for_each(put);
    let home = Home::new();
    home.job(&source, &destination, &format!("incremental = true\ninterval = \"15m\"\n{RULES}"));
    round(&home, "--restart", 1);

    // What has the name is gone from the source by now; its copy is the only one.
    from.remove("bucket", b"in/a b");
    ["a-b", "e f"].into_iter().for_each(put);
    let stat = round(&home, "--resume", 2);
    assert_eq!(stat["objects"]["failed"], 1, "{stat}");
    assert_eq!(stat["objects"]["skipped"], 1, "{stat}");
    let found = home.report("local_test");
    let refused = found.iter().find(|record| record["key"] == "a-b").unwrap();
    assert_eq!((&refused["code"], &refused["destination_key"]), (&"INVALID_NAME".into(), &"out/a_b".into()));
    assert!(refused["text"].as_str().unwrap().contains("\"a b\""), "{refused}");

    // Whoever had it may have it again.
    put("a b");
    round(&home, "--resume", 3);
    let there = |key: &str| to.object("bucket", key.as_bytes()).map(|object| object.data);
    assert_eq!(there("out/a_b"), Some(data("a b")));
    assert_eq!((there("out/c_d"), there("out/e_f")), (Some(data("c d")), Some(data("e f"))));
    assert_eq!(to.keys("bucket").len(), 3);
}
