//! What is printed loads to the same.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{job_text, sys_text};
use crate::carry::Carry;
use crate::job::{Addressing, Endpoint, EndpointType, JobConf, JobKind, TaskConf, TransferConf, Verify};
use crate::rename::Rename;
use crate::secret::Secret;
use crate::sys::SysConf;
use crate::{keys, load};

fn loaded<T>(text: &str, read: impl Fn(&std::path::Path) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, text).unwrap();
    read(&path)
}

fn secrets() -> impl Strategy<Value = Secret> {
    prop_oneof![
        "[ -~]{1,20}".prop_filter("not a variable", |text| !text.starts_with("${")).prop_map(Secret::Literal),
        "[A-Z][A-Z0-9_]{0,8}".prop_map(Secret::Env),
        "/[a-z\"' ]{1,9}".prop_map(|path| Secret::File(PathBuf::from(path))),
    ]
}

fn services(side: &'static str) -> impl Strategy<Value = Endpoint> {
    let kinds = prop_oneof![Just(EndpointType::Oss), Just(EndpointType::S3)];
    let keys = prop_oneof![Just(None), (secrets(), secrets(), secrets()).prop_map(Some)];
    let addressing = prop_oneof![Just(Addressing::Auto), Just(Addressing::Path), Just(Addressing::Virtual)];
    let encryption = prop_oneof![Just(""), Just("AES256")];
    let marks = (any::<bool>(), any::<bool>(), 1..=1000u32, prop_oneof![Just(1u8), Just(4u8)]);
    (kinds, "[b-z]{3,9}", any::<String>(), keys, addressing, encryption, marks).prop_map(
        move |(kind, bucket, prefix, keys, addressing, encryption, (one, two, list_page, version))| {
            let writes = side == "destination";
            let bare = prefix.trim_start_matches(['/', '\\']).chars().take(200).collect();
            let mut end = Endpoint {
                kind,
                endpoint: format!("http://{side}.example.com:9000"),
                region: "some-region".into(),
                bucket: format!("{side}{bucket}"),
                prefix: bare,
                addressing,
                list_page,
                anonymous: keys.is_none() && one,
                signature_version: if kind == EndpointType::Oss { version } else { 4 },
                ca_file: two.then(|| PathBuf::from("/etc/a b.pem")),
                proxy: if two { "http://u:p@proxy:3128".into() } else { String::new() },
                storage_class: if writes && one { "IA".into() } else { String::new() },
                server_side_encryption: if writes { encryption.into() } else { String::new() },
                forbid_overwrite: writes && two,
                key_list: (!writes && one).then(|| PathBuf::from("/a/list of keys")),
                ..Endpoint::default()
            };
            if let Some((access, secret, token)) = keys {
                (end.access_key, end.secret_key, end.session_token) = (access, secret, token);
            }
            end
        },
    )
}

fn ends(side: &'static str) -> impl Strategy<Value = Endpoint> {
    let local = (any::<bool>(), 1..=1000u32).prop_map(move |(follow, list_page)| Endpoint {
        path: PathBuf::from(format!("/{side} directory")),
        prefix: if follow { "a b/c".into() } else { String::new() },
        follow_symlinks: follow && side == "source",
        list_page,
        ..Endpoint::default()
    });
    let youpai = (secrets(), secrets(), any::<bool>(), 1..=1000u32).prop_map(
        move |(access_key, secret_key, cdn, list_page)| Endpoint {
            kind: EndpointType::Youpai,
            endpoint: "https://v1.api.upyun.com".into(),
            bucket: format!("{side}-service"),
            access_key,
            secret_key,
            cdn_domain: if cdn && side == "source" { "http://cdn.example.com".into() } else { String::new() },
            list_page,
            ..Endpoint::default()
        },
    );
    prop_oneof![local, services(side), youpai]
}

fn transfers() -> impl Strategy<Value = TransferConf> {
    let verify = prop_oneof![Just(Verify::Checksum), Just(Verify::Size), Just(Verify::Full)];
    let sizes = ((1u64 << 20)..=(5 << 30), (5u64 << 20)..=(5 << 30), 0..=u64::MAX >> 2, 0..=u64::MAX >> 2);
    let numbers = (1..=64u32, 1..=100u32, 1000..=3_600_000u64);
    (sizes, numbers, verify, any::<[bool; 5]>()).prop_map(|(sizes, numbers, verify, switches)| {
        let [skip_existing, abort_on_unknown_error, record_md5, record_mtime, directory_markers] = switches;
        TransferConf {
            multipart_threshold: sizes.0,
            part_size: sizes.1,
            parts_in_flight: numbers.0,
            skip_existing,
            verify,
            retries: numbers.1,
            abort_on_unknown_error,
            record_md5,
            record_mtime,
            directory_markers,
            timeout: Duration::from_millis(numbers.2),
            patience: Duration::from_millis(numbers.2),
            bytes_per_s: sizes.2,
            requests_per_s: sizes.3,
            carry: Carry::default(),
        }
    })
}

fn jobs() -> impl Strategy<Value = JobConf> {
    let task = (1..=50_000u32, 1..=1u64 << 60, 1..=64u32, 0..=16u32);
    let top = (
        "[a-zA-Z0-9_-]{4,128}",
        any::<bool>(),
        0..=4_000_000_000i64,
        900_000..=9_000_000_000u64,
        -100..=100i32,
    );
    let rule = ("[a-z]{1,4}[.*+]?|\\^\\(x\n\"'\\)", "[a-z\"'\n ]{0,4}");
    let rename = proptest::collection::vec(rule.prop_map(|(pattern, to)| Rename { pattern, to }), 0..3);
    (top, ends("source"), ends("destination"), task, transfers(), rename).prop_map(
        |(top, source, destination, task, transfer, rename)| {
            let (name, switch, since, interval, priority) = top;
            JobConf {
                name,
                kind: if switch { JobKind::Audit } else { JobKind::Import },
                since,
                incremental: switch,
                interval: Duration::from_millis(interval),
                priority,
                source,
                destination,
                task: TaskConf {
                    object_count_limit: task.0,
                    object_size_limit: task.1,
                    scan_threads: task.2,
                    scan_depth: task.3,
                },
                transfer,
                rename,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_printed_job_loads_to_the_same(job in jobs()) {
        let text = job_text(&job);
        match loaded(&text, load::job) {
            Ok(checked) => assert_eq!(checked.value, job, "{text}"),
            Err(problems) => panic!("{problems:?}\n{text}"),
        }
    }

    #[test]
    fn printed_system_parameters_load_to_the_same(
        numbers in (1..=4096u32, 0..=u64::MAX >> 2, 0..=u64::MAX >> 2, (8u64 << 20)..=(1 << 50), 1000..=3_600_000u64, 1..=65_535u16, 0..=65_535u16),
        user in "[a-z]{0,8}",
    ) {
        let sys = SysConf {
            master_address: ([127, 0, 0, 1], numbers.6).into(),
            tracker_address: ([127, 0, 0, 7], numbers.5).into(),
            task_threads: numbers.0,
            worker_bytes_per_s: numbers.1,
            worker_requests_per_s: numbers.2,
            cluster_bytes_per_s: numbers.2,
            cluster_requests_per_s: numbers.1,
            memory_limit: numbers.3,
            lease: Duration::from_millis(numbers.4),
            log_level: "warn,storage=trace".into(),
            private_key_file: if user.is_empty() { String::new() } else { format!("/home/{user}/.ssh/id") },
            worker_user: user,
            ssh_port: numbers.5,
        };
        let text = sys_text(&sys);
        assert_eq!(loaded(&text, load::sys).unwrap().value, sys, "{text}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_valid_form() {
    let job = JobConf {
        name: "default".into(),
        kind: JobKind::Import,
        since: 0,
        incremental: false,
        interval: Duration::from_secs(86_400),
        priority: 0,
        source: Endpoint::default(),
        destination: Endpoint::default(),
        task: TaskConf::default(),
        transfer: TransferConf::default(),
        rename: Vec::new(),
    };
    let live = |text: &str| {
        let lines = text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        live(&job_text(&job)),
        ["name = \"default\"", "type = \"import\"", "type = \"local\"", "type = \"local\""]
    );
    assert_eq!(live(&sys_text(&SysConf::default())), [] as [&str; 0]);
    for section in keys::JOB.iter().chain(keys::SYS) {
        assert!(section.1.iter().all(|key| !key.meaning.is_empty()));
    }
}
