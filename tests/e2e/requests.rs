//! What a job costs: one GET and one PUT for a small object, nothing else.

use std::collections::BTreeMap;

use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

fn count(server: &Server) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in server.requests().iter().filter(|request| !request.key.is_empty()) {
        *counts.entry(request.method.clone()).or_default() += 1;
    }
    counts
}

fn one_get_and_one_put(source: Dialect, destination: Dialect) {
    let servers = [source, destination].map(|dialect| {
        let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        let side = Side::of(&server, "bucket", "");
        (server, side)
    });
    let [(from, from_side), (to, to_side)] = &servers;
    from_side.seed("small:3000");
    from.forget_requests();
    let home = Home::new();
    home.job(from_side, to_side, "");
    let done = home.json(&["--no-input", "import", "--restart"]);
    assert_eq!(count(from), BTreeMap::from([("GET".to_owned(), 3000)]));
    assert_eq!(count(to), BTreeMap::from([("PUT".to_owned(), 3000)]));
    for (side, kind) in [("source", "get"), ("destination", "put")] {
        let told = done["requests"].as_array().into_iter().flatten();
        let told: Vec<_> = told.filter(|one| one["side"] == side && one["kind"] == kind).collect();
        assert!(told.len() == 1 && told[0]["count"] == 3000, "{done}");
    }
    let lists = from.requests().len() - 3000;
    assert!(lists <= 12, "{lists} list requests for 3000 objects");
    to_side.must_equal("small:3000");
    let stat = home.json(&["stat", "local_test"]);
    let proved: u64 =
        stat["proofs"].as_array().into_iter().flatten().filter_map(|proof| proof["objects"].as_u64()).sum();
    assert_eq!(proved, 3000, "{stat}");
}

#[test]
fn a_small_object_costs_one_get_and_one_put_from_s3_to_oss() {
    one_get_and_one_put(Dialect::S3, Dialect::Oss);
}

#[test]
fn a_small_object_costs_one_get_and_one_put_from_oss_to_s3() {
    one_get_and_one_put(Dialect::Oss, Dialect::S3);
}
