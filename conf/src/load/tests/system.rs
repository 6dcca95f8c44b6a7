//! The system's file, the list of hosts, and what a file is.

use super::*;

#[test]
fn system_parameters_are_checked() {
    let files = Files::new();
    let loaded = |text: &str| sys(&files.write("sys.toml", text)).map(|c| c.value).map_err(|p| said(&p));
    let all = loaded(
        "master_address = \"127.0.0.1:0\"\ntracker_address = \"[::1]:8\"\nlease = \"3s\"\nlog_level = \"debug\"\n[worker]\ntask_threads = 2\nmemory_limit = \"8MiB\"\nbytes_per_s = \"1k\"\nrequests_per_s = 2\n[limits]\nbytes_per_s = \"3k\"\nrequests_per_s = 4\n[ssh]\nuser = \"u\"\nport = 23\nprivate_key_file = \"/k\"\n",
    );
    let expected = SysConf {
        master_address: ([127, 0, 0, 1], 0).into(),
        tracker_address: "[::1]:8".parse().unwrap(),
        task_threads: 2,
        worker_bytes_per_s: 1024,
        worker_requests_per_s: 2,
        cluster_bytes_per_s: 3072,
        cluster_requests_per_s: 4,
        memory_limit: 8 << 20,
        lease: Duration::from_secs(3),
        log_level: "debug".into(),
        worker_user: "u".into(),
        private_key_file: "/k".into(),
        ssh_port: 23,
    };
    assert_eq!(all, Ok(expected));
    for (text, words) in [
        ("master_address = \"0.0.0.0:7701\"", "not encrypted"),
        ("tracker_address = \"7702\"", "127.0.0.1:7701"),
        ("lease = \"0s\"", "1s to 1h"),
        ("log_level = \"loud\"", "error, warn"),
        ("[worker]\ntask_threads = 0", "1 to 4096"),
        ("[worker]\nmemory_limit = \"1MiB\"", "8MiB"),
        ("[ssh]\nport = 70000", "65535"),
        ("[worker]\ntask_thread = 1", "did you mean `task_threads`"),
        ("task_threads = 1", "belongs in [worker]"),
        ("worker = 1", "write [worker]"),
    ] {
        let problems = loaded(text).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(words), "no {words:?} in {problems:?}");
    }
}

#[test]
fn hosts_are_one_a_line() {
    let files = Files::new();
    let hosts = workers(
        &files
            .write("workers", "# all\n192.168.1.6\n\n  node-2.example.com # second\nfe80::1\n192.168.1.6\n"),
    )
    .unwrap();
    assert_eq!(hosts.value, ["192.168.1.6", "node-2.example.com", "fe80::1"]);
    assert!(hosts.warnings[0].message.contains("twice"));
    for (bad, word) in
        [("user@host\n", "no host"), ("host:22\n", "no host"), ("a b\n", "no host"), ("# none\n", "no host")]
    {
        assert!(workers(&files.write("workers", bad)).unwrap_err()[0].message.contains(word), "{bad}");
    }
}

#[test]
fn a_file_is_known_by_what_it_says() {
    let files = Files::new();
    for (name, text, expected) in [
        ("a", "jobName=abcd\nsrcType=local\n", Kind::Job),
        ("a.toml", "srcType=local\n", Kind::Job),
        ("a", "workerTaskThreadNum=60\n", Kind::Sys),
        ("sys.toml", "# nothing\n", Kind::Sys),
        ("other.toml", "[worker]\ntask_threads = 5\n", Kind::Sys),
        ("other.cfg", "[source]\ntype = \"s3\"\n", Kind::Job),
        ("sys.properties", "", Kind::Sys),
        ("workers", "host\n", Kind::Workers),
    ] {
        assert_eq!(kind(&files.write(name, text)), expected, "{name} {text}");
    }
    assert_eq!(check(&files.write("workers", "host\n")), Ok(vec![]));
    let wrong = job(&files.write("sys.properties", "sshPort=22\n")).unwrap_err();
    assert!(wrong[0].message.contains("not a job"), "{wrong:?}");
}

#[test]
fn a_problem_is_shown_with_its_place() {
    let files = Files::new();
    let path = files.write("a.toml", text("priority = 1000", "", "", ""));
    let shown = job(&path).unwrap_err()[0].to_string();
    assert!(shown.starts_with(&format!("{}:2: `priority`", path.display())), "{shown}");
    assert!(convert(&path).is_err());
}
