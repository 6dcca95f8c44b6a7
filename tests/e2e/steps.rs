//! Step by step: master, tracker and worker as processes of their own.

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

fn state(home: &Home) -> String {
    home.json(&["stat", "local_test"])["state"].as_str().unwrap_or_default().to_owned()
}

fn wait_for_state(home: &Home, wanted: &str) {
    home.wait_for(wanted, || state(home) == wanted);
}

#[test]
fn submit_stat_retry_report_clean() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("small:600");
    let home = Home::new();
    home.job(&source, &destination, "[task]\nobject_count_limit = 100\n[transfer]\nretries = 2\n");
    home.expect(4, &["stat"]);
    home.expect(4, &["submit", &job(&home)]);
    home.expect(0, &["start"]);
    // Two objects can never be written, until the fault is gone.
    for key in ["o-000007", "o-000333"] {
        to.plan(Fault {
            method: "PUT",
            contains: key.into(),
            skip: 0,
            times: 1000,
            action: Action::Status(403, "AccessDenied", None),
        });
    }
    home.expect(0, &["submit", &job(&home)]);
    wait_for_state(&home, "failed");
    let again = home.run(&["submit", &job(&home)]);
    assert_ne!(again.code, 0);
    assert!(again.err.contains("clean"), "{}", again.err);

    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["failed"], 2, "{stat}");
    assert_eq!(stat["objects"]["succeeded"], 598, "{stat}");
    let folder = home.path().join("master/jobs/local_test/failed_tasks");
    let lists: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path().join("error.list")).unwrap())
        .collect();
    let listed = lists.concat();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("o-000007") && listed.contains("o-000333"), "{listed}");

    let records = home.report("local_test");
    let failed: Vec<_> = records.iter().filter(|record| record["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|record| record["code"] == "ACCESS_DENIED"), "{failed:?}");
    assert_eq!(records.iter().filter(|record| !record["outcome"].is_null()).count(), 600);

    to.heal();
    to.forget_requests();
    home.expect(0, &["retry", "local_test"]);
    wait_for_state(&home, "succeeded");
    let puts = to.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 2, "retry moves what failed and nothing else");
    destination.must_equal("small:600");
    assert_eq!(std::fs::read_dir(&folder).map_or(0, Iterator::count), 0);

    home.expect(0, &["--no-input", "clean", "local_test"]);
    assert!(!home.path().join("master/jobs/local_test").exists());
    home.expect(0, &["submit", &job(&home)]);
    wait_for_state(&home, "succeeded");
    home.expect(0, &["stop"]);
    home.expect(4, &["stat"]);
    home.must_not_hold_the_secret();
}

fn job(home: &Home) -> String {
    home.path().join("conf/local_job.toml").display().to_string()
}

#[test]
fn pause_resume_stop_and_start_in_the_middle() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("small:3000");
    let home = Home::new();
    home.job(&source, &destination, "[task]\nobject_count_limit = 300\n[transfer]\nrequests_per_s = 1500\n");
    home.expect(0, &["start"]);
    home.expect(0, &["start"]);
    home.expect(0, &["submit", &job(&home)]);
    to.wait_for(|request| request.method == "PUT", 300).expect("it moves");
    home.expect(0, &["pause", "local_test"]);
    wait_for_state(&home, "paused");
    home.expect(0, &["stop"]);
    home.expect(0, &["start"]);
    assert_eq!(state(&home), "paused");
    let so_far = to.requests().iter().filter(|request| request.method == "PUT").count();
    assert!(so_far < 3000, "paused in the middle");
    home.expect(0, &["resume", "local_test"]);
    to.wait_for(|request| request.method == "PUT", so_far + 300).expect("it goes on");
    home.expect(0, &["stop"]);
    home.expect(0, &["start"]);
    wait_for_state(&home, "succeeded");
    destination.must_equal("small:3000");
    let records = home.report("local_test");
    assert_eq!(records.iter().filter(|record| record["outcome"] == "succeeded").count(), 3000);
    home.expect(0, &["stop"]);
}

#[test]
fn each_role_may_be_killed() {
    let ((_from, source), (to, destination)) = (oss(), oss());
    source.seed("small:3000");
    let home = Home::new();
    home.job(&source, &destination, "[task]\nobject_count_limit = 200\n[transfer]\nrequests_per_s = 2000\n");
    home.write(
        "conf/sys.toml",
        "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\nlease = \"3s\"\n",
    );
    home.expect(0, &["start"]);
    home.expect(0, &["submit", &job(&home)]);
    let mut puts = 200;
    for role in ["worker", "tracker", "master"] {
        to.wait_for(|request| request.method == "PUT", puts).expect("it moves");
        let pid = std::fs::read_to_string(home.path().join(format!("run/{role}.pid"))).unwrap();
        let pid: i32 = pid.split_whitespace().next().unwrap().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        home.expect(0, &["start"]);
        puts += 400;
    }
    wait_for_state(&home, "succeeded");
    destination.must_equal("small:3000");
    let records = home.report("local_test");
    assert_eq!(records.iter().filter(|record| record["outcome"] == "succeeded").count(), 3000);
    home.expect(0, &["stop"]);
}
