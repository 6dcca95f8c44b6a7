//! An import in a real control group of 256 MiB. `BRIGADE_OBJECTS=200000` and `BRIGADE_LARGE=2147483648` (bytes of
//! each of the four large objects; the test server keeps them in memory) before the command are the longer run.

use std::process::Stdio;

use bytes::Bytes;
use tests::crash::{BUCKET, End, recorded};
use tests::family::{Dialect, Object, Server};
use tests::group::{Group, Peak};
use tests::home::Home;
use tests::world::Side;

const LIMIT: u64 = 256 << 20;
/// What the process itself may take, so that some of the group is left to the files that it writes.
const MOST: u64 = 200 << 20;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Imports between two ends in the group; `None` where there is no group, which is said.
fn import(home: &Home) -> Option<Peak> {
    let Some(group) = Group::with_memory(LIMIT) else {
        println!("NOT TESTED: a memory limit needs a control group, and only root makes one");
        return None;
    };
    let mut command = group.enter(&home.command(&["--no-input", "import"]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let peak = group.watch(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", home.run(&["stat", "local_test"]).out);
    println!("peak {} MiB", peak.resident >> 20);
    assert_eq!(peak.killed, 0);
    assert!(peak.resident > 10 << 20 && peak.resident < MOST, "{peak:?}");
    Some(peak)
}

fn must_be_equal(from: &Server, to: &Server, home: &Home) {
    let keys = from.keys(BUCKET);
    assert_eq!(to.keys(BUCKET), keys);
    for key in &keys {
        let (left, right) = (from.object(BUCKET, key).unwrap(), to.object(BUCKET, key).unwrap());
        assert!(left.data == right.data, "{}", String::from_utf8_lossy(key));
    }
    assert!(to.uploads(BUCKET).is_empty());
    let (done, failed) = recorded(home, "local_test");
    assert_eq!((done.len(), failed), (keys.len(), 0));
    assert!(done.values().all(|records| records.len() == 1));
}

#[test]
fn very_many_small_objects_fit_into_256_mib() {
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
    for at in 0..number("BRIGADE_OBJECTS", 20_000) {
        let data = format!("object {at} ").repeat(2048 / 13);
        from.as_server().insert(
            BUCKET,
            format!("d{:03}/o-{at:07}.bin", at % 200).as_bytes(),
            Object::new(data),
        );
    }
    let home = Home::new();
    home.job(&from.side(), &to.side(), "");
    if import(&home).is_some() {
        must_be_equal(from.as_server(), to.as_server(), &home);
    }
}

#[test]
fn large_objects_fit_into_256_mib() {
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::S3));
    let size = number("BRIGADE_LARGE", 96 << 20);
    let data: Bytes = (0..size / 8)
        .flat_map(|at| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect::<Vec<u8>>()
        .into();
    for at in 0..4 {
        from.as_server().insert(BUCKET, format!("big-{at}.bin").as_bytes(), Object::new(data.clone()));
    }
    let home = Home::new();
    home.job(&from.side(), &to.side(), "");
    if import(&home).is_some() {
        must_be_equal(from.as_server(), to.as_server(), &home);
    }
}

#[test]
fn a_directory_of_very_many_files_is_held_once_and_arrives_whole() {
    let (from, to) = (tempfile::TempDir::new().unwrap(), End::server(Dialect::Oss));
    let count = number("BRIGADE_OBJECTS", 30_000);
    for at in 0..count {
        std::fs::File::create(from.path().join(format!("object-{:07}.bin", at * 7919 % count))).unwrap();
    }
    let home = Home::new();
    home.job(&Side::local(from.path()), &to.side(), "");
    if import(&home).is_some() {
        let keys = to.as_server().keys(BUCKET);
        let wanted: Vec<_> = (0..count).map(|at| format!("object-{at:07}.bin").into_bytes()).collect();
        assert!(keys == wanted, "{} of {count}", keys.len());
        let (done, failed) = recorded(&home, "local_test");
        assert_eq!((done.len(), failed), (count, 0));
        assert!(done.values().all(|records| records.len() == 1));
        let log = std::fs::read_to_string(home.path().join("logs/import.log")).unwrap();
        let scan = log.lines().filter(|line| line.contains("scan")).collect::<Vec<_>>().join("\n");
        println!("{scan}");
    }
}
