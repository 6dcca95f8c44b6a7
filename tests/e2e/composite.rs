//! Large objects of S3 that were uploaded in parts: what their source states of them is compared, by a checksum of
//! the whole or by the ETag that is made of their parts.

use bytes::Bytes;
use serde_json::Value;
use tests::family::{Action, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::random::Random;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const MIB: usize = 1 << 20;
const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

fn data(seed: u64, size: usize) -> Bytes {
    let mut random = Random::new(seed);
    (0..size.div_ceil(8)).flat_map(|_| random.number().to_le_bytes()).take(size).collect()
}

/// Imports; gives the records by key.
fn import(from: &Server, to: &Server) -> Vec<Value> {
    let side = |server: &Server| Side::of(server, "bucket", "");
    let home = Home::new();
    home.job(&side(from), &side(to), PARTS);
    home.import(0, &["--restart"]);
    home.must_not_hold_the_secret();
    home.report("local_test").into_iter().filter(|record| record["outcome"].is_string()).collect()
}

/// Whether each object's source was compared, sorted by key, and the most attempts.
fn compared(records: &[Value]) -> (Vec<bool>, u64) {
    let mut found: Vec<(&str, bool)> = records
        .iter()
        .map(|record| (record["key"].as_str().unwrap(), record["source_proved"].as_bool().unwrap_or(false)))
        .collect();
    found.sort_unstable();
    let most = records.iter().filter_map(|record| record["attempts"].as_u64()).max().unwrap_or(0);
    (found.into_iter().map(|(_, proved)| proved).collect(), most)
}

fn must_be_there(from: &Server, to: &Server, keys: &[&str]) {
    for key in keys {
        let [there, here] = [to, from].map(|server| server.object("bucket", key.as_bytes()).unwrap().data);
        assert!(there == here, "{key}");
    }
}

/// Bytes of the ranges that were asked for, without repetitions.
fn ranges(server: &Server, key: &str) -> Vec<String> {
    let asked = server
        .requests()
        .into_iter()
        .filter(|request| request.key == key.as_bytes() && request.method == "GET");
    let mut ranges: Vec<String> = asked.map(|request| request.range).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

#[test]
fn the_checksum_of_the_whole_is_compared_where_a_range_is_answered_with_that_of_a_part() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    // Its parts are those of the job: the answers to ranges state the checksums of parts.
    let object = Object { without_checksum: false, ..Object::in_parts(data(1, 12 * MIB), 5 * MIB) };
    from.insert("bucket", b"whole", object);
    assert_eq!(compared(&import(&from, &to)), (vec![true], 1));
    must_be_there(&from, &to, &["whole"]);

    // Damaged on the way, it is read again.
    let flip = Action::FlipByte(70_000);
    from.plan(Fault { method: "GET", contains: "whole".into(), skip: 1, times: 1, action: flip });
    assert_eq!(compared(&import(&from, &to)), (vec![true], 2));
    must_be_there(&from, &to, &["whole"]);
}

#[test]
fn an_etag_of_parts_is_compared_by_moving_the_same_parts() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let (from, to) = (server(Dialect::S3), server(dialect));
        from.insert("bucket", b"eight", Object::in_parts(data(1, 20 * MIB), 8 * MIB));
        from.insert("bucket", b"five", Object::in_parts(data(2, 15 * MIB), 5 * MIB));
        // Too small for a part: the job's are taken, and nothing can be compared.
        from.insert("bucket", b"one", Object::in_parts(data(3, 7 * MIB), 64 << 10));
        assert_eq!(compared(&import(&from, &to)), (vec![true, true, false], 1));
        must_be_there(&from, &to, &["eight", "five", "one"]);
        let eight = ["bytes=0-8388607", "bytes=16777216-20971519", "bytes=8388608-16777215"];
        assert_eq!(ranges(&from, "eight"), eight);

        let flip = Action::FlipByte(70_000);
        from.plan(Fault { method: "GET", contains: "eight".into(), skip: 1, times: 1, action: flip });
        let (proved, attempts) = compared(&import(&from, &to));
        assert_eq!((proved, attempts > 1), (vec![true, true, false], true));
        must_be_there(&from, &to, &["eight", "five", "one"]);
        assert!(to.uploads("bucket").is_empty());
    }
}

#[test]
fn an_etag_that_is_made_in_another_way_fails_nothing_and_is_soon_left_alone() {
    let (from, to) = (server(Dialect::S3), server(Dialect::S3));
    let keys = ["a", "b", "c", "d", "e", "f"];
    for (at, key) in keys.iter().enumerate() {
        let object = Object::in_parts(data(at as u64, 12 * MIB), 6 * MIB);
        let etag = format!("{}-2", "0".repeat(32));
        from.insert("bucket", key.as_bytes(), Object { etag, ..object });
    }
    let home = Home::new();
    // One after the other.
    let addresses = "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\n";
    home.write("conf/sys.toml", &format!("{addresses}[worker]\ntask_threads = 1\n"));
    let one = format!("{PARTS}parts_in_flight = 1\n");
    home.job(&Side::of(&from, "bucket", ""), &Side::of(&to, "bucket", ""), &one);
    home.import(0, &["--restart"]);
    must_be_there(&from, &to, &keys);
    let records: Vec<Value> =
        home.report("local_test").into_iter().filter(|record| record["outcome"].is_string()).collect();
    assert_eq!(compared(&records), (vec![false; 6], 1));
    let whole = from
        .requests()
        .iter()
        .filter(|request| request.method == "GET" && request.range.is_empty() && !request.key.is_empty())
        .count();
    assert_eq!(whole, 3, "three objects were read a second time");
}
