//! UPYUN as source and destination, checked by the vendor's own SDK: the server by it, and what was moved.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tests::family::{self, Action, Change, Dialect, Fault, Lie};
use tests::home::Home;
use tests::nginx::Nginx;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::upyun::{File, Server};
use tests::world::{Side, python, script};

const ODD: &str = "odd:300";
const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

fn upyun() -> (Arc<Server>, Side) {
    let server = Arc::new(Server::start(ACCESS_KEY, SECRET_KEY));
    server.make_bucket("bucket");
    let side = Side::youpai(&server.endpoint(), "bucket", "in/");
    (server, side)
}

fn family(dialect: Dialect) -> (family::Server, Side) {
    let server = family::Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let endpoint = server.endpoint();
    let side = match dialect {
        Dialect::Oss => Side::oss(&endpoint, "bucket", "to/"),
        _ => Side::s3(&endpoint, "bucket", "to/"),
    };
    (server, side)
}

fn plan(server: &Server, method: &'static str, contains: &str, skip: u32, times: u32, action: Action) {
    server.plan(Fault { method, contains: contains.into(), skip, times, action });
}

/// Kills the import when so many requests of this method have come, and lets it go on.
fn import_with_a_kill(home: &Home, server: &Server, method: &str, times: usize) {
    let mut running = home.spawn(&["--no-input", "import", "--restart"]);
    server.wait_for(|request| request.method == method, times).expect("the import moves objects");
    running.kill().unwrap();
    running.wait().unwrap();
    home.import(0, &["--resume"]);
}

/// All 300 moved and proved.
fn must_be_done(home: &Home) -> serde_json::Value {
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["state"], &stat["objects"]["succeeded"]), (&"succeeded".into(), &300.into()), "{stat}");
    home.must_not_hold_the_secret();
    stat
}

/// Key and code of each failure, sorted by key.
fn failures(home: &Home) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let records = home.report("local_test");
    let failed = records.iter().filter(|record| record["outcome"] == "failed");
    let mut failed: Vec<_> = failed.map(|record| (text(&record["key"]), text(&record["code"]))).collect();
    failed.sort();
    failed
}

/// How many objects each check proved.
fn proofs(home: &Home) -> std::collections::BTreeMap<String, usize> {
    let mut proofs = std::collections::BTreeMap::new();
    for record in home.report("local_test").iter().filter(|record| record["outcome"] == "succeeded") {
        *proofs.entry(record["proof"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    proofs
}

#[test]
fn the_vendors_sdk_agrees_with_the_upyun_server() {
    let server = Server::start(ACCESS_KEY, SECRET_KEY);
    server.make_bucket("sdk-bucket");
    let mut command = python();
    command.arg(script("check_upyun.py")).args([&server.endpoint(), ACCESS_KEY, SECRET_KEY]);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn upyun_to_a_directory_through_faults_and_a_kill() {
    let ((server, from), folder) = (upyun(), TempDir::new().unwrap());
    let to = Side::local(folder.path());
    from.seed(ODD);
    plan(&server, "GET", "iter=", 1, 2, Action::Status(503, "50300031", None));
    plan(&server, "GET", "in/d3", 0, 2, Action::Reset);
    plan(&server, "GET", "in/d4", 4, 2, Action::Truncate(100));
    plan(&server, "GET", "in/d5", 6, 2, Action::FlipByte(10));
    plan(&server, "GET", "in/d6", 4, 3, Action::Status(429, "42900002", Some(1)));
    let home = Home::new();
    home.job(&from, &to, &format!("[task]\nobject_count_limit = 40\n{PARTS}"));
    import_with_a_kill(&home, &server, "GET", 120);
    must_be_done(&home);
    to.must_equal_bare(ODD);
}

#[test]
fn upyun_to_s3_through_faults_and_a_kill() {
    let ((server, from), (there, to)) = (upyun(), family(Dialect::S3));
    from.seed(ODD);
    plan(&server, "GET", "in/d1", 3, 2, Action::LoseAnswer);
    plan(&server, "GET", "in/d2", 3, 2, Action::Status(503, "50300028", None));
    let home = Home::new();
    home.job(&from, &to, &format!("[task]\nobject_count_limit = 40\n{PARTS}"));
    import_with_a_kill(&home, &server, "GET", 150);
    must_be_done(&home);
    // Content headers but the type are nothing that UPYUN has.
    to.must_equal_bare(ODD);
    let object =
        there.keys("bucket").into_iter().filter_map(|key| there.object("bucket", &key)).find(|object| {
            object.headers.iter().any(|(name, value)| name == "x-amz-meta-color" && value == "blue green")
        });
    let headers = object.expect("metadata is carried").headers;
    assert!(headers.contains(&("content-type".to_owned(), "application/x-test".to_owned())), "{headers:?}");
}

#[test]
fn a_directory_to_upyun_through_faults_and_a_kill() {
    let (folder, (server, to)) = (TempDir::new().unwrap(), upyun());
    let from = Side::local(folder.path());
    from.seed(ODD);
    plan(&server, "PUT", "in/d1", 2, 2, Action::Status(503, "50300027", None));
    plan(&server, "PUT", "in/d2", 2, 2, Action::LoseAnswer);
    plan(&server, "PUT", "in/d3", 2, 1, Action::Status(403, "40300007", None));
    plan(&server, "PUT", "part=1", 0, 1, Action::LoseAnswer);
    plan(&server, "PUT", "stage=complete", 0, 1, Action::Status(503, "50300001", None));
    let home = Home::new();
    let many = PARTS.replace("threshold = \"5MiB\"", "threshold = \"1MiB\"");
    home.job(&from, &to, &format!("[task]\nobject_count_limit = 40\n{many}"));
    import_with_a_kill(&home, &server, "PUT", 120);
    must_be_done(&home);
    to.must_equal_bare(ODD);
    // The answer to a write states nothing; HEAD states the MD5. Of three in parts nobody hashed the whole.
    assert_eq!(proofs(&home), [("etag_md5".to_owned(), 297), ("size".to_owned(), 3)].into());
}

#[test]
fn oss_to_upyun_through_faults_and_a_kill() {
    let ((_there, from), (server, to)) = (family(Dialect::Oss), upyun());
    server.state_etags();
    from.seed(ODD);
    plan(&server, "PUT", "stage=upload", 1, 1, Action::Status(429, "42900001", Some(1)));
    plan(&server, "PUT", "in/d7", 2, 3, Action::Reset);
    let home = Home::new();
    home.job(&from, &to, &format!("[task]\nobject_count_limit = 40\n{PARTS}"));
    import_with_a_kill(&home, &server, "PUT", 120);
    let stat = must_be_done(&home);
    to.must_equal_bare(ODD);
    assert!(server.uploads("bucket").len() <= 1, "{:?}", server.uploads("bucket"));
    // What UPYUN has no place for is said: 120 objects of the plan have content headers beside their type.
    let records = home.report("local_test");
    let noted =
        records.iter().filter(|record| record["not_carried"].as_array().is_some_and(|n| !n.is_empty()));
    assert_eq!(noted.count(), 120, "{stat}");
}

#[test]
fn s3_to_upyun_proves_uploads_by_the_md5_that_the_source_states() {
    let ((there, from), (server, to)) = (family(Dialect::S3), upyun());
    let data = |letter: u8| bytes::Bytes::from(vec![letter; 11 << 20]);
    let object = family::Object { without_checksum: true, ..family::Object::new(data(b'a')) };
    there.insert("bucket", b"to/large", object);
    let home = Home::new();
    home.job(&from, &to, PARTS);
    home.import(0, &["--restart"]);
    assert_eq!(proofs(&home), [("content_md5".to_owned(), 1)].into());
    assert!(server.file("bucket", "in/large").unwrap().data == data(b'a'));
    // Over a file in parts, larger and smaller and empty.
    for size in [6 << 20, 10, 0] {
        let data = bytes::Bytes::from(vec![b'b'; size]);
        there.insert("bucket", b"to/large", family::Object::new(data.clone()));
        home.import(0, &["--restart"]);
        assert!(server.file("bucket", "in/large").unwrap().data == data, "{size}");
    }
    assert!(server.uploads("bucket").is_empty());
}

#[test]
fn one_put_and_one_head_write_a_small_file_and_nothing_is_asked_where_the_answer_states_it() {
    let (folder, (server, to)) = (TempDir::new().unwrap(), upyun());
    let from = Side::local(folder.path());
    from.seed("small:40");
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(0, &["--restart"]);
    let count = |method: &str| server.requests().iter().filter(|request| request.method == method).count();
    assert_eq!((count("PUT"), count("HEAD")), (40, 40));
    server.state_etags();
    server.forget_requests();
    home.import(0, &["--restart"]);
    assert_eq!((count("PUT"), count("HEAD")), (40, 0));
}

#[test]
fn what_upyun_cannot_hold_fails_alone_and_by_its_name() {
    let ((there, _), (server, to)) = (family(Dialect::S3), upyun());
    let from = Side::s3(&there.endpoint(), "bucket", "");
    from.seed("awkward");
    for key in ["both", "both/below"] {
        there.insert("bucket", key.as_bytes(), family::Object::new(key.to_owned()));
    }
    let home = Home::new();
    home.job(&from, &to, "");
    home.import(3, &["--restart"]);
    let failed = failures(&home);
    assert!(failed.iter().all(|(_, code)| code == "INVALID_NAME"), "{failed:?}");
    let long = format!("{}/{}", "k".repeat(1000), "l".repeat(22));
    let refused = [
        "../x",
        ".",
        "..",
        "/a",
        "a/../b",
        "a/./b",
        "a//b",
        "newline\nkey",
        "tab\tkey",
        "with-content/",
        &long,
    ];
    let (both, others): (Vec<_>, Vec<_>) = failed.into_iter().partition(|(key, _)| key.starts_with("both"));
    assert_eq!(both.len(), 1, "the second of the two: {both:?}");
    let mut others: Vec<String> = others.into_iter().map(|(key, _)| key).collect();
    others.sort();
    let mut refused: Vec<String> = refused.iter().map(|key| (*key).to_owned()).collect();
    refused.sort();
    assert_eq!(others, refused);
    assert!(server.file("bucket", "in/both").is_some() || server.file("bucket", "in/both/below").is_some());
    assert!(
        server.file("bucket", "in/back\\slash").is_some() && server.file("bucket", "in/~tilde").is_some()
    );
}

#[test]
fn the_bytes_come_from_the_cdn_and_an_old_copy_is_never_taken() {
    let ((server, from), (there, to)) = (upyun(), family(Dialect::S3));
    from.seed("small:30");
    let home = Home::new();
    home.job(&from, &to, "");
    let job = std::fs::read_to_string(home.path().join("conf/local_job.toml")).unwrap();
    let with_cdn =
        job.replacen("type = \"youpai\"", &format!("type = \"youpai\"\ncdn_domain = {:?}", server.cdn()), 1);
    home.write("conf/local_job.toml", &with_cdn);
    home.import(0, &["--restart"]);
    to.must_equal_bare("small:30");
    let read = |request: &family::Logged| request.method == "GET" && request.query.is_empty();
    let from_api = server
        .requests()
        .iter()
        .filter(|r| read(r) && server.file("bucket", &key(r)).is_some() && !r.bucket.is_empty())
        .count();
    assert_eq!(from_api, 0, "no bytes come from the API");
    // Written anew: the CDN still gives what it had.
    let changed = "in/small/d07/o-000007.bin";
    server.insert("bucket", changed, File::new(vec![b'n'; 8]));
    home.import(3, &["--restart"]);
    let failed = failures(&home);
    assert_eq!(failed, [("small/d07/o-000007.bin".to_owned(), "SOURCE_CHANGED".to_owned())]);
    server.purge();
    home.import(0, &["--resume", "--retry", "1"]);
    let data = there.object("bucket", b"to/small/d07/o-000007.bin").unwrap().data;
    assert_eq!(data, vec![b'n'; 8]);
}

fn key(request: &family::Logged) -> String {
    String::from_utf8_lossy(&request.key).into_owned()
}

#[test]
fn a_file_that_changes_while_it_is_read_is_reported_and_taken_by_the_retry() {
    let ((server, from), folder) = (upyun(), TempDir::new().unwrap());
    from.seed("faults:3");
    let weak = Arc::downgrade(&server);
    let change = Change::new(move || {
        let file = File::new(vec![b'z'; 12 << 20]);
        weak.upgrade().into_iter().for_each(|server| server.insert("bucket", "in/big/0.bin", file.clone()));
    });
    plan(&server, "GET", "in/big/0.bin", 1, 1, Action::Then(change));
    let home = Home::new();
    home.job(&from, &Side::local(folder.path()), PARTS);
    home.import(3, &["--restart"]);
    assert_eq!(failures(&home), [("big/0.bin".to_owned(), "SOURCE_CHANGED".to_owned())]);
    home.import(0, &["--resume", "--retry", "1"]);
    assert!(std::fs::read(folder.path().join("big/0.bin")).unwrap() == vec![b'z'; 12 << 20]);
}

#[test]
fn a_listing_that_lies_ends_the_scan_and_loses_nothing() {
    let ((server, from), folder) = (upyun(), TempDir::new().unwrap());
    from.seed("small:60");
    let home = Home::new();
    home.job(&from, &Side::local(folder.path()), "[transfer]\nretries = 2\n");
    for lie in [Lie::Foreign, Lie::Cut] {
        plan(&server, "GET", "in", 2, 1000, Action::Listing(lie));
        home.import(1, &["--restart"]);
        server.heal();
        assert!(!folder.path().join("outside").exists());
    }
    plan(&server, "GET", "in/small", 0, 3, Action::Listing(Lie::Doubled));
    home.import(0, &["--restart"]);
    Side::local(folder.path()).must_equal_bare("small:60");
}

/// A file of twelve parts, killed when some of them were sent; another one stands in its place.
fn killed_upload() -> (TempDir, Arc<Server>, Side, Home) {
    let (folder, (server, to)) = (TempDir::new().unwrap(), upyun());
    let from = Side::local(folder.path());
    from.seed("big:1:60000000");
    server.insert("bucket", "in/big/0.bin", File::new("what was there"));
    let home = Home::new();
    home.job(&from, &to, &format!("{PARTS}parts_in_flight = 2\n"));
    plan(&server, "PUT", "stage=upload", 6, 1000, Action::Delay(Duration::from_secs(3600)));
    let mut running = home.spawn(&["--no-input", "import", "--restart"]);
    server.wait_for(|request| request.query.contains("stage=upload"), 8).expect("parts are sent");
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(server.file("bucket", "in/big/0.bin").unwrap().data, "what was there");
    server.heal();
    server.forget_requests();
    (folder, server, to, home)
}

fn sent(server: &Server, stage: &str) -> usize {
    server.requests().iter().filter(|request| request.query.contains(&format!("stage={stage}"))).count()
}

#[test]
fn a_killed_upload_goes_on_with_its_parts_and_what_stands_there_stays_until_the_end() {
    let (_folder, server, to, home) = killed_upload();
    home.import(0, &["--resume"]);
    // At least 4 of the 12 were finished and reported before the kill.
    assert!(sent(&server, "upload") <= 8, "{} of 12 parts were sent again", sent(&server, "upload"));
    to.must_equal_bare("big:1:60000000");
    assert!(server.uploads("bucket").is_empty());
}

#[test]
fn an_upload_that_the_service_forgot_is_begun_anew() {
    let (_folder, server, to, home) = killed_upload();
    server.forget_uploads("bucket");
    home.import(0, &["--resume"]);
    assert_eq!((sent(&server, "initiate"), sent(&server, "upload")), (1, 12));
    to.must_equal_bare("big:1:60000000");
    assert!(server.requests().iter().all(|request| request.method != "DELETE"), "a file stands there");
}

#[test]
fn a_completion_whose_answer_is_lost_is_found_by_the_md5_or_done_again_and_never_deleted() {
    let ((there, s3), folder) = (family(Dialect::S3), TempDir::new().unwrap());
    let local = Side::local(folder.path());
    local.seed("big:1:12000000");
    let data = std::fs::read(folder.path().join("big/0.bin")).unwrap();
    let object = family::Object { without_checksum: true, ..family::Object::new(data.clone()) };
    there.insert("bucket", b"to/big/0.bin", object);
    // What states an MD5 is known again; of a tree nobody knows it before it is read.
    for (from, uploads) in [(s3, 1), (local, 2)] {
        let (server, to) = upyun();
        plan(&server, "PUT", "stage=complete", 0, 1, Action::LoseAnswer);
        let home = Home::new();
        home.job(&from, &to, PARTS);
        home.import(0, &["--restart"]);
        assert_eq!(sent(&server, "initiate"), uploads);
        assert!(server.file("bucket", "in/big/0.bin").unwrap().data == data);
        assert!(server.requests().iter().all(|request| request.method != "DELETE"));
    }
}

#[test]
fn a_wrong_clock_or_password_pauses_the_job_with_the_reason() {
    let ((server, from), folder) = (upyun(), TempDir::new().unwrap());
    from.seed("small:5");
    let home = Home::new();
    home.job(&from, &Side::local(folder.path()), "");
    server.set_clock_off(3600);
    let said = home.import(2, &["--restart"]);
    assert!(format!("{}{}", said.out, said.err).contains("clock"), "{}{}", said.out, said.err);
    server.set_clock_off(0);
    server.rotate(ACCESS_KEY, "another");
    let said = home.import(2, &["--restart"]);
    assert!(format!("{}{}", said.out, said.err).contains("signature error"), "{}{}", said.out, said.err);
    server.rotate(ACCESS_KEY, SECRET_KEY);
    home.import(0, &["--restart"]);
}

/// An import of one line from a web server into a bucket of UPYUN.
fn from_the_web(nginx: &Nginx, place: &str, to: &Side, more: &str) -> (Home, tests::home::Said) {
    let home = Home::new();
    home.write("list.txt", &format!("{}/ {place}\n", nginx.url()));
    let list = home.path().join("list.txt").display().to_string();
    let text = format!(
        "name = \"local_test\"\n[source]\ntype = \"http\"\nkey_list = {list:?}\n{}{more}",
        to.section("destination")
    );
    home.write("conf/local_job.toml", &text);
    let said = home.run(&["--no-input", "import", "--restart"]);
    (home, said)
}

#[test]
fn what_can_be_read_only_once_is_written_in_parts_of_the_announced_size_or_refused_for_its_length() {
    let ((server, to), nginx) = (upyun(), Nginx::start(""));
    let data: Vec<u8> = (0..40u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    nginx.write("large", &data);
    // A length, and no ranges: parts of 16 MiB, as they are configured.
    let (home, said) = from_the_web(&nginx, "noranges/large", &to, "");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(server.file("bucket", "in/noranges/large").unwrap().data == data[..]);
    home.must_not_hold_the_secret();
    // No length: what UPYUN wants to know before the first part cannot be said.
    let small = "[transfer]\nmultipart_threshold = \"8MiB\"\n";
    let (home, said) = from_the_web(&nginx, "chunked/large", &to, small);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let failed = failures(&home);
    assert_eq!(failed, [("chunked/large".to_owned(), "UPLOAD_FAILED".to_owned())]);
    let record = home.report("local_test").iter().map(ToString::to_string).collect::<String>();
    for words in ["no Content-Length", "8388608 bytes", "multipart_threshold"] {
        assert!(record.contains(words), "no {words:?} in {record}");
    }
    assert!(server.file("bucket", "in/chunked/large").is_none() && server.uploads("bucket").is_empty());
    // What fits one write is written whole.
    nginx.write("fits", &data[..5 << 20]);
    let (_home, said) = from_the_web(&nginx, "chunked/fits", &to, small);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(server.file("bucket", "in/chunked/fits").unwrap().data == data[..5 << 20]);
}

#[test]
fn an_empty_file_that_is_refused_never_costs_the_one_that_stands_there() {
    let ((there, from), (server, to)) = (family(Dialect::S3), upyun());
    let large = bytes::Bytes::from(vec![b'a'; 11 << 20]);
    there.insert("bucket", b"to/a.bin", family::Object::new(large.clone()));
    let home = Home::new();
    home.job(&from, &to, PARTS);
    home.import(0, &["--restart"]);
    there.insert("bucket", b"to/a.bin", family::Object::new(bytes::Bytes::new()));
    // A rule of the service; and an answer that says nothing, to every plain write.
    for (status, code, contains, puts) in [(403, "40300010", "in/a.bin", 1), (400, "40099999", "in/", 2)] {
        server.forget_requests();
        plan(&server, "PUT", contains, 0, 100, Action::Status(status, code, None));
        home.import(3, &["--restart"]);
        server.heal();
        assert_eq!(failures(&home), [("a.bin".to_owned(), "UPLOAD_FAILED".to_owned())], "{code}");
        let count = |method: &str| server.requests().iter().filter(|r| r.method == method).count();
        assert_eq!((count("DELETE"), count("PUT")), (0, puts), "{code}");
        assert!(server.file("bucket", "in/a.bin").unwrap().data == large, "{code}");
    }
    // Where nothing but the old file is in the way, it is written, and no trial stays.
    home.import(0, &["--restart"]);
    assert!(server.file("bucket", "in/a.bin").unwrap().data.is_empty());
    assert_eq!(server.files("bucket"), ["in/a.bin"]);
}
