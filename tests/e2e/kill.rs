//! SIGKILL in the middle: going on completes the job, moves nothing twice that was recorded, leaves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::family::{Action, Dialect, Fault, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

fn oss() -> (Server, Side) {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let side = Side::oss(&server.endpoint(), "bucket", "");
    (server, side)
}

/// Records on disk, as far as they are whole.
fn recorded(home: &Home) -> BTreeMap<Vec<u8>, usize> {
    let mut keys = BTreeMap::new();
    let folder = home.path().join("master/jobs/local_test/audit");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = std::fs::read(entry.path()).unwrap();
        for record in proto::audit::decode(&file).unwrap().records {
            *keys.entry(record.key.to_vec()).or_default() += 1;
        }
    }
    keys
}

#[test]
fn a_killed_import_of_5000_objects_goes_on_and_repeats_nothing_that_was_recorded() {
    let ((from, source), (to, destination)) = (oss(), oss());
    source.seed("small:5000");
    let home = Home::new();
    home.job(&source, &destination, "[task]\nobject_count_limit = 500\n");
    for (round, puts) in [700, 2000, 3500].into_iter().enumerate() {
        let way = if round == 0 { "--restart" } else { "--resume" };
        let mut running = home.spawn(&["--no-input", "import", way]);
        to.wait_for(|request| request.method == "PUT", puts).expect("the import moves objects");
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let before = recorded(&home);
    assert!(!before.is_empty() && before.len() < 5000, "killed in the middle: {} recorded", before.len());
    assert!(before.values().all(|times| *times == 1));
    from.forget_requests();
    to.forget_requests();
    home.import(0, &["--resume"]);
    for request in to.requests().iter().filter(|request| request.method == "PUT") {
        assert!(
            !before.contains_key(&request.key),
            "moved again: {:?}",
            String::from_utf8_lossy(&request.key)
        );
    }
    destination.must_equal("small:5000");
    let after = recorded(&home);
    assert_eq!(after.len(), 5000);
    assert!(after.values().all(|times| *times == 1));
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["succeeded"], 5000, "{stat}");
}

#[test]
fn a_killed_multipart_upload_goes_on_where_it_was_and_leaves_no_upload() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("big:2:100000000");
    let home = Home::new();
    home.job(
        &source,
        &destination,
        "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 2\n",
    );
    // Later parts hang until the kill.
    to.plan(Fault {
        method: "PUT",
        contains: "partNumber".into(),
        skip: 14,
        times: 1000,
        action: Action::Delay(Duration::from_secs(3600)),
    });
    let mut running = home.spawn(&["--no-input", "import", "--restart"]);
    to.wait_for(|request| request.query.contains("partNumber"), 17).expect("parts are sent");
    running.kill().unwrap();
    running.wait().unwrap();
    to.heal();
    to.forget_requests();
    home.import(0, &["--resume"]);
    let parts = to.requests().iter().filter(|request| request.query.contains("partNumber")).count();
    // 40 parts in all; at least 12 were finished and reported before the kill.
    assert!(parts <= 30, "{parts} of 40 parts were sent again");
    destination.must_equal("big:2:100000000");
    assert!(to.uploads("bucket").is_empty(), "{:?}", to.uploads("bucket"));
}

#[test]
fn cleaning_a_killed_job_aborts_its_uploads() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("big:1:60000000");
    let home = Home::new();
    home.job(&source, &destination, "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n");
    to.plan(Fault {
        method: "PUT",
        contains: "partNumber".into(),
        skip: 4,
        times: 1000,
        action: Action::Delay(Duration::from_secs(3600)),
    });
    let mut running = home.spawn(&["--no-input", "import", "--restart"]);
    to.wait_for(|request| request.query.contains("partNumber"), 6).expect("parts are sent");
    running.kill().unwrap();
    running.wait().unwrap();
    to.heal();
    assert_eq!(to.uploads("bucket").len(), 1);
    home.expect(0, &["start"]);
    home.expect(0, &["--no-input", "pause", "local_test"]);
    home.expect(0, &["--no-input", "clean", "local_test"]);
    assert!(to.uploads("bucket").is_empty());
    assert!(!home.path().join("master/jobs/local_test").exists());
    home.expect(0, &["stop"]);
}

#[test]
fn ctrl_c_stops_cleanly_and_says_how_to_go_on() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("small:4000");
    let home = Home::new();
    home.job(&source, &destination, "");
    let mut command = home.command(&["--no-input", "import", "--restart"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let running = command.spawn().unwrap();
    to.wait_for(|request| request.method == "PUT", 500).expect("the import moves objects");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.id() as i32), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    let output = running.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--resume"), "{said}");
    let before = recorded(&home);
    to.forget_requests();
    home.import(0, &["--resume"]);
    assert!(
        to.requests().iter().all(|request| !before.contains_key(&request.key) || request.method != "PUT")
    );
    destination.must_equal("small:4000");
}
