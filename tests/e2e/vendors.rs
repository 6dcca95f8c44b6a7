//! COS, BOS, KS3 and Qiniu: each as source and as destination of 300 objects with awkward keys, metadata, sizes
//! up to three parts, filled and compared with the vendor's own SDK.

use std::time::Duration;

use tests::family::{Action, Dialect, Fault, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

fn end(dialect: Dialect) -> (Server, Side) {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    // Bucket names of COS end in the account's number; the longest keys of BOS and KS3 have no room for a prefix.
    let (bucket, prefix) = match dialect {
        Dialect::Cos => ("bucket-1250000000", "in/"),
        Dialect::Bos | Dialect::Ks3 => ("bucket", ""),
        _ => ("bucket", "in/"),
    };
    server.make_bucket(bucket);
    let side = Side::of(&server, bucket, prefix);
    (server, side)
}

/// What both ends can hold.
fn plan(source: Dialect, destination: Dialect) -> String {
    format!("vendors:300:{}:{}", source.name(), destination.name())
}

/// Every object succeeded, nothing is left open, no secret is told.
#[track_caller]
fn must_be_done(home: &Home, destination: &Server) {
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["state"], "succeeded", "{stat}");
    assert_eq!(stat["objects"]["succeeded"], 300, "{stat}");
    assert_eq!(stat["objects"]["failed"], 0, "{stat}");
    for bucket in ["bucket", "bucket-1250000000"] {
        assert!(destination.uploads(bucket).is_empty(), "{:?}", destination.uploads(bucket));
    }
    home.must_not_hold_the_secret();
}

#[track_caller]
fn move_all(source: Dialect, destination: Dialect) {
    let ((_from, source_side), (to, side)) = (end(source), end(destination));
    let plan = plan(source, destination);
    source_side.seed(&plan);
    let home = Home::new();
    home.job(&source_side, &side, PARTS);
    home.import(0, &["--restart"]);
    must_be_done(&home, &to);
    side.must_equal(&plan);
    let lists = to.requests().iter().filter(|request| request.query.contains("list-type")).count();
    assert!(destination != Dialect::Cos || lists == 0, "COS has no version 2 of the listing");
}

#[test]
fn cos_to_bos() {
    move_all(Dialect::Cos, Dialect::Bos);
}

#[test]
fn bos_to_ks3() {
    move_all(Dialect::Bos, Dialect::Ks3);
}

#[test]
fn ks3_to_qiniu() {
    move_all(Dialect::Ks3, Dialect::Qiniu);
}

#[test]
fn qiniu_to_cos() {
    move_all(Dialect::Qiniu, Dialect::Cos);
}

#[test]
fn a_killed_move_from_ks3_to_cos_goes_on() {
    let ((_from, source), (to, destination)) = (end(Dialect::Ks3), end(Dialect::Cos));
    let plan = plan(Dialect::Ks3, Dialect::Cos);
    source.seed(&plan);
    let home = Home::new();
    home.job(&source, &destination, &format!("[task]\nobject_count_limit = 50\n{PARTS}"));
    for (round, puts) in [60, 180].into_iter().enumerate() {
        let way = if round == 0 { "--restart" } else { "--resume" };
        let mut running = home.spawn(&["--no-input", "import", way]);
        to.wait_for(|request| request.method == "PUT", puts).expect("the import moves objects");
        running.kill().unwrap();
        running.wait().unwrap();
    }
    home.import(0, &["--resume"]);
    must_be_done(&home, &to);
    destination.must_equal(&plan);
}

#[test]
fn services_that_fail_between_bos_and_qiniu_cost_time_and_nothing_else() {
    let ((from, source), (to, destination)) = (end(Dialect::Bos), end(Dialect::Qiniu));
    let plan = plan(Dialect::Bos, Dialect::Qiniu);
    source.seed(&plan);
    let fault = |method, contains: &str, times, action| Fault {
        method,
        contains: contains.into(),
        skip: 0,
        times,
        action,
    };
    from.plan(fault("GET", "list-type", 1, Action::Status(503, "ServiceUnavailable", Some(1))));
    from.plan(fault("GET", "d10", 2, Action::Reset));
    from.plan(fault("GET", "file 00011", 1, Action::Truncate(3)));
    from.plan(fault("GET", "file 00012", 1, Action::FlipByte(3)));
    from.plan(fault("GET", "file 00013", 2, Action::Status(500, "InternalError", None)));
    to.plan(fault("PUT", "file 00014", 2, Action::Status(573, "573", None)));
    to.plan(fault("PUT", "file 00015", 2, Action::Status(503, "SlowDown", Some(1))));
    to.plan(fault("PUT", "file 00016", 1, Action::LoseAnswer));
    to.plan(fault("PUT", "partNumber=2", 1, Action::Reset));
    to.plan(fault("POST", "uploadId", 1, Action::LoseAnswer));
    to.plan(fault("PUT", "file 00017", 1, Action::DelayAnswer(Duration::from_millis(300))));
    let home = Home::new();
    home.job(&source, &destination, PARTS);
    home.import(0, &["--restart"]);
    must_be_done(&home, &to);
    destination.must_equal(&plan);
}
