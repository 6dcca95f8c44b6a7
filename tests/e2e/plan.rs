//! `brigade plan`: lists and counts, and leaves nothing behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tests::family::{Action, Dialect, Fault, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use tests::world::Side;

/// Every file and directory of a home.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        }
        all.insert(entry.path());
    }
    all
}

/// Of the plan `small:600`: sizes 1 to 600 in 37 directories of one.
fn must_be_right(found: &serde_json::Value) {
    assert_eq!(found["objects"], 600, "{found}");
    assert_eq!(found["bytes"], 600 * 601 / 2, "{found}");
    assert_eq!(found["sizes"][1]["objects"], 600, "{found}");
    assert_eq!(found["prefixes"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["prefixes"][0]["prefix"], "small/", "{found}");
}

#[test]
fn a_plan_counts_what_is_there_and_writes_nothing() {
    let server = Server::start(Dialect::S3, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let source = Side::s3(&server.endpoint(), "bucket", "");
    source.seed("small:600");
    let nowhere = Side::local(Path::new("/nowhere/at/all"));
    let home = Home::new();
    home.job(&source, &nowhere, "");
    let before = files(home.path());
    server.forget_requests();
    let action = Action::Status(503, "SlowDown", Some(1));
    server.plan(Fault { method: "GET", contains: "list-type".into(), skip: 1, times: 2, action });
    must_be_right(&home.json(&["plan"]));
    assert!(server.requests().iter().all(|request| request.method == "GET" && request.key.is_empty()));
    let said = home.expect(0, &["plan"]).out;
    assert!(said.contains("600 objects, 176.1 KiB") && said.contains("small/"), "{said}");
    assert_eq!(files(home.path()), before, "nothing is written");

    home.job(&Side::s3(&server.endpoint(), "missing", ""), &nowhere, "");
    let said = home.expect(2, &["plan"]).err;
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn a_plan_of_a_service_that_breaks_the_order_counts_everything_once() {
    let server = S3Server::start(Kind::Seaweed);
    let source = Side::s3(&server.endpoint(), "bucket", "");
    // In the order of directories `d/…` comes before `d-…`, in that of keys after it.
    let keys: Vec<String> = (0..500).flat_map(|n| [format!("d/{n:03}"), format!("d-{n:03}")]).collect();
    let plan: Vec<_> =
        keys.iter().map(|key| json!({ "key": key, "size": 3, "headers": {}, "meta": {} })).collect();
    let home = Home::new();
    home.write("plan.json", &json!(plan).to_string());
    source.seed(&home.path().join("plan.json").display().to_string());
    home.job(&source, &Side::local(home.path()), "");
    let found = home.json(&["plan"]);
    assert_eq!((&found["objects"], &found["bytes"]), (&json!(1000), &json!(3000)), "{found}");
    let prefixes = [("", 500), ("d/", 500)]
        .map(|(prefix, objects)| json!({ "prefix": prefix, "objects": objects, "bytes": 1500 }));
    assert_eq!(found["prefixes"], json!(prefixes), "{found}");
    assert!(found["warnings"].to_string().contains("order"), "{found}");
}
