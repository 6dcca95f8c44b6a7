//! Services that fail, lie, or go away.

use std::time::Duration;

use conf::job::EndpointType;
use conf::{Endpoint, Secret};
use storage::open::Context;
use storage::upkeep::CopyFrom;
use storage::{ErrorKind, Meter, PutOptions};
use tests::family::{Action, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

fn pair() -> (Server, Side, Server, Side) {
    let make = || {
        let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        let side = Side::oss(&server.endpoint(), "bucket", "");
        (server, side)
    };
    let ((from, source), (to, destination)) = (make(), make());
    (from, source, to, destination)
}

fn fault(method: &'static str, contains: &str, times: u32, action: Action) -> Fault {
    Fault { method, contains: contains.into(), skip: 0, times, action }
}

#[test]
fn errors_resets_short_bodies_and_lost_answers_are_overcome() {
    let (from, source, to, destination) = pair();
    source.seed("small:300");
    from.plan(fault("GET", "o-000010", 2, Action::Reset));
    from.plan(fault("GET", "o-000011", 2, Action::Status(500, "InternalError", None)));
    from.plan(fault("GET", "o-000012", 1, Action::Truncate(5)));
    from.plan(fault("GET", "o-000013", 1, Action::FlipByte(3)));
    from.plan(fault("GET", "list-type", 1, Action::Status(503, "ServiceUnavailable", Some(1))));
    to.plan(fault("PUT", "o-000020", 2, Action::Status(503, "SlowDown", Some(1))));
    to.plan(fault("PUT", "o-000021", 1, Action::LoseAnswer));
    to.plan(fault("PUT", "o-000022", 2, Action::Reset));
    let home = Home::new();
    home.job(&source, &destination, "");
    home.import(0, &["--restart"]);
    destination.must_equal("small:300");
}

#[test]
fn a_copy_inside_a_service_that_fails_in_a_200_is_a_failure() {
    for (dialect, kind) in [(Dialect::S3, EndpointType::S3), (Dialect::Oss, EndpointType::Oss)] {
        let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        server.insert("bucket", b"from", Object::new("0123456789"));
        let endpoint = Endpoint {
            kind,
            endpoint: server.endpoint(),
            region: "us-east-1".into(),
            bucket: "bucket".into(),
            access_key: Secret::Literal(ACCESS_KEY.into()),
            secret_key: Secret::Literal(SECRET_KEY.into()),
            ..Endpoint::default()
        };
        let context =
            Context { meter: Meter::unlimited(), timeout: Duration::from_secs(10), job: "copies".into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let beside = storage::open::upkeep(&endpoint, &context).unwrap();
            let from = CopyFrom { bucket: "bucket".into(), key: "from".into(), etag: None };
            server.plan(fault("PUT", "to", 1, Action::ErrorIn200("InternalError")));
            let refused = beside.copy(&from, &"to".into()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ServiceFailure, "{refused}");
            assert!(server.object("bucket", b"to").is_none());
            beside.copy(&from, &"to".into()).await.unwrap();
            assert_eq!(server.object("bucket", b"to").unwrap().data, "0123456789");
            let upload = beside.begin_copy(&"parts".into(), &PutOptions::default()).await.unwrap();
            server.plan(fault("PUT", "partNumber", 1, Action::ErrorIn200("InternalError")));
            let refused = beside.copy_part(&from, &upload, 1, 0..10).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ServiceFailure, "{refused}");
            beside.copy_part(&from, &upload, 1, 0..10).await.unwrap();
        });
    }
}

#[test]
fn wrong_bytes_from_the_source_are_never_accepted() {
    let (from, source, to, destination) = pair();
    source.seed("small:50");
    from.plan(fault("GET", "o-000013", 1000, Action::FlipByte(3)));
    let home = Home::new();
    home.job(&source, &destination, "[transfer]\nretries = 2\n");
    home.import(3, &["--restart"]);
    let records = home.report("local_test");
    let failed: Vec<_> = records.iter().filter(|record| record["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["code"], "CHECKSUM_NOT_MATCH", "{failed:?}");
    assert!(to.keys("bucket").iter().all(|key| !String::from_utf8_lossy(key).contains("o-000013")));
}

#[test]
fn an_object_that_goes_or_changes_after_it_was_listed_is_said_by_its_code() {
    let (from, source, _to, destination) = pair();
    source.seed("small:20");
    from.plan(fault("GET", "o-000003", 1000, Action::Status(404, "NoSuchKey", None)));
    from.plan(fault("GET", "o-000004", 1000, Action::Status(412, "PreconditionFailed", None)));
    from.insert("bucket", b"cold", {
        let mut object = Object::new("x");
        object.class = "Archive".into();
        object
    });
    let home = Home::new();
    home.job(&source, &destination, "");
    home.import(3, &["--restart"]);
    let records = home.report("local_test");
    let mut codes: Vec<&str> =
        records.iter().filter_map(|record| record["code"].as_str()).filter(|code| !code.is_empty()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["ARCHIVED", "SOURCE_CHANGED", "SOURCE_GONE"]);
}

#[test]
fn a_job_whose_every_write_is_refused_pauses_instead_of_failing_its_objects() {
    let (_from, source, to, destination) = pair();
    source.seed("small:2000");
    let home = Home::new();
    home.job(&source, &destination, "");
    to.plan(fault("PUT", "small/", 1_000_000, Action::Status(403, "InvalidAccessKeyId", None)));
    let said = home.import(1, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    let text = format!("{}{}", said.out, said.err);
    assert!(text.contains("InvalidAccessKeyId") && text.contains("--resume"), "{text}");
    let puts = to.requests().iter().filter(|request| request.method == "PUT").count();
    assert!(puts < 500, "{puts} refused writes before it paused");
    assert_eq!(stat["state"], "paused", "{stat}");
    assert_eq!(stat["objects"]["failed"], 0, "{stat}");
    to.heal();
    home.import(0, &["--resume"]);
    destination.must_equal("small:2000");
}

#[test]
fn a_service_that_is_gone_for_a_while_costs_time_and_nothing_else() {
    let (from, source, to, destination) = pair();
    source.seed("small:400");
    from.plan(fault("GET", "small", 60, Action::Delay(Duration::from_millis(700))));
    to.plan(Fault { method: "PUT", contains: "small".into(), skip: 100, times: 80, action: Action::Reset });
    let home = Home::new();
    home.job(&source, &destination, "");
    home.import(0, &["--restart"]);
    destination.must_equal("small:400");
}
