//! Every key of the configuration files, once: the readers check names against it, the nearest key is looked
//! for in it, `convert` writes its comments from it, and a test holds `docs/configuration.md` to it.

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Bytes: `"64MiB"`.
    Size,
    /// Bytes a second: `"50MiB/s"`.
    Rate,
    /// `"30s"`, `"15m"`.
    Duration,
    /// Unix seconds or RFC 3339.
    Time,
    /// A literal, `"${ENV}"` or `{ file = "…" }`.
    Secret,
    /// A path; a relative one is taken from the home directory.
    Path,
    /// `{ name = "text", … }`.
    Pairs,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A key of a TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name within the section.
    pub name: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// As it would be written; empty: none.
    pub default: &'static str,
    /// For people.
    pub meaning: &'static str,
}

/// The sections of a file with their keys; the first is the top level, without a name.
pub type Schema = &'static [(&'static str, &'static [Key])];

const fn key(name: &'static str, form: Form, default: &'static str, meaning: &'static str) -> Key {
    Key { name, form, default, meaning }
}

/// A job file.
pub const JOB: Schema = &[
    ("", JOB_TOP),
    ("source", ENDPOINT),
    ("destination", ENDPOINT),
    ("task", TASK),
    ("transfer", TRANSFER),
    ("rename", RENAME),
];

/// `sys.toml`.
pub const SYS: Schema = &[("", SYS_TOP), ("worker", SYS_WORKER), ("limits", SYS_LIMITS), ("ssh", SYS_SSH)];

const KINDS: Form = Form::Choice(&["import", "audit"]);
const TYPES: Form =
    Form::Choice(&["local", "oss", "s3", "cos", "azure", "bos", "ks3", "qiniu", "youpai", "http"]);
const ADDRESSING: Form = Form::Choice(&["auto", "path", "virtual"]);
/// Services of type `s3` that need settings of their own.
pub const PROVIDERS: &[&str] = &[
    "aws",
    "minio",
    "r2",
    "gcs",
    "obs",
    "tos",
    "ceph",
    "garage",
    "seaweedfs",
    "netease",
    "chinamobile",
    "us3",
];
const ON_ARCHIVED: Form = Form::Choice(&["fail", "skip", "restore"]);
const TIERS: Form = Form::Choice(&["expedited", "standard", "bulk"]);
const MARKERS: Form = Form::Choice(&["true", "false", "create"]);
const SYMLINKS: Form = Form::Choice(&["read", "carry"]);
const VERIFY: Form = Form::Choice(&["checksum", "size", "full"]);

const JOB_TOP: &[Key] = &[
    key(
        "name",
        Form::Text,
        "",
        "Unique name of the job: 4 to 128 of the characters a-z A-Z 0-9 _ -. Required.",
    ),
    key("type", KINDS, "\"import\"", "import moves and verifies, audit only verifies what is there."),
    key(
        "since",
        Form::Time,
        "0",
        "Only objects modified at or after this time; 0 is all. In an incremental job it holds for the first round only.",
    ),
    key("incremental", Form::Switch, "false", "Scan again after each round and move what is new or changed."),
    key(
        "interval",
        Form::Duration,
        "\"1d\"",
        "From the begin of one round to the begin of the next; at least 15m, below 1h is not recommended.",
    ),
    key("priority", Form::Number, "0", "A job with a higher number goes first; -100 to 100."),
];

const ENDPOINT: &[Key] = &[
    key(
        "type",
        TYPES,
        "\"oss\"",
        "The protocol. A source has to say it; a destination is oss when nothing is said.",
    ),
    key(
        "provider",
        Form::Choice(PROVIDERS),
        "",
        "s3: the service that speaks it, where its settings differ from Amazon's. Left out: known by the endpoint, or what it lacks is found out.",
    ),
    key(
        "endpoint",
        Form::Text,
        "",
        "Address of the service: no bucket and no path in it; https when there is no scheme. Left out: the service's own for the region or account.",
    ),
    key(
        "region",
        Form::Text,
        "",
        "Region that signs requests. Left out: taken from the endpoint; for s3 else us-east-1 (gcs, r2: auto; garage: garage).",
    ),
    key("bucket", Form::Text, "", "The bucket or container."),
    key(
        "prefix",
        Form::Text,
        "\"\"",
        "Objects below it; end it with / for a directory. What follows it is carried to the other side's prefix.",
    ),
    key("path", Form::Path, "", "local: the directory."),
    key(
        "access_key",
        Form::Secret,
        "\"\"",
        "Left out, with secret_key: the vendor's own credential chain (environment, profile, instance role) at oss, cos, azure and Amazon; environment and profile alone at servers of your own that speak S3; other services need both.",
    ),
    key(
        "secret_key",
        Form::Secret,
        "\"\"",
        "See access_key. Better \"${ENV}\" or { file = \"...\" } than the secret itself.",
    ),
    key("session_token", Form::Secret, "\"\"", "Belongs to temporary credentials."),
    key(
        "sas_token",
        Form::Secret,
        "\"\"",
        "azure: a shared access signature in place of secret_key; access_key may then be left out.",
    ),
    key(
        "connection_string",
        Form::Secret,
        "\"\"",
        "azure: a connection string in place of endpoint, access_key, secret_key and sas_token.",
    ),
    key("anonymous", Form::Switch, "false", "Sign nothing: a public bucket."),
    key(
        "addressing",
        ADDRESSING,
        "\"auto\"",
        "Where the bucket stands in the address; auto is path for IP addresses, localhost, buckets with dots, qiniu, and providers that want it, else virtual.",
    ),
    key("signature_version", Form::Number, "4", "oss: 4 or 1."),
    key("ca_file", Form::Path, "", "Certificates (PEM) to trust beside the system's."),
    key(
        "proxy",
        Form::Text,
        "\"\"",
        "http://[user:password@]host:port. Left out: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment.",
    ),
    key(
        "storage_class",
        Form::Text,
        "\"\"",
        "Destination: the class to write, for example IA. Left out: the bucket's own.",
    ),
    key(
        "server_side_encryption",
        Form::Text,
        "\"\"",
        "Destination: AES256, KMS, SM4 (oss); AES256, aws:kms, aws:kms:dsse (s3); AES256, cos/kms (cos); AES256 (bos, ks3). Left out: none is asked for.",
    ),
    key(
        "kms_key_id",
        Form::Text,
        "\"\"",
        "Destination: the key for KMS encryption. Left out: the service's own.",
    ),
    key(
        "acl",
        Form::Text,
        "\"\"",
        "Destination: the canned access list to write, for example public-read; the service's own words. Left out: none is sent.",
    ),
    key(
        "forbid_overwrite",
        Form::Switch,
        "false",
        "Destination: the service refuses to write over an object that is there. Not at bos, qiniu, youpai, and providers that have no such promise.",
    ),
    key(
        "follow_symlinks",
        Form::Switch,
        "false",
        "local source: follow symbolic links; otherwise they are skipped and counted.",
    ),
    key(
        "key_list",
        Form::Path,
        "",
        "Source: a file with one key a line (below prefix) that takes the place of a listing, for example an error.list. http: the list of URLs, a file or itself an http(s):// address.",
    ),
    key(
        "prefix_column",
        Form::Number,
        "1",
        "http: the column of the list (white space between columns, the first is 1) with the begin of the URL.",
    ),
    key(
        "path_column",
        Form::Number,
        "2",
        "http: the column where the path begins, which ends the URL and is the object's key; it goes on to the end of the line, so that it may hold spaces. The same as prefix_column: whole URLs, and what follows the host is the key.",
    ),
    key(
        "domain_requests_per_s",
        Form::Number,
        "0",
        "http: requests a second of one worker to one domain; 0 is no limit.",
    ),
    key("list_page", Form::Number, "1000", "Keys that one request of a listing asks for; 1 to 1000."),
    key(
        "cdn_domain",
        Form::Text,
        "\"\"",
        "youpai source: the bytes are read from this domain of the CDN, not from the API, which is still asked for each object's version and metadata.",
    ),
    key(
        "on_archived",
        ON_ARCHIVED,
        "\"fail\"",
        "Source: what becomes of objects that have to be restored before they can be read. fail records them as ARCHIVED, skip leaves them alone and counts them, restore asks for each once (s3, oss, cos, azure; it costs money) and moves it when it can be read.",
    ),
    key(
        "restore_tier",
        TIERS,
        "\"standard\"",
        "Source, with on_archived = \"restore\": how fast; not every class has every tier (azure: no bulk).",
    ),
    key(
        "restore_days",
        Form::Number,
        "7",
        "Source, with on_archived = \"restore\": days for which the restored copies stay; 1 to 365 (OSS Archive: 1 to 7; azure: blobs come back for good).",
    ),
];

const TASK: &[Key] = &[
    key("object_count_limit", Form::Number, "10000", "Objects a task; 1 to 50000."),
    key("object_size_limit", Form::Size, "\"1GiB\"", "Bytes a task; one object may be more."),
    key("scan_threads", Form::Number, "8", "Listings at the same time; 1 to 64."),
    key(
        "scan_depth",
        Form::Number,
        "1",
        "Directory depth to which the listing is divided by prefixes; 0 to 16.",
    ),
];

const TRANSFER: &[Key] = &[
    key("multipart_threshold", Form::Size, "\"64MiB\"", "Larger objects go in parts; 1MiB to 5GiB."),
    key(
        "part_size",
        Form::Size,
        "\"16MiB\"",
        "Bytes a part, in whole MiB; 5MiB to 5GiB. Grows with an object that would need more than 10000 parts.",
    ),
    key("parts_in_flight", Form::Number, "4", "Parts of one object at the same time; 1 to 64."),
    key(
        "skip_existing",
        Form::Switch,
        "false",
        "Leave what the destination already has: same size and not older than the source; a file of the same time.",
    ),
    key(
        "verify",
        VERIFY,
        "\"checksum\"",
        "What proves an object: checksum compares checksums of both ends, size only lengths, full reads the destination back.",
    ),
    key("retries", Form::Number, "5", "Attempts at one object before it is recorded as failed; 1 to 100."),
    key(
        "abort_on_unknown_error",
        Form::Switch,
        "false",
        "An unknown error ends the task instead of failing the object alone.",
    ),
    key(
        "record_md5",
        Form::Switch,
        "false",
        "Write the MD5 of the content into the destination's metadata (md5).",
    ),
    key(
        "record_mtime",
        Form::Switch,
        "true",
        "Write the source's modification time into the destination's metadata (mtime).",
    ),
    key(
        "directory_markers",
        MARKERS,
        "true",
        "Directory markers (keys that end in / without content): true carries them, false leaves them out, \"create\" also makes those that are not there (s3, oss, cos; one request a directory).",
    ),
    key(
        "symlinks",
        SYMLINKS,
        "\"read\"",
        "Links of oss: read moves the content of their targets, carry makes the links anew (oss to oss).",
    ),
    key(
        "carry_tags",
        Form::Switch,
        "false",
        "Carry tags (s3, oss, cos): one request more at the source for each object.",
    ),
    key(
        "carry_acl",
        Form::Switch,
        "false",
        "Carry access lists that are canned ones (s3, oss, cos): one request more at the source for each object.",
    ),
    key(
        "storage_classes",
        Form::Pairs,
        "{}",
        "Class at the source = class at the destination, for example { STANDARD_IA = \"IA\" }; STANDARD (of azure Hot, too) is what has no other. Other classes get destination.storage_class.",
    ),
    key(
        "timeout",
        Form::Duration,
        "\"1m\"",
        "Longest duration of a step: connect, first byte, a pause in a body; 1s to 1h.",
    ),
    key(
        "patience",
        Form::Duration,
        "\"10m\"",
        "How long a service that is away or throttles is waited for before the job pauses; 20s at most before anything succeeded; 1s to 7d.",
    ),
    key("bytes_per_s", Form::Rate, "\"0\"", "Limit of the job on the whole cluster; 0 is none."),
    key("requests_per_s", Form::Number, "0", "Limit of the job on the whole cluster; 0 is none."),
];

const RENAME: &[Key] = &[
    key(
        "match",
        Form::Text,
        "",
        "A regular expression; every match in the key (what follows the source's prefix) is replaced. ^ and $ are its begin and end. Required.",
    ),
    key(
        "to",
        Form::Text,
        "",
        "What takes the place of a match; $1 or ${name} is a group of the match, $$ a dollar sign. Required; may be empty.",
    ),
];

const SYS_TOP: &[Key] = &[
    key(
        "master_address",
        Form::Text,
        "\"127.0.0.1:7701\"",
        "Where the master listens, IP:PORT of this machine (loopback); port 0 is any free one.",
    ),
    key("tracker_address", Form::Text, "\"127.0.0.1:7702\"", "Where the tracker listens, likewise."),
    key(
        "lease",
        Form::Duration,
        "\"30s\"",
        "A worker that was not heard of for so long loses its tasks to others; 1s to 1h.",
    ),
    key(
        "log_level",
        Form::Text,
        "\"info\"",
        "error, warn, info, debug or trace; or a filter by module such as \"info,storage=debug\".",
    ),
];

const SYS_WORKER: &[Key] = &[
    key(
        "task_threads",
        Form::Number,
        "256",
        "Objects that one worker copies at the same time at most; 1 to 4096. A ceiling: below it the number adapts to both ends.",
    ),
    key(
        "memory_limit",
        Form::Size,
        "\"64MiB\"",
        "Object data that one worker holds at most, less where its control group allows less; at least 8MiB.",
    ),
    key("bytes_per_s", Form::Rate, "\"0\"", "Limit of one worker; 0 is none."),
    key("requests_per_s", Form::Number, "0", "Limit of one worker; 0 is none."),
];

const SYS_LIMITS: &[Key] = &[
    key("bytes_per_s", Form::Rate, "\"0\"", "Limit of the whole cluster; 0 is none."),
    key("requests_per_s", Form::Number, "0", "Limit of the whole cluster; 0 is none."),
];

const SYS_SSH: &[Key] = &[
    key("user", Form::Text, "\"\"", "SSH user of deploy. Left out: the current one."),
    key("private_key_file", Form::Path, "", "SSH private key of deploy. Left out: the agent's keys."),
    key("port", Form::Number, "22", "SSH port of deploy."),
];

/// The section of that name.
pub(crate) fn section(schema: Schema, name: &str) -> Option<(&'static str, &'static [Key])> {
    schema.iter().find(|(section, _)| *section == name).copied()
}

/// How a key is written in messages and documents: `transfer.retries`, `name`.
pub fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The candidate that was probably meant, when one is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    candidates
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
