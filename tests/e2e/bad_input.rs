//! Bad input ends before anything is moved, with one clear message and the right exit code.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY, free_port};
use tests::world::Side;

fn oss() -> (Server, Side) {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let side = Side::oss(&server.endpoint(), "bucket", "");
    (server, side)
}

fn tree() -> (TempDir, Side) {
    let tree = TempDir::new().unwrap();
    let side = Side::local(tree.path());
    side.seed("small:3");
    (tree, side)
}

/// The import is refused with this code, says `words`, and starts nothing.
#[track_caller]
fn refused(source: &Side, destination: &Side, code: i32, words: &[&str]) {
    let home = Home::new();
    home.job(source, destination, "");
    let said = home.import(code, &["--restart"]);
    for word in words {
        assert!(said.err.contains(word), "no {word:?} in: {}", said.err);
    }
    assert!(!said.err.contains(SECRET_KEY));
    assert!(!home.path().join("master/jobs/local_test").exists(), "nothing was started");
}

#[test]
fn a_missing_source_directory() {
    let (_server, to) = oss();
    let folder = TempDir::new().unwrap();
    let gone = folder.path().join("gone");
    refused(&Side::local(&gone), &to, 2, &["gone"]);
    assert!(!gone.exists());
}

#[test]
fn a_bucket_that_does_not_exist() {
    let (server, _) = oss();
    let (_tree, from) = tree();
    refused(
        &from,
        &Side::oss(&server.endpoint(), "no-such-bucket", ""),
        2,
        &["no-such-bucket", "NoSuchBucket"],
    );
    refused(
        &Side::oss(&server.endpoint(), "no-such-bucket", ""),
        &from,
        2,
        &["no-such-bucket", "NoSuchBucket"],
    );
    let s3 = S3Server::start(Kind::S3sFs);
    refused(&Side::s3(&s3.endpoint(), "no-such-bucket", ""), &from, 2, &["no-such-bucket"]);
}

#[test]
fn wrong_keys() {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, "another secret");
    server.make_bucket("bucket");
    let (_tree, from) = tree();
    refused(&from, &Side::oss(&server.endpoint(), "bucket", ""), 2, &["SignatureDoesNotMatch"]);
    let server = Server::start(Dialect::S3, "another key", SECRET_KEY);
    server.make_bucket("bucket");
    refused(&Side::s3(&server.endpoint(), "bucket", ""), &from, 2, &["InvalidAccessKeyId"]);
}

#[test]
fn an_endpoint_where_nobody_listens() {
    let (_tree, from) = tree();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    refused(&from, &Side::oss(&nowhere, "bucket", ""), 4, &["127.0.0.1"]);
}

#[test]
fn a_destination_that_may_not_be_written() {
    if nix::unistd::geteuid().is_root() {
        // Root may write everywhere: a file where the directory should be stops root too.
        let (_tree, from) = tree();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "here first").unwrap();
        let home = Home::new();
        home.job(&from, &Side::local(&file), "");
        let said = home.run(&["--no-input", "import", "--restart"]);
        assert!([1, 2].contains(&said.code), "{}: {}", said.code, said.err);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "here first");
        return;
    }
    let (_tree, from) = tree();
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    refused(&from, &Side::local(folder.path()), 1, &["ermission denied"]);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let home = Home::new();
    home.write("bad.toml", "name = \"local_test\"\n[source]\ntype = \"local\"\npath = \"/tmp/\"\n[destination]\ntype = \"local\"\npath = \"/tmp/x/\"\n[transfer]\nskip_exsting = true\nretrys = 3\n");
    let path = home.path().join("bad.toml").display().to_string();
    let said = home.expect(2, &["config", "check", &path]);
    let all = format!("{}{}", said.out, said.err);
    for word in [":9", "skip_exsting", "skip_existing", ":10", "retrys", "retries"] {
        assert!(all.contains(word), "no {word:?} in: {all}");
    }
    home.write("conf/local_job.toml", &std::fs::read_to_string(&path).unwrap());
    home.import(2, &["--restart"]);
}

#[test]
fn a_second_instance_on_the_same_home_is_refused() {
    let (_server, to) = oss();
    let (_tree, from) = tree();
    let home = Home::new();
    home.job(&from, &to, "");
    home.expect(0, &["start"]);
    let said = home.import(1, &["--restart"]);
    assert!(said.err.contains("stop"), "{}", said.err);
    home.expect(0, &["stop"]);
    home.import(0, &["--restart"]);
}

#[test]
fn a_port_in_use_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new();
    home.write("conf/sys.toml", &format!("master_address = \"{address}\"\n"));
    let said = home.expect(1, &["start"]);
    assert!(said.err.contains(&address.port().to_string()), "{}", said.err);
    home.expect(4, &["stat"]);
}

#[test]
fn a_damaged_state_directory_is_refused_and_kept() {
    let (_server, to) = oss();
    let (_tree, from) = tree();
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(0, &["--restart"]);
    let state = home.path().join("master/state");
    let db = state.join("db");
    let length = std::fs::metadata(&db).unwrap().len();
    std::fs::write(&db, vec![0xa5; length as usize]).unwrap();
    let said = home.import(1, &["--resume"]);
    assert!(said.err.contains("master/state"), "{}", said.err);
    assert_eq!(std::fs::metadata(&db).unwrap().len(), length, "what was there is not touched");
    std::fs::remove_dir_all(&state).unwrap();
    let said = home.import(1, &["--resume"]);
    assert!(said.err.contains("state"), "never from nothing: {}", said.err);
}
