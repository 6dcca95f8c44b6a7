//! The table of faults in `docs/reliability.md`, row by row: what it says is what is asserted. A row without
//! a scenario fails, and so does a scenario without a row.
//!
//! `BRIGADE_FAULT=text` plays only rows whose id contains the text (or one of several, with commas), and prints what they said.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use serde_json::Value;
use tests::home::{Home, Said};
use tests::stage::{PLAN, Stage};

use crate::fault_scenarios::SCENARIOS;

/// Rows that are played at the same time: they mostly wait.
const AT_ONCE: usize = 6;
/// The job of the import.
const JOB: &str = "local_test";

/// One row of the table, for one pair of ends.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    ends: (String, String),
    exit: i32,
    state: String,
    /// Codes of failed objects and how many.
    failed: BTreeMap<String, usize>,
    /// The most attempts that a record may and must show.
    attempts: (u64, u64),
    says: Vec<String>,
    then: Option<String>,
}

#[test]
fn every_fault_ends_as_the_table_says() {
    let rows = rows();
    let known: BTreeSet<&str> = SCENARIOS.iter().map(|(id, _)| *id).collect();
    let told: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(known, told, "scenarios (left) and rows (right)");
    let only = std::env::var("BRIGADE_FAULT").unwrap_or_default();
    let mut wanted: Vec<&Row> =
        rows.iter().filter(|row| only.split(',').any(|text| row.id.contains(text))).collect();
    // The long ones first.
    wanted.sort_by_key(|row| !row.id.contains("minutes"));
    let (queue, wrong) = (Mutex::new(wanted.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = { queue.lock().unwrap().next() } {
                    let begun = std::time::Instant::now();
                    if catch_unwind(AssertUnwindSafe(|| play(row))).is_err() {
                        wrong.lock().unwrap().push(format!("{} ({} to {})", row.id, row.ends.0, row.ends.1));
                    }
                    if !only.is_empty() || begun.elapsed().as_secs() > 20 {
                        println!("{} {:?}: {:.1} s", row.id, row.ends, begun.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} rows are not as the table says: {wrong:#?}", wrong.len());
}

/// The rows of the table below the heading.
fn rows() -> Vec<Row> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reliability.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Faults of the services")).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines.flat_map(parse).collect()
}

fn parse(line: &str) -> Vec<Row> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [id, _fault, ends, exit, state, failed, attempts, says, then] = cells[..] else {
        panic!("not nine cells: {line}")
    };
    let failed = failed.split(',').map(str::trim).filter(|code| *code != "none").map(|code| {
        let (code, times) = code.split_once(" x").unwrap_or((code, "1"));
        (code.trim_matches('`').to_owned(), times.parse().unwrap())
    });
    let (least, most) = attempts.split_once('-').unwrap_or((attempts, attempts));
    let row = Row {
        id: id.trim_matches('`').to_owned(),
        ends: Default::default(),
        exit: exit.parse().unwrap_or_else(|_| panic!("no exit code: {line}")),
        state: state.to_owned(),
        failed: failed.collect(),
        attempts: (least.parse().unwrap(), most.parse().unwrap_or(u64::MAX)),
        says: says.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        then: Some(then.trim_matches('`').to_owned()).filter(|then| then != "nothing"),
    };
    let pairs = ends.split(',').map(|pair| pair.trim().split_once(" to ").unwrap());
    pairs.map(|(from, to)| Row { ends: (from.into(), to.into()), ..row.clone() }).collect()
}

fn play(row: &Row) {
    let (_, scenario) = SCENARIOS.iter().find(|(id, _)| *id == row.id).unwrap();
    let mut stage = Stage::new(&row.ends.0, &row.ends.1);
    stage.source.side().seed(PLAN);
    scenario(&mut stage);
    stage.write_job();
    let during = stage.during.take();
    let (after, mend) = (stage.after.take(), stage.mend.take());
    let said = std::thread::scope(|scope| {
        let beside = during.map(|during| scope.spawn(|| during(&stage)));
        let said = stage.home.run(&["--no-input", "import", "--restart"]);
        beside.into_iter().for_each(|beside| beside.join().unwrap());
        said
    });
    let what = format!("{} {:?}:\n{}{}", row.id, row.ends, said.out, said.err);
    if std::env::var_os("BRIGADE_FAULT").is_some() {
        println!("{what}");
    }
    after.into_iter().for_each(|after| after(&stage));
    let records = as_the_row_says(row, &stage.home, &said, &what);
    let failed: Vec<String> = records
        .iter()
        .filter(|record| record["outcome"] == "failed")
        .map(|record| record["key"].as_str().unwrap().to_owned())
        .collect();
    stage.source.heal();
    stage.destination.heal();
    if row.state != "paused" {
        compare(&stage, &failed);
    }
    if let Some(then) = &row.then {
        mend.into_iter().for_each(|mend| mend(&stage));
        let args: Vec<&str> = ["--no-input"].into_iter().chain(then.split(' ')).collect();
        let said = stage.home.run(&args);
        assert_eq!(said.code, 0, "{what}\nthen {then}:\n{}{}", said.out, said.err);
        compare(&stage, &[]);
        true_and_once(&stage.home, true, &what);
    }
    nothing_is_left(&stage, &what);
    stage.home.must_not_hold_the_secret();
}

/// Exit code, state, codes, attempts and words. Gives the records.
fn as_the_row_says(row: &Row, home: &Home, said: &Said, what: &str) -> Vec<Value> {
    assert_eq!(said.code, row.exit, "{what}");
    let stat = home.json(&["stat", JOB]);
    assert_eq!(stat["state"], row.state.as_str(), "{what}\n{stat}");
    let records = true_and_once(home, row.state == "succeeded", what);
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    for code in records.iter().filter_map(|record| record["code"].as_str()).filter(|code| !code.is_empty()) {
        *codes.entry(code.to_owned()).or_default() += 1;
    }
    assert_eq!(codes, row.failed, "{what}\n{records:#?}");
    let most = records.iter().filter_map(|record| record["attempts"].as_u64()).max().unwrap_or(0);
    assert!((row.attempts.0..=row.attempts.1).contains(&most), "{most} attempts: {what}");
    let failed = records.iter().filter(|record| record["outcome"] == "failed");
    let texts: Vec<String> = failed.map(ToString::to_string).collect();
    let all = format!("{}{}{stat}{}", said.out, said.err, texts.concat());
    for words in &row.says {
        assert!(all.contains(words.as_str()), "{words:?} is not said: {what}\n{texts:#?}");
    }
    records
}

/// No object is recorded twice; `all`: each of them is recorded.
fn true_and_once(home: &Home, all: bool, what: &str) -> Vec<Value> {
    let records: Vec<Value> =
        home.report(JOB).into_iter().filter(|record| record["outcome"].is_string()).collect();
    let keys: BTreeSet<&str> = records.iter().filter_map(|record| record["key"].as_str()).collect();
    assert_eq!(keys.len(), records.len(), "an object is recorded twice: {what}");
    if all {
        let objects = PLAN.split(':').next_back().unwrap().parse::<usize>().unwrap() + 1;
        assert_eq!(records.len(), objects, "not every object is recorded: {what}");
    }
    records
}

fn compare(stage: &Stage, absent: &[String]) {
    stage.source.first_keys();
    stage.destination.first_keys();
    if stage.unseen {
        let compared = catch_unwind(AssertUnwindSafe(|| stage.destination.side().must_equal(PLAN)));
        assert!(compared.is_err(), "the destination lied, and all is as it should be");
        return;
    }
    let bare = stage.destination.folder().is_some() || stage.source.folder().is_some();
    // s3s-fs keeps no headers of parts.
    let bare = bare || stage.destination.is_other() || stage.source.is_other();
    if stage.wrong_stands && !absent.is_empty() {
        return;
    }
    stage.destination.side().must_equal_without(PLAN, absent, bare);
}

fn nothing_is_left(stage: &Stage, what: &str) {
    assert_eq!(stage.destination.uploads(), 0, "an upload is left: {what}");
    let Some(folder) = stage.destination.folder() else { return };
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "{name} is left: {what}");
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
}
