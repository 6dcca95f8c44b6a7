//! A job: the valid form, after every check. Code behind it never checks again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::carry::Carry;
use crate::rename::Rename;
use crate::secret::{Secret, SecretError};

/// One job file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobConf {
    /// `[a-zA-Z0-9_-]{4,128}`.
    pub name: String,
    /// Move and verify, or only verify.
    pub kind: JobKind,
    /// Only objects modified at or after this, Unix seconds; 0 = all. In an incremental job it holds for
    /// the first round only.
    pub since: i64,
    /// Scan again after each round.
    pub incremental: bool,
    /// From the begin of one round to the begin of the next; at least 15 minutes.
    pub interval: Duration,
    /// Higher goes first.
    pub priority: i32,
    /// Where objects come from.
    pub source: Endpoint,
    /// Where they go.
    pub destination: Endpoint,
    /// How objects are bundled.
    pub task: TaskConf,
    /// How objects are moved and proved.
    pub transfer: TransferConf,
    /// What keys are called at the destination.
    #[serde(default)]
    pub rename: Vec<Rename>,
}

/// `import` or `audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Move and verify.
    Import,
    /// Only verify what is there.
    Audit,
}

/// The protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointType {
    /// A directory tree.
    Local,
    /// Alibaba Cloud OSS.
    Oss,
    /// Amazon S3 and whatever speaks it.
    S3,
    /// Tencent COS.
    Cos,
    /// Azure Blob.
    Azure,
    /// Baidu BOS.
    Bos,
    /// Kingsoft KS3.
    Ks3,
    /// Qiniu Kodo.
    Qiniu,
    /// UPYUN.
    Youpai,
    /// A list of URLs.
    Http,
}

/// Where objects come from or go to. Which fields count depends on the type; the checks saw to it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The protocol.
    pub kind: EndpointType,
    /// s3: which service it is, where its settings differ; empty: found out. One of `keys::PROVIDERS`.
    #[serde(default)]
    pub provider: String,
    /// `scheme://host[:port]`, without bucket and without a slash at the end; empty for local.
    pub endpoint: String,
    /// The signing region; empty: derived from the endpoint.
    pub region: String,
    /// The bucket; empty for local.
    pub bucket: String,
    /// Objects below it; what is after it is the key. May be anything, byte for byte.
    pub prefix: String,
    /// local: the directory, absolute.
    pub path: PathBuf,
    /// Empty with an empty secret key: the provider's own credential chain.
    pub access_key: Secret,
    /// See `access_key`.
    pub secret_key: Secret,
    /// For temporary credentials.
    pub session_token: Secret,
    /// azure: a shared access signature, in place of a key.
    #[serde(default = "no_secret")]
    pub sas_token: Secret,
    /// azure: address and key, or signature, in one.
    #[serde(default = "no_secret")]
    pub connection_string: Secret,
    /// Sign nothing: a public bucket.
    pub anonymous: bool,
    /// Where the bucket's name stands in the URL.
    pub addressing: Addressing,
    /// oss: 4 or 1.
    pub signature_version: u8,
    /// Extra CA certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// `http://[user:password@]host:port`; empty: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment.
    pub proxy: String,
    /// Destination: the class to write; empty: the bucket's default.
    pub storage_class: String,
    /// Destination: `AES256`, `aws:kms`, `KMS`, …; empty: none is asked for.
    pub server_side_encryption: String,
    /// Destination: the key for KMS; empty: the service's own.
    pub kms_key_id: String,
    /// Destination: the canned access list to write; empty: none is sent.
    #[serde(default)]
    pub acl: String,
    /// Destination: refuse to write over what is there (by the service, not by us).
    pub forbid_overwrite: bool,
    /// local source: follow symbolic links (otherwise they are skipped and counted).
    pub follow_symlinks: bool,
    /// A file with one key a line (below `prefix`) instead of a listing; `error.list` is such a file.
    /// http: the list of URLs, a path or itself an `http(s)://` address.
    pub key_list: Option<PathBuf>,
    /// http: the column with the begin of the URL, from 1.
    #[serde(default = "one")]
    pub prefix_column: u32,
    /// http: the column where the path begins, from 1.
    #[serde(default = "two")]
    pub path_column: u32,
    /// http: requests a second of one worker to one domain; 0 = no limit.
    #[serde(default)]
    pub domain_requests_per_s: u64,
    /// Requests by side, as the pages of a listing: how many keys one asks for.
    pub list_page: u32,
    /// youpai source: `scheme://host[:port]` that the bytes are read from; empty: the API itself.
    #[serde(default)]
    pub cdn_domain: String,
    /// Source: what becomes of objects that are archived.
    #[serde(default)]
    pub on_archived: OnArchived,
    /// Source, with `OnArchived::Restore`: how fast.
    #[serde(default)]
    pub restore_tier: RestoreTier,
    /// Source, with `OnArchived::Restore`: days for which the restored copy stays.
    #[serde(default = "a_week")]
    pub restore_days: u32,
}

/// What becomes of an object that has to be restored before it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnArchived {
    /// It fails.
    #[default]
    Fail,
    /// It is left alone, and counted.
    Skip,
    /// It is restored, and moved when it can be read.
    Restore,
}

/// How fast an object is restored; what that costs is the provider's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTier {
    /// Within minutes, where the class has it.
    Expedited,
    /// Within hours.
    #[default]
    Standard,
    /// Within half a day or two.
    Bulk,
}

/// What jobs have that were submitted before there was the key.
fn a_week() -> u32 {
    7
}

/// Where the bucket's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// Path for IP addresses, localhost and buckets with dots; virtual otherwise.
    Auto,
    /// `host/bucket/key`.
    Path,
    /// `bucket.host/key`.
    Virtual,
}

/// How objects are bundled into tasks and listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskConf {
    /// Objects a task, at most 50,000.
    pub object_count_limit: u32,
    /// Bytes a task (one object may be more).
    pub object_size_limit: u64,
    /// Listings at the same time, 1 to 64.
    pub scan_threads: u32,
    /// Directory depth to which prefixes are looked for to divide the listing, 0 to 16.
    pub scan_depth: u32,
}

/// How objects are moved and proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferConf {
    /// Larger objects go in parts.
    pub multipart_threshold: u64,
    /// Bytes a part; grows with the object so that 10,000 parts hold it.
    pub part_size: u64,
    /// Parts of one object at the same time.
    pub parts_in_flight: u32,
    /// Leave what the destination already has (same size, not older than the source).
    pub skip_existing: bool,
    /// What proves an object.
    pub verify: Verify,
    /// Attempts at one object before it is recorded as failed.
    pub retries: u32,
    /// An unknown error ends the task instead of failing the object.
    pub abort_on_unknown_error: bool,
    /// Write the MD5 of the content into the destination's metadata (`md5`).
    pub record_md5: bool,
    /// Write the source's modification time into the destination's metadata (`mtime`).
    pub record_mtime: bool,
    /// Directory markers (keys that end in `/`, without content): carry or leave out.
    pub directory_markers: bool,
    /// A step (connect, first byte, a pause in a body) may take this long.
    pub timeout: Duration,
    /// A service that is away or throttles is waited for so long before the job pauses.
    #[serde(default = "ten_minutes")]
    pub patience: Duration,
    /// Bytes a second for the job on the whole cluster; 0 = no limit.
    pub bytes_per_s: u64,
    /// Requests a second for the job on the whole cluster; 0 = no limit.
    pub requests_per_s: u64,
    /// What travels with the objects on request.
    #[serde(default)]
    pub carry: Carry,
}

/// What proves an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The destination's own stored checksum equals the hash of the bytes that were read.
    Checksum,
    /// Length only.
    Size,
    /// Read the destination back.
    Full,
}

impl JobConf {
    /// The form that travels between roles and rests, sealed, at the master. It carries secrets.
    pub fn to_wire(&self) -> Vec<u8> {
        toml::to_string(self).map(String::into_bytes).unwrap_or_default()
    }

    /// Reads what `to_wire` wrote.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// The same job with secrets from the environment filled in.
    pub fn fill_in(&self) -> Result<Self, SecretError> {
        let mut filled = self.clone();
        for endpoint in [&mut filled.source, &mut filled.destination] {
            let Endpoint { access_key, secret_key, session_token, sas_token, connection_string, .. } =
                endpoint;
            for secret in [access_key, secret_key, session_token, sas_token, connection_string] {
                *secret = secret.fill_in()?;
            }
        }
        Ok(filled)
    }
}

impl Endpoint {
    /// The service has a header that forbids to write over an object.
    pub fn can_forbid_overwrite(&self) -> bool {
        match self.kind {
            EndpointType::Bos | EndpointType::Qiniu | EndpointType::Youpai => false,
            EndpointType::S3 => {
                !matches!(&*self.provider, "gcs" | "obs" | "tos" | "netease" | "chinamobile" | "us3")
            }
            _ => true,
        }
    }

    /// For people: `s3://bucket/prefix at http://…`, or the directory.
    pub fn describe(&self) -> String {
        match self.kind {
            EndpointType::Local => self.path.display().to_string(),
            EndpointType::Http => {
                let list = self.key_list.as_deref().unwrap_or(std::path::Path::new(""));
                format!("the URLs of {}", list.display())
            }
            kind => format!("{}://{}/{} at {}", kind.name(), self.bucket, self.prefix, self.endpoint),
        }
    }
}

impl fmt::Debug for Endpoint {
    /// What tells endpoints apart. The proxy may hold a password and is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("kind", &self.kind)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("path", &self.path)
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key)
            .field("addressing", &self.addressing)
            .field("anonymous", &self.anonymous)
            .field("key_list", &self.key_list)
            .finish_non_exhaustive()
    }
}

impl EndpointType {
    /// Every type with its name in job files.
    pub const NAMES: [(EndpointType, &'static str); 10] = [
        (EndpointType::Local, "local"),
        (EndpointType::Oss, "oss"),
        (EndpointType::S3, "s3"),
        (EndpointType::Cos, "cos"),
        (EndpointType::Azure, "azure"),
        (EndpointType::Bos, "bos"),
        (EndpointType::Ks3, "ks3"),
        (EndpointType::Qiniu, "qiniu"),
        (EndpointType::Youpai, "youpai"),
        (EndpointType::Http, "http"),
    ];

    /// The name in job files.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        let empty = || Secret::Literal(String::new());
        Endpoint {
            kind: EndpointType::Local,
            provider: String::new(),
            endpoint: String::new(),
            region: String::new(),
            bucket: String::new(),
            prefix: String::new(),
            path: PathBuf::new(),
            access_key: empty(),
            secret_key: empty(),
            session_token: empty(),
            sas_token: empty(),
            connection_string: empty(),
            anonymous: false,
            addressing: Addressing::Auto,
            signature_version: 4,
            ca_file: None,
            proxy: String::new(),
            storage_class: String::new(),
            server_side_encryption: String::new(),
            kms_key_id: String::new(),
            acl: String::new(),
            forbid_overwrite: false,
            follow_symlinks: false,
            key_list: None,
            prefix_column: one(),
            path_column: two(),
            domain_requests_per_s: 0,
            list_page: 1000,
            cdn_domain: String::new(),
            on_archived: OnArchived::Fail,
            restore_tier: RestoreTier::Standard,
            restore_days: a_week(),
        }
    }
}

impl Default for TaskConf {
    fn default() -> Self {
        TaskConf { object_count_limit: 10_000, object_size_limit: 1 << 30, scan_threads: 8, scan_depth: 1 }
    }
}

/// Columns of a list as they are where nothing is said.
fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

/// What jobs have that were submitted before there was the key.
fn no_secret() -> Secret {
    Secret::Literal(String::new())
}

/// What jobs have that were submitted before there was the key.
fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

impl Default for TransferConf {
    fn default() -> Self {
        TransferConf {
            multipart_threshold: 64 << 20,
            part_size: 16 << 20,
            parts_in_flight: 4,
            skip_existing: false,
            verify: Verify::Checksum,
            retries: 5,
            abort_on_unknown_error: false,
            record_md5: false,
            record_mtime: true,
            directory_markers: true,
            timeout: Duration::from_secs(60),
            patience: ten_minutes(),
            bytes_per_s: 0,
            requests_per_s: 0,
            carry: Carry::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_the_debug_form() {
        let end = Endpoint {
            proxy: "http://u:hunter2@proxy:1".into(),
            secret_key: Secret::Literal("hunter2".into()),
            ..Endpoint::default()
        };
        assert!(!format!("{end:?}").contains("hunter2"));
    }

    #[test]
    fn a_job_travels_unchanged() {
        let job = JobConf {
            name: "local_test".into(),
            kind: JobKind::Import,
            since: 0,
            incremental: false,
            interval: Duration::from_secs(86_400),
            priority: 0,
            source: Endpoint { prefix: " a//b\u{1f600}\n".into(), ..Endpoint::default() },
            destination: Endpoint { secret_key: Secret::Literal("s\"'".into()), ..Endpoint::default() },
            task: TaskConf::default(),
            transfer: TransferConf::default(),
            rename: vec![Rename { pattern: r"^a/(\d+)\n".into(), to: "${1}\"'''".into() }],
        };
        assert_eq!(JobConf::from_wire(&job.to_wire()).unwrap(), job);
    }
}
