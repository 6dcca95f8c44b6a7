//! Azure Blob as source and destination, on the vendor's emulator, compared by the vendor's library.

use serde_json::Value;
use tempfile::TempDir;
use tests::azurite::{Azurite, Busy, account_key};
use tests::family::{Dialect, Object, Server};
use tests::home::Home;
use tests::proxy::{Plan, Proxy, Trouble};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::{Side, python, script};

const PARTS: &str = "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";
/// 300 objects: awkward keys that both ends hold, all content headers, metadata, sizes around each threshold.
const TRAVEL: &str = "travel:300";
/// What Azure cannot hold of the awkward keys: it would change them.
const NOT_AZURE: [&str; 9] =
    [".", "..", "../x", "a/../b", "a/./b", "back\\slash", "control-\u{1}-char", "newline\nkey", "tab\tkey"];

fn azurite() -> (Azurite, Side) {
    let server = Azurite::start();
    let side = Side::azure(&server.endpoint(), "bucket", "");
    // Makes the container.
    side.seed("small:0");
    (server, side)
}

fn strict(dialect: Dialect) -> (Server, Side) {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let endpoint = server.endpoint();
    let side = match dialect {
        Dialect::Oss => Side::oss(&endpoint, "bucket", ""),
        _ => Side::s3(&endpoint, "bucket", ""),
    };
    (server, side)
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}

/// The proofs by which a job's objects were recorded, of those in parts and of the others.
fn proofs(home: &Home) -> (Vec<String>, Vec<String>) {
    let records = home.report("local_test");
    let records = records.iter().filter(|record| record["outcome"] == "succeeded");
    let (large, small): (Vec<&Value>, Vec<&Value>) =
        records.partition(|record| record["size"].as_u64().unwrap_or(0) > 5 << 20);
    let names = |records: Vec<&Value>| {
        let mut names: Vec<String> = records.iter().map(|r| text(r, "proof").to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    (names(large), names(small))
}

fn import(from: &Side, to: &Side, code: i32) -> Home {
    let home = Home::new();
    home.job(from, to, PARTS);
    home.import(code, &["--restart"]);
    home.must_not_hold_the_secret();
    home
}

#[test]
fn s3_to_azure_and_on_to_oss_s3_and_local_with_nothing_changed() {
    let ((_azurite, azure), (_s3, s3)) = (azurite(), strict(Dialect::S3));
    s3.seed(TRAVEL);
    let home = import(&s3, &azure, 0);
    // The service states the CRC of each block, and the MD5 of what came whole.
    assert_eq!(proofs(&home), (vec!["crc64nvme".to_owned()], vec!["content_md5".to_owned()]));
    azure.must_equal(TRAVEL);
    let (_server, back) = strict(Dialect::S3);
    import(&azure, &back, 0);
    back.must_equal(TRAVEL);
    let tree = TempDir::new().unwrap();
    import(&azure, &Side::local(tree.path()), 3);
    let long = format!("{}/{}", "k".repeat(1000), "l".repeat(22));
    // A directory that holds something is no key in a tree.
    let absent: Vec<String> = ["a//b", "with-content/", "/a", "dir/", &long].map(str::to_owned).to_vec();
    Side::local(tree.path()).must_equal_without(TRAVEL, &absent, true);
}

#[test]
fn oss_to_azure_with_nothing_changed() {
    let plan = format!("{TRAVEL}:oss");
    let ((_azurite, azure), (_oss, oss)) = (azurite(), strict(Dialect::Oss));
    oss.seed(&plan);
    import(&oss, &azure, 0);
    azure.must_equal(&plan);
}

#[test]
fn names_that_azure_would_change_fail_alone_and_names_of_metadata_that_it_cannot_hold_are_told() {
    let ((_azurite, azure), (server, s3)) = (azurite(), strict(Dialect::S3));
    s3.seed("awkward");
    let mut named = tests::family::Object::new(b"x".to_vec());
    named.headers.push(("x-amz-meta-owner-id".into(), "7".into()));
    named.headers.push(("expires".into(), "Wed, 21 Oct 2026 07:28:00 GMT".into()));
    server.insert("bucket", b"named", named);
    let home = import(&s3, &azure, 3);
    let records = home.report("local_test");
    let mut failed: Vec<(&str, &str)> = records
        .iter()
        .filter(|record| record["outcome"] == "failed")
        .map(|record| (text(record, "key"), text(record, "code")))
        .collect();
    failed.sort();
    let mut wanted: Vec<(&str, &str)> = NOT_AZURE.iter().map(|key| (*key, "INVALID_NAME")).collect();
    wanted.sort();
    assert_eq!(failed, wanted);
    let record = records.iter().find(|record| text(record, "key") == "named").unwrap().to_string();
    assert!(
        record.contains("metadata owner-id: it is named owner_id") && record.contains("expires"),
        "{record}"
    );
}

#[test]
fn a_killed_upload_goes_on_with_the_blocks_that_are_there() {
    let ((azurite, azure), (_s3, s3)) = (azurite(), strict(Dialect::S3));
    s3.seed("big:1:104857600");
    let proxy = Proxy::before(&azurite.host());
    let through = Side::azure(&format!("{}/{ACCESS_KEY}", proxy.endpoint()), "bucket", "");
    let home = Home::new();
    home.job(&s3, &through, &format!("{PARTS}parts_in_flight = 1\n"));
    let dies = format!("{}#12", proto::breakpoint::PART_UPLOADED);
    let args = ["--no-input", "import", "--restart"];
    let died = home.command(&args).env("BRIGADE_BREAKPOINT", dies).output().unwrap();
    assert!(!died.status.success(), "it dies with 12 of 20 blocks there");
    let sent = || proxy.sent().iter().map(|(_, bytes)| bytes).sum::<u64>();
    let before = sent();
    home.import(0, &["--resume"]);
    let after = sent() - before;
    // Eight blocks were not there, and the twelfth was not saved as there.
    assert!(after < 50 << 20, "{after} of 104857600 bytes were sent after it");
    azure.must_equal("big:1:104857600");
    assert_eq!(proofs(&home).0, ["crc64nvme"]);
}

#[test]
fn a_service_that_is_busy_and_connections_that_break_cost_no_object() {
    let (azurite, azure) = azurite();
    let tree = TempDir::new().unwrap();
    let from = Side::local(tree.path());
    from.seed("faults:60");
    let busy = Busy::before(&azurite.host());
    let home = Home::new();
    home.job(&from, &Side::azure(&busy.endpoint(), "bucket", ""), PARTS);
    // The first look at both ends passes; then nothing does, until so many were refused.
    busy.refuse(1, 40);
    home.import(0, &["--restart"]);
    assert_eq!(busy.refused(), 40);
    azure.must_equal_bare("faults:60");

    // And from there, through a proxy that resets and cuts.
    let proxy = Proxy::before(&azurite.host());
    let through = Side::azure(&format!("{}/{ACCESS_KEY}", proxy.endpoint()), "bucket", "");
    for (skip, trouble) in
        [(3, Trouble::ResetDown(100)), (1, Trouble::CutDown(900)), (1, Trouble::ResetUp(200))]
    {
        proxy.plan(Plan { skip, times: 2, trouble });
    }
    let to = TempDir::new().unwrap();
    import(&through, &Side::local(to.path()), 0);
    Side::local(to.path()).must_equal_bare("faults:60");
    assert!(proxy.troubled() >= 2, "{} connections met trouble", proxy.troubled());
}

/// What the vendor's library does, by a script.
fn library(side: &Azurite, verb: &str) -> String {
    let output = python()
        .arg(script("azure_world.py"))
        .args([verb, &side.endpoint(), ACCESS_KEY, &account_key()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn append_and_page_blobs_are_read_snapshots_are_not_and_an_archived_one_is_said() {
    let (azurite, azure) = azurite();
    library(&azurite, "kinds");
    let to = TempDir::new().unwrap();
    let home = import(&azure, &Side::local(to.path()), 3);
    let read = |name: &str| std::fs::read(to.path().join(name)).unwrap();
    assert_eq!(read("append"), b"first second");
    assert_eq!(read("page"), vec![b'p'; 512]);
    assert_eq!(read("snapped"), b"now");
    assert!(to.path().join("folder").is_dir() && read("folder/in") == b"in");
    let records = home.report("local_test");
    let failed: Vec<_> = records.iter().filter(|record| record["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((text(failed[0], "key"), text(failed[0], "code")), ("cold", "ARCHIVED"));
    assert_eq!(records.iter().filter(|record| record["outcome"] == "succeeded").count(), 5);
}

#[test]
fn an_archived_blob_is_asked_for_once_and_moved_when_it_can_be_read() {
    let (azurite, azure) = azurite();
    library(&azurite, "kinds");
    let (to, home) = (TempDir::new().unwrap(), Home::new());
    let source = azure.section("source") + "on_archived = \"restore\"\nrestore_tier = \"expedited\"\n";
    let destination = Side::local(to.path()).section("destination");
    home.write("conf/local_job.toml", &format!("name = \"local_test\"\n{source}{destination}"));
    let mut import = home.command(&["--no-input", "import", "--restart"]);
    let done = import.env("BRIGADE_LOOK_MS", "100").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read(to.path().join("cold")).unwrap(), b"cold");
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["state"], &stat["objects"]["succeeded"]), (&"succeeded".into(), &6.into()), "{stat}");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("restore 1"), "{said}");
}

#[test]
fn an_audit_reads_what_only_its_writer_vouches_for() {
    let ((azurite, azure), (server, s3)) = (azurite(), strict(Dialect::S3));
    library(&azurite, "claims");
    for name in ["good", "forged"] {
        // Stored with an ETag that is its MD5, and with no CRC.
        let object = Object { without_checksum: true, ..Object::new(b"content".to_vec()) };
        server.insert("bucket", name.as_bytes(), object);
    }
    let home = Home::new();
    home.job(&s3, &azure, "type = \"audit\"\n");
    home.import(3, &["--restart"]);
    let records = home.report("local_test");
    let of = |key: &str| records.iter().find(|record| text(record, "key") == key).unwrap();
    assert_eq!(text(of("forged"), "code"), "CHECKSUM_NOT_MATCH", "{}", of("forged"));
    assert_eq!(text(of("good"), "proof"), "readback", "{}", of("good"));
}

/// An import from there with these keys in place of the account's, which is refused or not.
fn with_keys(side: &Azurite, container: &str, keys: &str) -> tests::home::Said {
    let to = TempDir::new().unwrap();
    let home = Home::new();
    let text = format!(
        "name = \"local_test\"\n[source]\ntype = \"azure\"\nbucket = {container:?}\n{}\n{}",
        keys.replace("ENDPOINT", &side.endpoint()),
        Side::local(to.path()).section("destination")
    );
    home.write("conf/local_job.toml", &text);
    home.run(&["--no-input", "import", "--restart"])
}

#[test]
fn every_way_to_sign_in_and_what_is_said_when_it_is_wrong() {
    let (azurite, azure) = azurite();
    azure.seed("small:3");
    let at = "endpoint = \"ENDPOINT\"\n";
    let good = [
        format!("{at}secret_key = \"${{BRIGADE_TEST_AZURE_KEY}}\""),
        format!("{at}sas_token = \"?{}\"", library(&azurite, "sas")),
        format!(
            "connection_string = \"BlobEndpoint=ENDPOINT;AccountName={ACCESS_KEY};AccountKey={}\"",
            account_key()
        ),
        format!(
            "connection_string = \"BlobEndpoint=ENDPOINT;SharedAccessSignature={}\"",
            library(&azurite, "sas")
        ),
    ];
    for keys in &good {
        let said = with_keys(&azurite, "bucket", keys);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let anonymous = with_keys(&azurite, "public", &format!("{at}anonymous = true"));
    assert_eq!(anonymous.code, 2, "{}", anonymous.err);
    library(&azurite, "public");
    let anonymous = with_keys(&azurite, "public", &format!("{at}anonymous = true"));
    assert_eq!(anonymous.code, 0, "{}", anonymous.err);

    let wrong_key = "c29tZXRoaW5nIGVsc2U=";
    for (container, keys, words) in [
        ("bucket", format!("{at}secret_key = \"{wrong_key}\""), vec!["failed to authenticate", "access_key"]),
        ("bucket", format!("{at}secret_key = \"no base64!\""), vec!["secret_key", "base64"]),
        ("no-such-container", good[0].clone(), vec!["no-such-container", "ContainerNotFound"]),
        ("No_Container", good[0].clone(), vec!["no name of a container"]),
        ("bucket", format!("{at}sas_token = \"sv=1&se=2020-01-01T00:00:00Z&sig=x\""), vec!["run out"]),
        ("bucket", format!("{at}sas_token = \"sv=1&se=2090-01-01\""), vec!["no sig="]),
        (
            "bucket",
            format!("{at}sas_token = \"{}\"", library(&azurite, "forged")),
            vec!["failed to authenticate"],
        ),
        ("bucket", "connection_string = \"AccountName=x\"".to_owned(), vec!["neither AccountKey"]),
        (
            "bucket",
            "endpoint = \"https://a.blob.core.windows.net/c?sv=1&sig=x\"".to_owned(),
            vec!["sas_token"],
        ),
        (
            "bucket",
            "endpoint = \"https://a.blob.core.windows.net/c\"".to_owned(),
            vec!["belongs into bucket"],
        ),
        (
            "bucket",
            "endpoint = \"https://a.dfs.core.windows.net\"".to_owned(),
            vec!["a.blob.core.windows.net"],
        ),
        ("bucket", "secret_key = \"aGk=\"".to_owned(), vec!["access_key = \"ACCOUNT\""]),
    ] {
        let said = with_keys(&azurite, container, &keys);
        assert_eq!(said.code, 2, "{keys}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "no {word:?} in: {}", said.err);
        }
    }
}

#[test]
fn a_signature_that_runs_out_in_the_middle_pauses_the_job_and_fails_no_object() {
    let (azurite, azure) = azurite();
    azure.seed("small:400");
    let to = TempDir::new().unwrap();
    let home = Home::new();
    let file = home.path().join("sas.txt");
    let text = format!(
        "name = \"local_test\"\n[source]\ntype = \"azure\"\nendpoint = {:?}\nbucket = \"bucket\"\nsas_token = {{ file = {file:?} }}\n{}[transfer]\nretries = 2\nrequests_per_s = 20\n",
        azurite.endpoint(),
        Side::local(to.path()).section("destination")
    );
    home.write("conf/local_job.toml", &text);
    home.write("sas.txt", &library(&azurite, "short"));
    let said = home.run(&["--no-input", "import", "--restart"]);
    assert_ne!(said.code, 0, "it ran out: {}{}", said.out, said.err);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(
        (stat["state"].as_str(), stat["objects"]["failed"].as_u64()),
        (Some("paused"), Some(0)),
        "{stat}"
    );
    let reason = stat.to_string();
    assert!(reason.contains("the shared access signature ran out at"), "{reason}");
    home.write("sas.txt", &library(&azurite, "sas"));
    let quick = text.replace("requests_per_s = 20", "requests_per_s = 0");
    home.write("conf/local_job.toml", &quick);
    home.import(0, &["--resume"]);
    Side::local(to.path()).must_equal_bare("small:400");
}
