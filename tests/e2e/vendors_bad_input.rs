//! Bad input for COS, BOS, KS3 and Qiniu: refused before anything is moved, with the service's words and the
//! right exit code; and keys whose time is over in the middle of a job.

use tempfile::TempDir;
use tests::family::{Action, Change, Dialect, Fault, Object, Server};
use tests::home::{Home, Said};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const ALL: [Dialect; 4] = [Dialect::Cos, Dialect::Bos, Dialect::Ks3, Dialect::Qiniu];
/// Whose signatures name a region.
const WITH_REGION: [Dialect; 3] = [Dialect::Bos, Dialect::Ks3, Dialect::Qiniu];

fn server(dialect: Dialect) -> (Server, Side) {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    for i in 0..40 {
        server.insert("bucket", format!("o-{i:02}").as_bytes(), Object::new(vec![7; 100 + i]));
    }
    let side = Side::of(&server, "bucket", "");
    (server, side)
}

/// The import from here into a directory is refused with this code, says `words`, and starts nothing.
#[track_caller]
fn refused(source: &Side, more: &str, words: &[&str]) -> Said {
    let (home, folder) = (Home::new(), TempDir::new().unwrap());
    let text = format!(
        "name = \"local_test\"\n{}{more}{}",
        source.section("source"),
        Side::local(folder.path()).section("destination")
    );
    home.write("conf/local_job.toml", &text);
    let said = home.import(2, &["--restart"]);
    for word in words {
        assert!(said.err.contains(word), "{source:?}: no {word:?} in: {}", said.err);
    }
    assert!(!home.path().join("master/jobs/local_test").exists(), "nothing was started");
    said
}

#[test]
fn wrong_keys_and_missing_or_foreign_buckets() {
    for dialect in ALL {
        let (server, side) = server(dialect);
        server.make_foreign("other");
        refused(&Side::of(&server, "no-such-bucket", ""), "", &["no-such-bucket", "NoSuchBucket"]);
        refused(&Side::of(&server, "other", ""), "", &["other", "AccessDenied"]);
        server.rotate(ACCESS_KEY, "another secret");
        refused(&side, "", &["SignatureDoesNotMatch", "secret_key"]);
        server.rotate("another key", SECRET_KEY);
        refused(&side, "", &["InvalidAccessKeyId", "access_key"]);
    }
}

#[test]
fn a_wrong_region_names_the_right_one() {
    for dialect in WITH_REGION {
        let (_server, side) = server(dialect);
        refused(&side.with("region", "elsewhere"), "", &["AuthorizationHeaderMalformed", dialect.region()]);
    }
}

#[test]
fn a_clock_that_is_off_is_called_so() {
    for dialect in ALL {
        let (server, side) = server(dialect);
        server.set_clock_off(100_000);
        refused(&side, "", &["clock"]);
    }
}

#[test]
fn a_public_bucket_is_read_without_keys() {
    for dialect in [Dialect::Cos, Dialect::Bos, Dialect::Ks3] {
        let (server, _) = server(dialect);
        server.make_public("bucket");
        let (home, folder) = (Home::new(), TempDir::new().unwrap());
        let text = |bucket: &str| {
            format!(
                "name = \"local_test\"\n[source]\ntype = {:?}\nendpoint = {:?}\nregion = {:?}\nbucket = {bucket:?}\nanonymous = true\n{}",
                dialect.name(),
                server.endpoint(),
                dialect.region(),
                Side::local(folder.path()).section("destination")
            )
        };
        home.write("conf/local_job.toml", &text("bucket"));
        home.import(0, &["--restart"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 40, "{dialect:?}");
        server.make_bucket("private");
        home.write("conf/local_job.toml", &text("private"));
        let said = home.import(2, &["--restart"]);
        assert!(said.err.contains("AccessDenied"), "{dialect:?}: {}", said.err);
    }
}

/// The job pauses, says why, and goes on with a new token; nothing failed.
#[test]
fn a_token_that_expires_in_the_middle_of_a_job_pauses_it() {
    for dialect in ALL {
        let (from, side) = server(dialect);
        let from = std::sync::Arc::new(from);
        from.require_token("first-token");
        let (home, folder) = (Home::new(), TempDir::new().unwrap());
        let token = home.path().join("token");
        let renew = |text: &str| home.write("token", text);
        renew("first-token");
        let text = format!(
            "name = \"local_test\"\n{}session_token = {{ file = {token:?} }}\n{}",
            side.section("source"),
            Side::local(folder.path()).section("destination")
        );
        home.write("conf/local_job.toml", &text);
        let server = std::sync::Arc::downgrade(&from);
        let expire = move || {
            if let Some(server) = server.upgrade() {
                server.expire_token();
            }
        };
        from.plan(Fault {
            method: "GET",
            contains: "o-2".into(),
            skip: 0,
            times: 1,
            action: Action::Then(Change::new(expire)),
        });
        let said = home.import(1, &["--restart"]);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("xpired") && text.contains("--resume"), "{dialect:?}: {text}");
        let stat = home.json(&["stat", "local_test"]);
        assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"paused".into(), &0.into()), "{stat}");
        from.require_token("second-token");
        renew("second-token");
        home.import(0, &["--resume"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 40, "{dialect:?}");
    }
}

/// The scan of a list of keys asks by HEAD alone, whose refusal has no body.
#[test]
fn a_token_that_expires_while_a_list_of_keys_is_read_pauses_the_job() {
    for dialect in [Dialect::S3, Dialect::Oss, Dialect::Cos, Dialect::Bos, Dialect::Ks3, Dialect::Qiniu] {
        let (from, side) = server(dialect);
        let from = std::sync::Arc::new(from);
        from.require_token("first-token");
        let (home, folder) = (Home::new(), TempDir::new().unwrap());
        let (token, list) = (home.path().join("token"), home.path().join("keys.txt"));
        home.write("token", "first-token");
        let keys: String = (0..40).map(|i| format!("o-{i:02}\n")).collect();
        home.write("keys.txt", &keys);
        let text = format!(
            "name = \"local_test\"\n{}key_list = {list:?}\nsession_token = {{ file = {token:?} }}\n{}",
            side.section("source"),
            Side::local(folder.path()).section("destination")
        );
        home.write("conf/local_job.toml", &text);
        let server = std::sync::Arc::downgrade(&from);
        let expire = move || {
            if let Some(server) = server.upgrade() {
                server.expire_token();
            }
        };
        let action = Action::Then(Change::new(expire));
        from.plan(Fault { method: "HEAD", contains: "o-20".into(), skip: 0, times: 1, action });
        let said = home.import(1, &["--restart"]);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("xpired") && text.contains("--resume"), "{dialect:?}: {text}");
        let stat = home.json(&["stat", "local_test"]);
        assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"paused".into(), &0.into()), "{stat}");
        from.require_token("second-token");
        home.write("token", "second-token");
        home.import(0, &["--resume"]);
        for i in 0..40 {
            let there = std::fs::read(folder.path().join(format!("o-{i:02}"))).unwrap();
            assert_eq!(there, vec![7; 100 + i], "{dialect:?} {i}");
        }
        // Refusals of single objects pause nothing.
        from.plan(Fault {
            method: "GET",
            contains: "o-3".into(),
            skip: 0,
            times: u32::MAX,
            action: Action::Status(403, "AccessDenied", None),
        });
        let said = home.import(3, &["--restart"]);
        assert!(said.out.contains("ACCESS_DENIED"), "{dialect:?}: {}", said.out);
    }
}

/// A public bucket that may be read and not listed, and keys that may only get objects.
#[test]
fn a_list_of_keys_needs_no_right_to_list() {
    for dialect in ALL {
        let (server, side) = server(dialect);
        server.plan(Fault {
            method: "GET",
            contains: "max-keys=".into(),
            skip: 0,
            times: u32::MAX,
            action: Action::Status(403, "AccessDenied", None),
        });
        refused(&side, "", &["AccessDenied"]);
        let (home, folder) = (Home::new(), TempDir::new().unwrap());
        let list = home.path().join("keys");
        home.write("keys", "o-00\no-01\n");
        let text = format!(
            "name = \"local_test\"\n{}key_list = {list:?}\n{}",
            side.section("source"),
            Side::local(folder.path()).section("destination")
        );
        home.write("conf/local_job.toml", &text);
        home.import(0, &["--restart"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "{dialect:?}");
    }
}
