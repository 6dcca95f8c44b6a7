//! What travels with objects: everything comes back, or the record of its object names it; and what a job asks for.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::family::{Beside, Dialect, Object, Server};
use tests::home::Home;
use tests::random::Random;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

fn side(server: &Server, prefix: &str) -> Side {
    match server.dialect() {
        Dialect::Oss => Side::oss(&server.endpoint(), "bucket", prefix),
        _ => Side::s3(&server.endpoint(), "bucket", prefix),
    }
}

/// Imports, and gives the records by key.
fn import(from: &Side, to: &Side, more: &str) -> (Home, BTreeMap<String, Value>) {
    import_all_but(0, from, to, more)
}

/// The same with another exit code.
fn import_all_but(code: i32, from: &Side, to: &Side, more: &str) -> (Home, BTreeMap<String, Value>) {
    let home = Home::new();
    home.job(from, to, more);
    home.import(code, &["--restart"]);
    let lines = home.report("local_test").into_iter().skip(1);
    let records = lines.map(|line| (line["key"].as_str().unwrap_or_default().to_owned(), line)).collect();
    (home, records)
}

fn notes(record: &Value) -> Vec<String> {
    let notes = record["not_carried"].as_array().cloned().unwrap_or_default();
    notes.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A value of up to 40 signs, sometimes not ASCII, as S3 gives it back then.
fn value(random: &mut Random) -> String {
    let signs: &[char] = if random.below(3) == 0 {
        &['a', 'ß', '中', ' ', '%', '\u{1f600}', '"']
    } else {
        &['a', 'Z', '0', '-', '_', '%', '=', '"', ';', ',', '~']
    };
    let text: String =
        (0..1 + random.below(40)).map(|_| signs[random.below(signs.len() as u64) as usize]).collect();
    let text = text.trim().to_owned();
    if text.is_empty() { "x".to_owned() } else { text }
}

/// A key of up to 30 signs, and the number that makes it another one than all others.
fn key(random: &mut Random, number: usize) -> String {
    let signs: Vec<char> =
        "aZ09-_.~!*'()/\\ %+&=?#@:;,$<>[]{}|^`\"\t\u{1}\u{e9}中\u{301}\u{1f600}".chars().collect();
    let text: String =
        (0..random.below(30)).map(|_| signs[random.below(signs.len() as u64) as usize]).collect();
    format!("{text}{number}")
}

fn on_the_wire(text: &str) -> String {
    use base64::Engine;
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains("  ");
    if plain {
        text.to_owned()
    } else {
        format!("=?UTF-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(text))
    }
}

#[test]
fn keys_metadata_and_headers_go_from_s3_to_oss_and_back_or_their_records_name_them() {
    let (start, middle, end) = (server(Dialect::S3), server(Dialect::Oss), server(Dialect::S3));
    let mut random = Random::new(2026);
    let keys: Vec<String> = (0..200).map(|number| key(&mut random, number)).collect();
    for (number, key) in keys.iter().enumerate() {
        let mut object = Object::new(format!("content of {number}"));
        let mut headers = BTreeMap::new();
        for name in
            ["cache-control", "content-disposition", "content-language", "expires", "content-encoding"]
        {
            if random.below(3) == 0 {
                headers.insert(name.to_owned(), format!("{name}-{}", random.below(99)));
            }
        }
        headers.insert("content-type".to_owned(), "application/x-test".to_owned());
        for _ in 0..random.below(4) {
            let name = ["owner", "a_b", "a-b", "x.y", "team", "p0"][random.below(6) as usize];
            headers.insert(format!("x-amz-meta-{name}"), on_the_wire(&value(&mut random)));
        }
        object.headers = headers.into_iter().collect();
        start.insert("bucket", key.as_bytes(), object);
    }
    let (home, first) = import_all_but(3, &side(&start, ""), &side(&middle, ""), "");
    let (_, second) = import(&side(&middle, ""), &side(&end, ""), "");
    // OSS has no keys that begin so.
    let (refused, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.starts_with(['/', '\\']));
    assert!(refused.len() > 2, "{refused:?}");
    for key in refused {
        assert_eq!(first[&key]["code"], "INVALID_NAME", "{}", first[&key]);
        assert!(middle.object("bucket", key.as_bytes()).is_none(), "{key:?}");
    }
    assert_eq!(end.keys("bucket").len(), keys.len());
    let (mut named, mut same) = (0, 0);
    for key in keys {
        let [before, after] = [&start, &end].map(|server| server.object("bucket", key.as_bytes()).unwrap());
        assert_eq!(before.data, after.data, "{key:?}");
        let (before, after) = (before.headers, after.headers);
        let told = [notes(&first[&key]), notes(&second[&key])].concat();
        for (name, value) in &before {
            let bare = name.strip_prefix("x-amz-meta-").unwrap_or(name);
            if after.contains(&(name.clone(), value.clone())) {
                same += 1;
            } else {
                let names = |note: &String| note.split([' ', ':']).any(|word| word == bare);
                assert!(told.iter().any(names), "{key}: {name} {value:?} is lost: {after:?}, {told:?}");
                named += 1;
            }
        }
        let more = after.iter().filter(|(name, _)| before.iter().all(|(known, _)| known != name));
        let more: Vec<_> = more.filter(|(name, _)| name != "x-amz-meta-mtime").collect();
        assert!(more.is_empty() || !told.is_empty(), "{key} has {more:?} out of nothing");
    }
    assert!(named > 20 && same > 300, "{named} named, {same} the same");

    // Counted by property, and listed.
    let incomplete = first.values().filter(|record| !notes(record).is_empty()).count();
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["not_whole"], incomplete, "{stat}");
    assert_eq!(stat["not_carried"][0]["name"], "metadata", "{stat}");
    assert_eq!(stat["not_carried"][0]["objects"], incomplete, "{stat}");
    let listed = home.expect(0, &["report", "local_test", "--not-carried"]).out;
    assert_eq!(listed.lines().count(), 1 + incomplete);
    let said = home.expect(0, &["stat", "local_test"]).out;
    assert!(said.contains(&format!("not carried  of {incomplete} objects: metadata {incomplete}")), "{said}");
}

fn asked(server: &Server, query: &str) -> usize {
    server.requests().iter().filter(|request| request.query.contains(query)).count()
}

/// Small ones and one in parts, with tags and an access list each; a link; one of another class.
fn fill(server: &Server) {
    let mut random = Random::new(7);
    for number in 0..12 {
        let (key, size) = (format!("d/k{number}"), if number == 0 { 12 << 20 } else { 100 + number });
        let data: Vec<u8> = (0..size).map(|_| random.number() as u8).collect();
        let mut object = Object::new(data);
        if number == 3 {
            object.class = "IA".to_owned();
        }
        server.insert("bucket", format!("from/{key}").as_bytes(), object);
        let tags = vec![("team".to_owned(), format!("a b {number}")), ("Größe".to_owned(), String::new())];
        let acl = ["public-read", "private", "default"][number % 3].to_owned();
        server.set_beside("bucket", format!("from/{key}").as_bytes(), Beside { tags, acl });
    }
    let mut link = Object::new("from/d/k1");
    link.kind = "Symlink";
    server.insert("bucket", b"from/link", link);
}

#[test]
fn tags_access_lists_classes_links_and_markers_travel_where_they_are_asked_for() {
    let (from, to) = (server(Dialect::Oss), server(Dialect::Oss));
    fill(&from);
    let asks = "[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"\ncarry_tags = true\n\
                carry_acl = true\nsymlinks = \"carry\"\ndirectory_markers = \"create\"\n\
                storage_classes = { IA = \"Archive\" }\n";
    let (_, records) = import(&side(&from, "from/"), &side(&to, "to/"), asks);
    assert_eq!(records.len(), 13);
    for number in 0..12 {
        let key = |side: &str| format!("{side}/d/k{number}").into_bytes();
        assert!(notes(&records[&format!("d/k{number}")]).is_empty(), "{records:?}");
        let (before, mut after) = (from.beside("bucket", &key("from")), to.beside("bucket", &key("to")));
        if after.acl.is_empty() {
            after.acl = "default".to_owned();
        }
        assert_eq!(after, before, "{number}");
        let (before, after) = (from.object("bucket", &key("from")), to.object("bucket", &key("to")));
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(after.data, before.data);
        assert_eq!(after.class, if number == 3 { "Archive" } else { "Standard" });
    }
    let link = to.object("bucket", b"to/link").unwrap();
    assert_eq!((link.kind, &link.data[..]), ("Symlink", &b"to/d/k1"[..]));
    assert_eq!(records["link"]["proof"], "readback", "{}", records["link"]);
    assert!(to.object("bucket", b"to/d/").is_some(), "its marker was made");
    assert_eq!(
        (asked(&from, "tagging"), asked(&from, "acl"), asked(&from, "symlink")),
        (12, 13, 1),
        "a link has a list"
    );
}

#[test]
fn a_job_that_asks_for_none_of_it_sends_no_request_for_it() {
    let (from, to) = (server(Dialect::Oss), server(Dialect::S3));
    fill(&from);
    let (_, records) = import(&side(&from, "from/"), &side(&to, ""), "");
    assert_eq!(records.len(), 13);
    assert_eq!((asked(&from, "tagging"), asked(&from, "acl"), asked(&from, "symlink")), (0, 0, 0));
    assert_eq!(to.object("bucket", b"link").unwrap().data, from.object("bucket", b"from/d/k1").unwrap().data);
    assert!(to.object("bucket", b"d/").is_none());
    assert_eq!(to.beside("bucket", b"d/k1"), Beside::default());
}

#[test]
fn between_services_lists_and_tags_keep_their_meaning_or_are_named() {
    let (from, to) = (server(Dialect::S3), server(Dialect::Oss));
    for (key, acl, tag) in [("a", "public-read", "x"), ("b", "authenticated-read", "x@y"), ("c", "", "x")] {
        from.insert("bucket", key.as_bytes(), Object::new(key));
        let tags = vec![("t".to_owned(), tag.to_owned())];
        from.set_beside("bucket", key.as_bytes(), Beside { tags, acl: acl.to_owned() });
    }
    let asks = "[transfer]\ncarry_tags = true\ncarry_acl = true\n";
    let (_, records) = import(&side(&from, ""), &side(&to, ""), asks);
    let there = |key: &str| to.beside("bucket", key.as_bytes());
    assert_eq!((there("a").acl.as_str(), there("a").tags.len()), ("public-read", 1));
    assert_eq!((there("b").acl.as_str(), there("b").tags.len()), ("", 0));
    assert_eq!(there("c").acl, "private", "its list grants nothing to others");
    assert_eq!(notes(&records["b"]).len(), 2, "{}", records["b"]);
    assert!(notes(&records["a"]).is_empty() && notes(&records["c"]).is_empty());
}
