//! A bucket full of names that want out, and services that lie: nothing leaves a local root, nothing breaks a
//! terminal, a log or a table, nothing that was secret is told, and every list can be used again.

mod liar;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use liar::{Liar, header, reply};
use proto::ObjectKey;
use tempfile::TempDir;
use tests::discreet::must_be_harmless;
use tests::family::{Action, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

/// Names that mean something to a spreadsheet, a shell, a terminal, a reader of lines, or a path.
const NAMES: [&str; 40] = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "＝1",
    "\t=1",
    "\"quoted\",cell",
    "'",
    ",",
    ";",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{7f}",
    "\u{202e}gpj.exe",
    "\u{2066}a\u{2069}b",
    "\u{200f}x",
    "\u{2028}line",
    "\u{85}next",
    "\u{feff}bom",
    "%41",
    "%",
    "%%",
    "%zz",
    "${HOME}",
    "$(touch x)",
    "`touch x`",
    "a\\..\\b",
    "C:\\x",
    " lead",
    "trail ",
    "nfc-\u{e9}",
    "nfd-e\u{301}",
    "<script>",
    "&amp;",
    "{\"key\":1}",
    "#comment",
];

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

/// Everything below the folder that is text for people.
fn texts(folder: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, ending, found);
        } else if path.display().to_string().ends_with(ending) {
            let text = std::fs::read(&path).unwrap();
            let text = String::from_utf8(text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn names_that_mean_something_elsewhere_fail_and_are_listed_without_harm_and_byte_for_byte() {
    let (from, to) = (server(Dialect::S3), server(Dialect::S3));
    for name in NAMES {
        from.insert("bucket", name.as_bytes(), Object::new(name.to_owned()));
    }
    let (source, destination) =
        (Side::s3(&from.endpoint(), "bucket", ""), Side::s3(&to.endpoint(), "bucket", ""));
    let refused = Action::Status(403, "AccessDenied", None);
    to.plan(Fault { method: "PUT", contains: String::new(), skip: 0, times: 100_000, action: refused });
    let home = Home::new();
    // Each of them fails alone; the job does not stop because all do.
    home.job(&source, &destination, "");
    let said = home.run(&["--no-input", "-v", "import", "--restart"]);
    must_be_harmless("what the import said", &format!("{}{}", said.out, said.err), &['\n']);
    if home.json(&["stat", "local_test"])["state"] == "paused" {
        to.heal();
        home.import(0, &["--resume"]);
        panic!("the job paused: {}", said.err);
    }
    assert_eq!(said.code, 3, "{}", said.err);

    let csv = home.expect(0, &["report", "local_test", "--format", "csv"]).out;
    must_be_harmless("the table", &csv, &['\n', '\r']);
    assert_eq!(csv.matches("\r\n").count(), csv.matches('\n').count());
    // The certificate and the names of the columns come first.
    assert_eq!(csv.lines().count(), 2 + NAMES.len(), "{csv}");
    for cell in csv.lines().skip(2).flat_map(|line| line.split("\",\"")) {
        let cell = cell.rsplit(",\"").next().unwrap_or(cell);
        assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@', '＝']), "{cell}");
    }
    let json = home.expect(0, &["report", "local_test", "--format", "jsonl"]).out;
    must_be_harmless("the report", &json, &['\n']);

    let (mut lists, mut logs) = (Vec::new(), Vec::new());
    texts(&home.path().join("master/jobs"), "error.list", &mut lists);
    texts(&home.path().join("master/jobs"), "audit.log", &mut logs);
    texts(&home.path().join("logs"), ".log", &mut logs);
    assert!(!lists.is_empty() && logs.len() >= 2);
    logs.iter().chain(&lists).for_each(|(path, text)| must_be_harmless(path, text, &['\n', '\t']));
    lists.iter().for_each(|(path, text)| must_be_harmless(path, text, &['\n']));
    let lines: String = lists.iter().map(|(_, text)| text.as_str()).collect();
    let mut listed: Vec<Vec<u8>> =
        lines.lines().map(|line| ObjectKey::from_line(line).as_bytes().to_vec()).collect();
    listed.sort();
    assert_eq!(listed, from.keys("bucket"));

    // The list is a list of keys again.
    to.heal();
    let again = Home::new();
    again.write("keys.txt", &lines);
    let list = format!("key_list = {:?}\n", again.path().join("keys.txt").display().to_string());
    let text = format!(
        "name = \"local_test\"\n{}{list}{}",
        source.section("source"),
        destination.section("destination")
    );
    again.write("conf/local_job.toml", &text);
    again.import(0, &["--restart"]);
    assert_eq!(to.keys("bucket"), from.keys("bucket"));
    for name in NAMES {
        assert_eq!(&to.object("bucket", name.as_bytes()).unwrap().data[..], name.as_bytes(), "{name:?}");
    }
}

#[test]
fn a_link_in_a_local_root_leads_nowhere() {
    let from = server(Dialect::S3);
    for key in ["link/x", "link/deep/x", "file", "dead", "fine", ".brigade-0011223344556677.tmp"] {
        from.insert("bucket", key.as_bytes(), Object::new("new"));
    }
    let (outer, root) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::write(outer.path().join("secret"), "old").unwrap();
    symlink(outer.path(), root.path().join("link")).unwrap();
    symlink(outer.path().join("secret"), root.path().join("file")).unwrap();
    symlink(outer.path().join("not-there"), root.path().join("dead")).unwrap();
    let home = Home::new();
    home.job(&Side::s3(&from.endpoint(), "bucket", ""), &Side::local(root.path()), "");
    home.import(3, &["--restart"]);
    assert_eq!(std::fs::read_to_string(outer.path().join("secret")).unwrap(), "old");
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "something was written through a link");
    assert_eq!(std::fs::read_to_string(root.path().join("fine")).unwrap(), "new");
    let records = home.report("local_test");
    let failed: Vec<_> = records.iter().filter(|record| record["outcome"] == "failed").collect();
    assert!(failed.iter().all(|record| record["code"] == "INVALID_NAME"), "{failed:?}");
    // A link in the place of a file is replaced by the file, not followed.
    for name in ["file", "dead"] {
        let path = root.path().join(name);
        let replaced = path.symlink_metadata().unwrap().is_file();
        let refused = failed.iter().any(|record| record["key"] == name);
        assert!(replaced != refused, "{name}: replaced {replaced}, refused {refused}");
    }
}

/// Somebody who may write into the root swaps directories for links while the import runs.
#[test]
fn a_link_that_is_swapped_in_while_we_write_leads_nowhere() {
    let from = server(Dialect::S3);
    for at in 0..400 {
        from.insert("bucket", format!("d/e/{at:04}").as_bytes(), Object::new("new"));
    }
    let (outer, root) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (stop, dir, aside) = (AtomicBool::new(false), root.path().join("d"), root.path().join("aside"));
    let home = Home::new();
    home.job(&Side::s3(&from.endpoint(), "bucket", ""), &Side::local(root.path()), "");
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if std::fs::rename(&dir, &aside).is_ok() {
                    let _ = symlink(outer.path(), &dir);
                    std::thread::yield_now();
                    let _ = std::fs::remove_file(&dir);
                    let _ = std::fs::rename(&aside, &dir);
                }
                std::thread::yield_now();
            }
        });
        let said = home.run(&["--no-input", "import", "--restart"]);
        stop.store(true, Ordering::Relaxed);
        said
    });
    assert!([0, 1, 3].contains(&said.code), "{}: {}", said.code, said.err);
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0, "something was written through the link");
}

/// The service says back what it was sent, in every way that is hard to print.
#[test]
fn what_a_service_says_back_is_told_to_nobody_and_commands_nothing() {
    let from = server(Dialect::S3);
    for at in 0..5 {
        from.insert("bucket", format!("o-{at}").as_bytes(), Object::new("x"));
    }
    let echo = |head: &str| {
        let sent = header(head, "authorization");
        let message = format!(
            "\u{1b}[2J\u{202e}you sent {sent} {head} with {SECRET_KEY}\r\n{}",
            "long ".repeat(200_000)
        );
        let text = message.replace('&', "&amp;").replace('<', "&lt;");
        let body = format!("<Error><Code>Access\u{9b}Denied</Code><Message>{text}</Message></Error>");
        match head.starts_with("GET") {
            true => reply("200 OK", "", b"<ListBucketResult></ListBucketResult>"),
            false => reply("403 Forbidden", &format!("x-amz-request-id: {sent}\r\n"), body.as_bytes()),
        }
    };
    let liar = Liar::saying(echo);
    let home = Home::new();
    home.job(&Side::s3(&from.endpoint(), "bucket", ""), &Side::s3(&liar.endpoint(), "bucket", ""), "");
    let said = home.run(&["--no-input", "-v", "import", "--restart"]);
    assert_ne!(said.code, 0);
    let mut all = vec![("what was said".to_owned(), format!("{}{}", said.out, said.err))];
    all.push((
        "the table".into(),
        home.run(&["report", "local_test", "--format", "csv"]).out.replace('\r', ""),
    ));
    all.push(("stat".into(), home.run(&["stat", "local_test"]).out));
    texts(&home.path().join("master/jobs"), "audit.log", &mut all);
    texts(&home.path().join("logs"), ".log", &mut all);
    let signatures: Vec<String> = liar
        .heard()
        .iter()
        .filter_map(|head| {
            header(head, "authorization").rsplit_once("Signature=").map(|(_, end)| end.to_owned())
        })
        .collect();
    assert!(!signatures.is_empty());
    let told = all.iter().map(|(_, text)| text.as_str()).collect::<String>();
    assert!(told.contains("you sent ***"), "the test sees nothing: {told}");
    for (what, text) in &all {
        must_be_harmless(what, text, &['\n', '\t']);
        assert!(text.len() < 200_000, "{what} has {} bytes", text.len());
        let found = signatures.iter().find(|signature| text.contains(*signature));
        assert_eq!(found, None, "{what} tells a signature");
    }
}

#[test]
fn a_redirect_takes_no_request_to_another_host() {
    let elsewhere = Liar::saying(|_| reply("200 OK", "", b"<ListBucketResult></ListBucketResult>"));
    let target = format!("{}/bucket", elsewhere.endpoint());
    let liar =
        Liar::saying(move |_| reply("307 Temporary Redirect", &format!("Location: {target}\r\n"), b""));
    let root = TempDir::new().unwrap();
    let home = Home::new();
    home.job(&Side::s3(&liar.endpoint(), "bucket", ""), &Side::local(root.path()), "");
    let said = home.run(&["--no-input", "import", "--restart"]);
    assert_ne!(said.code, 0, "{}", said.out);
    assert!(!liar.heard().is_empty());
    assert_eq!(elsewhere.heard(), Vec::<String>::new());
}

/// An import from the liar fails with these words and writes nothing.
#[track_caller]
fn must_be_refused(liar: &Liar, words: &str) {
    let (root, home) = (TempDir::new().unwrap(), Home::new());
    let source = Side::s3(&liar.endpoint(), "bucket", "");
    home.job(&source, &Side::local(root.path()), "[transfer]\nretries = 2\n");
    let said = home.run(&["--no-input", "import", "--restart"]);
    assert_ne!(said.code, 0, "{}", said.out);
    assert!(said.err.contains(words), "{}", said.err);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_page_without_end_is_given_up_after_a_while() {
    static WRITTEN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let liar = Liar::start(Box::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>")?;
        let some = b"<Contents><Key>k</Key><Size>1</Size></Contents>".repeat(1_000);
        loop {
            stream.write_all(&some)?;
            WRITTEN.fetch_add(some.len() as u64, Ordering::Relaxed);
        }
    }));
    must_be_refused(&liar, "longer than");
    let (written, requests) = (WRITTEN.load(Ordering::Relaxed), liar.heard().len() as u64);
    assert!(written < requests * (40 << 20), "{written} bytes in {requests} answers");
}

/// Objects that cannot be: the listing says so, and nothing is counted wrong.
#[test]
fn a_listing_of_impossible_objects_is_refused() {
    for (key, size, words) in [
        ("k".to_owned(), u64::MAX, "no size"),
        ("k".to_owned(), 1 << 62, "no size"),
        ("k".repeat(1 << 20), 1, "a key of"),
    ] {
        let page = format!(
            "<ListBucketResult><Contents><Key>{key}</Key><Size>{size}</Size></Contents><Contents><Key>l{key}</Key>\
             <Size>{size}</Size></Contents></ListBucketResult>"
        );
        let liar = Liar::saying(move |_| reply("200 OK", "", page.as_bytes()));
        must_be_refused(&liar, words);
    }
}
