//! Keys of the longest length in every place: listing, manifest, checkpoint, upload, audit, error, report,
//! `error.list`; and what a directory cannot hold.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use tempfile::TempDir;
use tests::crash::{BUCKET, End, Objects, files, must_be_true, must_be_whole};
use tests::family::{Action, Dialect, Fault, Object};
use tests::home::Home;

const CONF: &str =
    "[task]\nobject_count_limit = 7\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

/// Keys of exactly this many bytes, of each kind.
fn longest(bytes: usize) -> Vec<String> {
    let fill = |unit: &str| {
        let mut key = unit.repeat(bytes / unit.len());
        key.push_str(&"x".repeat(bytes - key.len()));
        key
    };
    // What grows in a URL, in XML, in CSV and in JSON; then many and large segments.
    let units = ["a", "é", "€", "😀", "&<", "% +", "\"'", "=a", "a/", "b\\"];
    let mut keys: Vec<String> = units.into_iter().map(fill).collect();
    keys.push(fill(&format!("{}/", "c".repeat(254))));
    keys.iter().for_each(|key| assert_eq!(key.len(), bytes));
    keys
}

/// Some with each of the longest keys, many whose keys differ in their last bytes only, one in two parts.
fn objects(bytes: usize) -> Objects {
    let mut all: Objects = longest(bytes).into_iter().map(|key| (key.clone(), Bytes::from(key))).collect();
    for at in 0..60 {
        all.insert(format!("{}{at:03}", "m".repeat(bytes - 3)), Bytes::from(format!("many {at}")));
    }
    let large: Vec<u8> = (0..6_000_000u32).flat_map(|at| (at / 7).to_le_bytes()).take(6_000_000).collect();
    all.insert("L".repeat(bytes), large.into());
    all
}

/// Equal, and told in few words where not.
#[track_caller]
fn must_be_the_same(found: &[(String, String)], wanted: &[(String, String)]) {
    let brief = |all: &[(String, String)], other: &[(String, String)]| {
        let strange = all.iter().filter(|one| !other.contains(one));
        let brief = |(key, code): &(String, String)| {
            (key.chars().take(12).collect::<String>(), key.len(), code.clone())
        };
        strange.map(brief).collect::<Vec<_>>()
    };
    assert!(found == wanted, "not expected {:?}, missing {:?}", brief(found, wanted), brief(wanted, found));
}

fn failures(home: &Home) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let records = home.report("local_test");
    let failed = records.iter().filter(|record| record["outcome"] == "failed");
    let mut failed: Vec<_> = failed.map(|record| (text(&record["key"]), text(&record["code"]))).collect();
    failed.sort();
    failed
}

#[test]
fn the_longest_keys_survive_kills_failures_reports_and_lists() {
    for (from, to, bytes) in [
        (Dialect::S3, Dialect::S3, 1024),
        (Dialect::Oss, Dialect::S3, 1023),
        (Dialect::S3, Dialect::Oss, 1023),
    ] {
        let (from, to, all) = (End::server(from), End::server(to), objects(bytes));
        from.fill(&all);
        let home = Home::new();
        home.job(&from.side(), &to.side(), CONF);
        // Killed twice in the middle: checkpoint, manifests, an upload and records have such keys.
        for puts in [20, 20] {
            to.as_server().forget_requests();
            let mut running = home.spawn(&["--no-input", "import"]);
            to.as_server().wait_for(|request| request.method == "PUT", puts).expect("objects are moved");
            running.kill().unwrap();
            running.wait().unwrap();
        }
        must_be_true(&home, "local_test", &to, &all);
        let refuse = Action::Status(403, "AccessDenied", None);
        to.as_server().plan(Fault {
            method: "PUT",
            contains: "mmm".into(),
            skip: 0,
            times: u32::MAX,
            action: refuse,
        });
        let code = home.run(&["--no-input", "import", "--resume"]).code;
        assert!(code == 3 || code == 0, "{code}");
        let failed = failures(&home);
        to.as_server().heal();
        for (key, code) in &failed {
            assert_eq!((code.as_str(), key.len()), ("ACCESS_DENIED", bytes));
        }
        let csv = home.path().join("r.csv").display().to_string();
        home.expect(0, &["report", "local_test", "--format", "csv", "--out", &csv]);
        assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), all.len() + 2);
        home.report("local_test");
        let out = home.path().join("report-local_test.jsonl").display().to_string();
        home.expect(0, &["report", "--check", &out]);
        let lists = files(&home.path().join("master/jobs/local_test/failed_tasks"));
        let lists = lists.into_iter().filter(|path| path.ends_with("error.list"));
        let listed: String = lists.map(|list| std::fs::read_to_string(list).unwrap()).collect();
        assert_eq!(listed.lines().count(), failed.len());
        if code == 3 {
            home.import(0, &["--resume", "--retry", "1"]);
        }
        let expected = tests::crash::Expected { failed_before: failed.len() };
        tests::crash::must_be_whole_after(&home, "local_test", &to, &all, expected);
    }
}

#[test]
fn a_list_of_the_longest_keys_is_a_job() {
    let (from, to, all) = (End::server(Dialect::S3), End::server(Dialect::S3), objects(1024));
    from.fill(&all);
    let (home, list) = (Home::new(), TempDir::new().unwrap());
    let path = list.path().join("keys");
    let lines: String = all
        .keys()
        .map(|key| format!("{}\n", proto::ObjectKey::new(key.clone().into_bytes()).to_line()))
        .collect();
    std::fs::write(&path, lines).unwrap();
    home.job(&from.side(), &to.side(), CONF);
    let conf = std::fs::read_to_string(home.path().join("conf/local_job.toml")).unwrap();
    home.write(
        "conf/local_job.toml",
        &conf.replace("[source]\n", &format!("[source]\nkey_list = {path:?}\n")),
    );
    home.import(0, &[]);
    must_be_whole(&home, "local_test", &to, &all);
}

#[test]
fn a_key_too_long_for_the_destination_fails_by_name_and_the_others_go_on() {
    // OSS takes 1,023 bytes; a prefix counts.
    for (to, prefix, most) in [(Dialect::Oss, "", 1023), (Dialect::S3, "p/", 1022)] {
        let (from, to) = (End::server(Dialect::S3), End::server(to));
        let fits = objects(most);
        from.fill(&fits);
        let too_long = longest(1024);
        from.fill(&too_long.iter().map(|key| (key.clone(), "no".into())).collect());
        let home = Home::new();
        home.job(&from.side(), &to.side(), CONF);
        let text = std::fs::read_to_string(home.path().join("conf/local_job.toml")).unwrap();
        let (source, destination) = text.split_once("[destination]").unwrap();
        let destination = destination.replacen("prefix = \"\"", &format!("prefix = {prefix:?}"), 1);
        home.write("conf/local_job.toml", &format!("{source}[destination]{destination}"));
        home.import(3, &[]);
        let mut wanted: Vec<_> = too_long.into_iter().map(|key| (key, "INVALID_NAME".to_owned())).collect();
        wanted.sort();
        must_be_the_same(&failures(&home), &wanted);
        let there: Objects = fits.into_iter().map(|(key, data)| (format!("{prefix}{key}"), data)).collect();
        assert_eq!(to.objects().keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
        assert!(to.objects() == there && to.leavings().is_empty());
    }
}

/// A directory whose path has this many bytes.
fn deep(below: &Path, bytes: usize) -> PathBuf {
    let mut path = below.to_path_buf();
    while path.as_os_str().len() + 1 < bytes {
        let left = bytes - path.as_os_str().len() - 1;
        let next = if left > 255 && left <= 256 { 200 } else { left.min(255) };
        path.push("r".repeat(next));
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_directory_takes_every_name_that_it_can_hold_and_refuses_the_others_by_name() {
    let from = End::server(Dialect::S3);
    let segment = |bytes: usize| "s".repeat(bytes);
    let three = format!("{0}/{0}/{0}/{1}", segment(255), segment(200));
    let large: Bytes = vec![7; 6_000_000].into();
    let fits: Objects = [
        ("t".repeat(255), Bytes::from("one segment")),
        (format!("{}/{}", segment(255), "é".repeat(127)), "two".into()),
        (three, "four segments".into()),
        (format!("large/{}", segment(255)), large),
        ("short".to_owned(), "short".into()),
    ]
    .into();
    from.fill(&fits);
    let too_long = [segment(256), "é".repeat(128), format!("d/{}/x", segment(300)), segment(1024)];
    from.fill(&too_long.iter().map(|key| (key.clone(), "no".into())).collect());
    let (home, to) = (Home::new(), End::tree());
    home.job(&from.side(), &to.side(), CONF);
    home.import(3, &[]);
    let named = |keys: &[String]| {
        let mut all: Vec<_> = keys.iter().map(|key| (key.clone(), "INVALID_NAME".to_owned())).collect();
        all.sort();
        all
    };
    must_be_the_same(&failures(&home), &named(&too_long));
    assert!(to.objects() == fits && to.leavings().is_empty(), "{:?}", to.leavings());
    // A root that leaves little: what would be beyond PATH_MAX fails by name.
    let below = TempDir::new().unwrap();
    let root = deep(below.path(), 3900);
    let home = Home::new();
    home.job(&from.side(), &tests::world::Side::local(&root), CONF);
    home.import(3, &[]);
    let mut wanted: Vec<String> =
        fits.keys().filter(|key| 3900 + 1 + key.len() > 4095).cloned().chain(too_long).collect();
    wanted.sort();
    must_be_the_same(&failures(&home), &named(&wanted));
    assert_eq!(std::fs::read(root.join("short")).unwrap(), b"short");
    assert_eq!(files(&root).len(), fits.len() + 4 - wanted.len());
}

/// Directories one in another, deeper than a path can say; the name of the last file is `deep`.
fn beyond_path_max(root: &Path, segments: usize) {
    let flags = OFlag::O_DIRECTORY;
    let mut at = open(root, flags, Mode::empty()).unwrap();
    let name = "n".repeat(250);
    for _ in 0..segments {
        mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
        at = openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
    }
    drop(openat(&at, "deep", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap());
}

#[test]
fn files_whose_paths_are_too_long_for_a_key_fail_by_name_and_the_others_go_on() {
    let (from, to) = (TempDir::new().unwrap(), End::server(Dialect::S3));
    std::fs::write(from.path().join("aaa"), "first").unwrap();
    std::fs::write(from.path().join("zzz"), "last").unwrap();
    // 1,259 bytes: a path, and no key of S3.
    beyond_path_max(from.path(), 5);
    let home = Home::new();
    home.job(&tests::world::Side::local(from.path()), &to.side(), CONF);
    home.import(3, &[]);
    let failed = failures(&home);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].0.ends_with("/deep") && failed[0].0.len() == 1259 && failed[0].1 == "INVALID_NAME");
    assert_eq!(to.as_server().keys(BUCKET), [b"aaa".to_vec(), b"zzz".to_vec()]);
    // 5,024 bytes: no path at all. Whoever lists it says so, and moves the others.
    let from = TempDir::new().unwrap();
    std::fs::write(from.path().join("aaa"), "first").unwrap();
    std::fs::write(from.path().join("zzz"), "last").unwrap();
    beyond_path_max(from.path(), 20);
    let to = End::server(Dialect::S3);
    let home = Home::new();
    home.job(&tests::world::Side::local(from.path()), &to.side(), CONF);
    home.import(3, &[]);
    let failed = failures(&home);
    assert!(failed.len() == 1 && failed[0].1 == "INVALID_NAME", "{failed:?}");
    assert_eq!(to.as_server().keys(BUCKET), [b"aaa".to_vec(), b"zzz".to_vec()]);
    // The standard library cannot remove it.
    let removed = Command::new("rm")
        .arg("-rf")
        .arg(std::ffi::OsStr::from_bytes(from.path().as_os_str().as_bytes()))
        .status();
    assert!(removed.unwrap().success());
}

#[test]
fn names_that_another_system_would_take_for_the_same_stay_apart() {
    // Composed and decomposed, upper and lower case: as bytes they are different names.
    let names =
        ["caf\u{e9}", "cafe\u{301}", "Name", "name", "NAME", "stra\u{df}e", "strasse", "\u{212b}", "\u{c5}"];
    let all: Objects =
        names.iter().map(|name| (format!("d/{name}"), Bytes::from(format!("of {name:?}")))).collect();
    let (from, between, to) = (End::server(Dialect::S3), End::tree(), End::server(Dialect::Oss));
    from.as_server().insert(BUCKET, b"other", Object::new("other"));
    from.as_server().remove(BUCKET, b"other");
    from.fill(&all);
    for (from, to) in [(&from, &between), (&between, &to)] {
        let home = Home::new();
        home.job(&from.side(), &to.side(), "");
        home.import(0, &[]);
        must_be_whole(&home, "local_test", to, &all);
    }
}
