//! `skip_existing`: what the destination has is left alone, decided from the two listings.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

/// Files that nobody changed for long: what was written soon after them would be asked for its source's time.
fn grow_old(folder: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 86_400);
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            grow_old(&entry.path());
        } else {
            File::options().write(true).open(entry.path()).unwrap().set_modified(long_ago).unwrap();
        }
    }
}

#[test]
fn a_second_run_moves_only_what_changed_and_asks_no_object_anything() {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let (tree, to) = (TempDir::new().unwrap(), Side::oss(&server.endpoint(), "bucket", ""));
    let from = Side::local(tree.path());
    from.seed("small:1000");
    grow_old(tree.path());
    let home = Home::new();
    home.job(&from, &to, "[transfer]\nskip_existing = true\n");
    home.import(0, &["--restart"]);
    to.must_equal_bare("small:1000");

    let changed = tree.path().join("small/d01/o-000001.bin");
    std::fs::write(&changed, "other bytes").unwrap();
    server.forget_requests();
    home.import(0, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["skipped"], 999, "{stat}");
    assert_eq!(stat["objects"]["succeeded"], 1, "{stat}");
    let asked: Vec<_> = server.requests().into_iter().filter(|request| !request.key.is_empty()).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(server.object("bucket", b"small/d01/o-000001.bin").unwrap().data, "other bytes");
}
