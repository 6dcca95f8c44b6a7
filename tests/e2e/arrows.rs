//! Dependencies between our crates point one way.

use std::process::Command;

use serde_json::Value;

/// What each crate may use of ours (console → roles → storage → conf, all → proto).
const ALLOWED: [(&str, &[&str]); 7] = [
    ("proto", &[]),
    ("conf", &[]),
    ("storage", &["conf", "proto"]),
    ("master", &["storage", "conf", "proto"]),
    ("tracker", &["conf", "proto"]),
    ("worker", &["storage", "conf", "proto"]),
    ("console", &["master", "tracker", "worker", "storage", "conf", "proto"]),
];

#[test]
fn every_dependency_is_one_of_the_arrows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    for (name, allowed) in ALLOWED {
        let package = packages
            .iter()
            .find(|package| package["name"] == name)
            .unwrap_or_else(|| panic!("no crate {name}"));
        let dependencies = package["dependencies"].as_array().unwrap();
        let ours = dependencies
            .iter()
            .filter(|dependency| !dependency["path"].is_null() && dependency["kind"].is_null());
        for dependency in ours {
            let other = dependency["name"].as_str().unwrap();
            assert!(allowed.contains(&other), "{name} must not depend on {other}");
        }
    }
}
