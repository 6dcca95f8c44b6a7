//! Lists of URLs, served by nginx. `BRIGADE_LINES=10000000` before the command is the longer run of the long list.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::family::{Action, Dialect, Fault, Server};
use tests::group::Group;
use tests::home::Home;
use tests::nginx::Nginx;
use tests::proxy::{Plan, Proxy, Trouble};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

/// Large objects are of more than this.
const SMALL: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut random = tests::random::Random::new(seed);
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| random.number().to_le_bytes()).collect();
    bytes.truncate(size);
    bytes
}

/// Writes the list into the home, and a job from it.
fn job(home: &Home, lines: &str, to: &Side, of_source: &str, more: &str) {
    home.write("list.txt", lines);
    job_of(home, &home.path().join("list.txt").display().to_string(), to, of_source, more);
}

fn job_of(home: &Home, list: &str, to: &Side, of_source: &str, more: &str) {
    let text = format!(
        "name = \"local_test\"\n[source]\ntype = \"http\"\nkey_list = {list:?}\n{of_source}\n{}{more}",
        to.section("destination")
    );
    home.write("conf/local_job.toml", &text);
}

/// The records by key.
fn records(home: &Home) -> Vec<Value> {
    home.report("local_test").into_iter().filter(|record| record["key"].is_string()).collect()
}

#[track_caller]
fn of<'a>(records: &'a [Value], key: &str) -> &'a Value {
    let found: Vec<&Value> = records.iter().filter(|record| record["key"] == key).collect();
    assert_eq!(found.len(), 1, "{key}: {found:?}");
    found[0]
}

/// Objects with all names that a line can hold and a file system as well.
fn plan(folder: &Path) -> String {
    let odd = [
        "a b.txt",
        "two  spaces",
        "tab\tinside",
        "ü/é-中文-\u{1f600}.txt",
        "hash#part",
        "br[0]{1}|x",
        "back\\slash",
        "quote\"'<>^`",
        "a+b&c=d;e,f@g:h!$()*",
        "~tilde",
        "..hidden",
        "-",
        "e\u{301}-nfd",
        "\u{e9}-nfc",
        "dot.",
        "...",
        "control-\u{1}-char",
        "A/B/C/d.e.f",
        "percent-100",
    ];
    let mut objects = Vec::new();
    for at in 0..300 {
        let (key, size) = match odd.get(at) {
            Some(name) => (format!("odd/{name}"), 100 + at),
            None if at % 50 == 0 => (format!("large/{at}.bin"), 6 << 20),
            None => (format!("d{}/file {at}.bin", at % 7), (at * 7919) % 70_000),
        };
        objects.push(
            json!({"key": key, "size": size, "headers": {"Content-Type": "application/x-test"}, "meta": {}}),
        );
    }
    let path = folder.join("plan.json");
    std::fs::write(&path, Value::Array(objects).to_string()).unwrap();
    path.display().to_string()
}

fn list_of(plan: &str, origin: &str) -> String {
    let objects: Value = serde_json::from_str(&std::fs::read_to_string(plan).unwrap()).unwrap();
    let keys = objects.as_array().unwrap().iter().map(|object| object["key"].as_str().unwrap());
    keys.map(|key| format!("{origin} {key}\n")).collect()
}

fn three_hundred_to(to: &Side, bare: bool) {
    let (nginx, folder) = (Nginx::start(""), TempDir::new().unwrap());
    let plan = plan(folder.path());
    Side::local(&nginx.files()).seed(&plan);
    let home = Home::new();
    // The list is a URL itself.
    nginx.write("list of all.txt", list_of(&plan, &format!("{}/plain/", nginx.url())).as_bytes());
    job_of(&home, &format!("{}/plain/list of all.txt", nginx.url()), to, "", SMALL);
    home.import(0, &["--restart"]);
    if bare {
        to.must_equal_bare(&plan)
    } else {
        to.must_equal(&plan)
    }
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(
        (&stat["objects"]["succeeded"], &stat["scan"]["sizes_unknown"]),
        (&json!(300), &json!(300)),
        "{stat}"
    );
    assert!(stat["bytes"]["total"].is_null() && stat["bytes"]["moved"].as_u64() > Some(30 << 20), "{stat}");
    let get: u64 = stat["requests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["side"] == "source")
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    // One GET for each; for each of the five large ones two parts more.
    assert!(get <= 300 + 5 * 2, "{get} requests: {stat}");
    home.must_not_hold_the_secret();
}

#[test]
fn three_hundred_urls_to_a_directory() {
    let to = TempDir::new().unwrap();
    three_hundred_to(&Side::local(to.path()), true);
}

#[test]
fn three_hundred_urls_to_s3() {
    let to = server(Dialect::S3);
    three_hundred_to(&Side::s3(&to.endpoint(), "bucket", "in/"), false);
}

#[test]
fn three_hundred_urls_to_oss() {
    let to = server(Dialect::Oss);
    three_hundred_to(&Side::oss(&to.endpoint(), "bucket", "in/"), false);
    assert!(to.uploads("bucket").is_empty());
}

#[test]
fn servers_of_every_kind_are_read_whole() {
    let (small, large) = (bytes(1, 70_000), bytes(2, 12 << 20));
    let sum = |data: &[u8]| STANDARD.encode(tests::nginx::md5(data));
    let nginx = Nginx::start(&format!(
        "location = /md5/good {{ alias FILES/small; add_header Content-MD5 {:?}; }}
         location = /md5/stream {{ alias FILES/large; max_ranges 0; add_header Content-MD5 {:?}; }}",
        sum(&small),
        sum(&large),
    ));
    nginx.write("small", &small);
    nginx.write("large", &large);
    nginx.write("empty", b"");
    nginx.write("a b%20c?d", b"odd");
    let to = server(Dialect::Oss);
    let (url, home) = (nginx.url(), Home::new());
    let mut lines = String::new();
    let places = ["plain", "gzip", "noranges", "chunked", "old", "moved", "away", "nohead"];
    for place in places {
        for name in ["small", "large", "empty"] {
            writeln!(lines, "{url}/ {place}/{name}").unwrap();
        }
    }
    writeln!(lines, "{url}/plain/ a%20b%2520c%3Fd\n{url}/ md5/good\n{url}/ md5/stream").unwrap();
    job(&home, &lines, &Side::oss(&to.endpoint(), "bucket", ""), "", SMALL);
    home.import(0, &["--restart"]);
    let records = records(&home);
    for place in places {
        for (name, data) in [("small", &small), ("large", &large), ("empty", &Vec::new())] {
            let key = format!("{place}/{name}");
            let there = to.object("bucket", key.as_bytes()).unwrap_or_else(|| panic!("no {key}"));
            assert!(there.data == data[..], "{key}: {} bytes of {}", there.data.len(), data.len());
            let record = of(&records, &key);
            assert_eq!(
                (&record["size"], &record["proof"]),
                (&json!(data.len()), &json!("crc64ecma")),
                "{record}"
            );
            // Only a body that ends with the connection may have been cut unseen, and the record says so.
            let open = record["note"].as_str().unwrap().contains("neither a length");
            assert_eq!(open, place == "old" && name != "empty", "{record}");
        }
    }
    assert_eq!(to.object("bucket", b"a%20b%2520c%3Fd").unwrap().data, "odd");
    for key in ["md5/good", "md5/stream"] {
        assert_eq!(of(&records, key)["source_proved"], true, "{}", of(&records, key));
    }
    assert!(to.uploads("bucket").is_empty());
    // The same once more: what is there is left alone, where the server says a length; an audit finds all equal.
    let again = format!("{SMALL}skip_existing = true\n");
    job(&home, &lines, &Side::oss(&to.endpoint(), "bucket", ""), "", &again);
    home.import(0, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    // Four have no length before they are read.
    assert_eq!(stat["objects"]["skipped"], 27 - 4, "{stat}");
    let text = std::fs::read_to_string(home.path().join("conf/local_job.toml")).unwrap();
    home.write("conf/local_job.toml", &text.replace("\n[source]", "\ntype = \"audit\"\n[source]"));
    home.import(0, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["type"], &stat["objects"]["succeeded"]), (&json!("audit"), &json!(27)), "{stat}");
}

#[test]
fn what_cannot_be_read_fails_alone_with_what_the_server_said_and_its_list_is_the_next_job() {
    let nginx = Nginx::start(
        "location = /wrong/md5 { alias FILES/good; add_header Content-MD5 AAAAAAAAAAAAAAAAAAAAAA==; }",
    );
    nginx.write("good", b"content");
    let to = TempDir::new().unwrap();
    let (url, home) = (nginx.url(), Home::new());
    let lines = format!(
        "\u{feff}{url}/ plain/good\n\n{url}/ plain/missing\nhttp://me:hunter2@h/ secret\n{url}/ forbidden/x\n\
         only-one-column\n{url}/ busy/x\n{url}/ loop/x\n{url}/ out/x\n{url}/ wrong/md5\n{url}/ plain/good\n\
         {url}/plain/../ plain/good\r\nhttp://127.0.0.1:1/ dead\nftp://h/ x\n"
    );
    job(
        &home,
        &lines,
        &Side::local(to.path()),
        "",
        "[transfer]\nretries = 2\npatience = \"2s\"\ntimeout = \"5s\"\n",
    );
    let said = home.import(3, &["--restart"]);
    let records = records(&home);
    for (key, code, words) in [
        ("plain/missing", "SOURCE_GONE", "404"),
        ("forbidden/x", "ACCESS_DENIED", "403"),
        ("busy/x", "THROTTLED", "503"),
        ("loop/x", "DOWNLOAD_FAILED", "more than 10 times"),
        ("out/x", "DOWNLOAD_FAILED", "scheme"),
        ("wrong/md5", "CHECKSUM_NOT_MATCH", "content_md5"),
        ("dead", "DOWNLOAD_FAILED", "127.0.0.1:1"),
        ("http://***@h/ secret", "INVALID_NAME", "line 4"),
        ("only-one-column", "INVALID_NAME", "line 6"),
        ("ftp://h/ x", "INVALID_NAME", "line 14"),
    ] {
        let record = of(&records, key);
        assert_eq!(record["code"], code, "{record}");
        assert!(record["text"].as_str().unwrap().contains(words), "no {words:?} in {record}");
    }
    let clash = records.iter().find(|record| record["text"].as_str().unwrap().contains("line 12")).unwrap();
    assert!(clash["text"].as_str().unwrap().contains("line 1 gives the key \"plain/good\""), "{clash}");
    assert_eq!(std::fs::read(to.path().join("plain/good")).unwrap(), b"content");
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(
        (&stat["objects"]["succeeded"], &stat["objects"]["failed"]),
        (&json!(1), &json!(11)),
        "{stat}"
    );
    let warnings = stat["warnings"].to_string();
    assert!(
        warnings.contains("1 lines of the list repeat") && warnings.contains("name no object"),
        "{warnings}"
    );
    assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"));
    // What failed is a list for the next job.
    let mut list = String::new();
    for folder in std::fs::read_dir(home.path().join("master/jobs/local_test/failed_tasks")).unwrap() {
        list += &std::fs::read_to_string(folder.unwrap().path().join("error.list")).unwrap();
    }
    assert!(!list.contains("hunter2"));
    nginx.write("missing", b"found");
    let next = Home::new();
    let mended: String =
        list.lines().filter(|line| line.contains("missing")).map(|line| format!("{line}\n")).collect();
    job(&next, &mended, &Side::local(to.path()), "", "");
    next.import(0, &["--restart"]);
    assert_eq!(std::fs::read(to.path().join("plain/missing")).unwrap(), b"found");
}

#[test]
fn a_body_that_is_cut_is_never_taken_for_whole() {
    let large = bytes(3, 11 << 20);
    let nginx = Nginx::start("");
    for name in ["one", "two"] {
        nginx.write(name, &large);
    }
    let (proxy, to) = (Proxy::before(&nginx.url()), server(Dialect::S3));
    let home = Home::new();
    for (place, again) in [("plain", 2), ("noranges", 2), ("chunked", 2), ("chunked", 100)] {
        // The first answers end in the middle, in good order as far as TCP knows.
        let lines = format!("{0}/ {place}/one\n{0}/ {place}/two\n", proxy.endpoint());
        job(
            &home,
            &lines,
            &Side::s3(&to.endpoint(), "bucket", ""),
            "",
            &format!("{SMALL}retries = 3\ntimeout = \"5s\"\n"),
        );
        proxy.plan(Plan { skip: 0, times: again, trouble: Trouble::CutDown(3 << 20) });
        let said = home.run(&["--no-input", "import", "--restart"]);
        proxy.heal();
        let whole = again == 2;
        assert_eq!(said.code == 0, whole, "{place}: {}{}", said.out, said.err);
        for name in ["one", "two"] {
            let key = format!("{place}/{name}");
            let there = to.object("bucket", key.as_bytes());
            assert!(
                there.as_ref().is_none_or(|there| there.data == large[..]),
                "{key} is there and is not whole"
            );
            assert!(there.is_some() || !whole, "{key} is missing");
            to.remove("bucket", key.as_bytes());
        }
        assert!(to.uploads("bucket").is_empty(), "{place}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_mixed() {
    let (before, after) = (bytes(4, 20 << 20), bytes(5, 20 << 20));
    let nginx = Nginx::start("");
    nginx.write("changes", &before);
    let to = server(Dialect::Oss);
    // The second part hangs until the file is another one.
    to.plan(Fault {
        method: "PUT",
        contains: "partNumber=2".into(),
        skip: 0,
        times: 1,
        action: Action::Delay(Duration::from_secs(5)),
    });
    let home = Home::new();
    let more = format!("{SMALL}parts_in_flight = 1\nretries = 1\n");
    job(
        &home,
        &format!("{}/ plain/changes\n", nginx.url()),
        &Side::oss(&to.endpoint(), "bucket", ""),
        "",
        &more,
    );
    let mut running = home.spawn(&["--no-input", "import", "--restart"]);
    to.wait_for(|request| request.query.contains("partNumber=2"), 1).expect("the second part is sent");
    std::fs::write(nginx.files().join("changes.new"), &after).unwrap();
    std::fs::rename(nginx.files().join("changes.new"), nginx.files().join("changes")).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(3));
    let records = records(&home);
    assert_eq!(of(&records, "plain/changes")["code"], "SOURCE_CHANGED", "{records:?}");
    assert!(to.object("bucket", b"plain/changes").is_none() && to.uploads("bucket").is_empty());
}

#[test]
fn a_killed_import_goes_on_behind_the_lines_that_are_in_tasks() {
    let nginx = Nginx::start("");
    let to = server(Dialect::Oss);
    let mut lines = String::new();
    for at in 0..2000 {
        nginx.write(&format!("d/{at}"), format!("object {at}").as_bytes());
        let domain = if at < 1000 { nginx.url() } else { nginx.url().replace("127.0.0.1", "localhost") };
        writeln!(lines, "{domain}/plain/ d/{at}").unwrap();
    }
    let home = Home::new();
    job(&home, &lines, &Side::oss(&to.endpoint(), "bucket", ""), "", "[task]\nobject_count_limit = 300\n");
    for (round, puts) in [300, 1200].into_iter().enumerate() {
        let way = if round == 0 { "--restart" } else { "--resume" };
        let mut running = home.spawn(&["--no-input", "import", way]);
        to.wait_for(|request| request.method == "PUT", puts).expect("objects move");
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let before: Vec<Vec<u8>> =
        tests::crash::recorded(&home, "local_test").0.keys().map(|key| key.as_bytes().to_vec()).collect();
    assert!(!before.is_empty() && before.len() < 2000, "{} recorded", before.len());
    to.forget_requests();
    home.import(0, &["--resume"]);
    let moved_again =
        to.requests().into_iter().filter(|request| request.method == "PUT" && before.contains(&request.key));
    assert_eq!(moved_again.count(), 0);
    for at in 0..2000 {
        assert_eq!(to.object("bucket", format!("d/{at}").as_bytes()).unwrap().data, format!("object {at}"));
    }
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["succeeded"], 2000, "{stat}");
}

#[test]
fn lines_of_one_domain_stay_together_as_the_documented_example_says() {
    let home = Home::new();
    let nginx = Nginx::start("");
    for name in ["1", "2", "3", "4"] {
        nginx.write(name, b"x");
    }
    let (a, b) = (nginx.url(), nginx.url().replace("127.0.0.1", "localhost"));
    for (lines, tasks) in [
        (format!("{a}/plain/ 1\n{a}/plain/ 2\n{b}/plain/ 3\n{b}/plain/ 4\n"), 2),
        (format!("{a}/plain/ 1\n{b}/plain/ 2\n{a}/plain/ 3\n{b}/plain/ 4\n"), 4),
    ] {
        let to = TempDir::new().unwrap();
        job(&home, &lines, &Side::local(to.path()), "domain_requests_per_s = 50\n", "");
        home.import(0, &["--restart"]);
        assert_eq!(home.json(&["stat", "local_test"])["tasks"]["succeeded"], tasks);
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 4);
    }
}

#[test]
fn the_first_look_says_what_is_wrong_before_anything_starts() {
    let (home, to, nginx) = (Home::new(), TempDir::new().unwrap(), Nginx::start(""));
    nginx.write("there", b"x");
    let url = nginx.url();
    for (lines, of_source, words) in [
        (format!("{url}/plain/ gone\n{url}/plain/ gone-too\n"), "", "404"),
        (format!("{url}/plain/ there\n"), "path_column = 3", "path_column (3)"),
        ("http://127.0.0.1:1/ x\n".to_owned(), "", "127.0.0.1:1"),
    ] {
        job(&home, &lines, &Side::local(to.path()), of_source, "");
        let said = home.run(&["--no-input", "import", "--restart"]);
        assert!(said.code != 0 && said.err.contains(words), "no {words:?} in {}{}", said.out, said.err);
    }
    job_of(&home, "/nowhere/list", &Side::local(to.path()), "", "");
    assert!(home.import(2, &["--restart"]).err.contains("/nowhere/list"));
    // One of the first lines is enough, and a list that can be read elsewhere.
    job(&home, &format!("{url}/plain/ gone\n{url}/plain/ there\n"), &Side::local(to.path()), "", "");
    home.import(3, &["--restart"]);
    assert_eq!(std::fs::read(to.path().join("there")).unwrap(), b"x");
}

#[test]
fn a_list_of_a_million_lines_takes_no_more_memory_than_a_short_one() {
    let lines: u64 = std::env::var("BRIGADE_LINES").map_or(1_000_000, |text| text.parse().unwrap());
    let (home, to, nginx) = (Home::new(), TempDir::new().unwrap(), Nginx::start(""));
    nginx.write("photos/0", b"x");
    let path = home.path().join("list.txt");
    let mut list = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for at in 0..lines {
        // One in ten thousand is bad, one in ten thousand repeats an earlier one.
        match at % 10_000 {
            17 => writeln!(list, "bad-{at}").unwrap(),
            18 => writeln!(list, "{}/plain/ photos/{}", nginx.url(), at - 10).unwrap(),
            _ => writeln!(list, "{}/plain/ photos/{at}", nginx.url()).unwrap(),
        }
    }
    list.flush().unwrap();
    job_of(&home, &path.display().to_string(), &Side::local(to.path()), "", "");
    let Some(group) = Group::with_memory(192 << 20) else {
        println!("NOT TESTED: a memory limit needs a control group, and only root makes one");
        return;
    };
    let mut command = group.enter(&home.command(&["--output", "json", "plan"]));
    let out = std::fs::File::create(home.path().join("plan.json")).unwrap();
    let mut child = command.stdout(out).stderr(std::process::Stdio::null()).spawn().unwrap();
    let peak = group.watch(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    println!("{lines} lines: peak {} MiB", peak.resident >> 20);
    assert!(peak.killed == 0 && peak.resident < 160 << 20, "{peak:?}");
    let plan: Value =
        serde_json::from_str(&std::fs::read_to_string(home.path().join("plan.json")).unwrap()).unwrap();
    let odd = lines.div_ceil(10_000);
    assert_eq!(
        (&plan["objects"], &plan["bytes"]),
        (&json!(lines - odd), &Value::Null),
        "{}",
        plan["warnings"]
    );
}
