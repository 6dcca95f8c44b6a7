//! Every field of the predecessor's files, once, with what becomes of it.

/// A field of the predecessor's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it is written there; case counts.
    pub name: &'static str,
    /// What the file means when it does not say it.
    pub default: &'static str,
    /// The key of the TOML files that it turns into; empty: none.
    pub becomes: &'static str,
    /// For people: quirks, and what to do when there is no such key.
    pub meaning: &'static str,
}

const fn field(
    name: &'static str,
    default: &'static str,
    becomes: &'static str,
    meaning: &'static str,
) -> Field {
    Field { name, default, becomes, meaning }
}

/// `job.cfg` and `local_job.cfg`.
pub const JOB: &[Field] = &[
    field("jobName", "local_test", "name", ""),
    field("jobType", "import", "type", ""),
    field("isIncremental", "false", "incremental", ""),
    field("incrementalModeInterval", "86400", "interval", "Seconds; at least 900."),
    field("importSince", "0", "since", "Unix seconds."),
    field("lastModify", "0", "", "Warned of: every object is verified, also those modified later."),
    field("isSkipExistFile", "false", "transfer.skip_existing", ""),
    field("srcType", "", "source.type", "Upper case is taken as well."),
    field(
        "srcAccessKey",
        "",
        "source.access_key",
        "azure: the account, which is also the first part of source.endpoint; youpai: the operator.",
    ),
    field("srcSecretKey", "", "source.secret_key", "azure: the account's key; youpai: the password."),
    field(
        "srcDomain",
        "",
        "source.endpoint",
        "cos: a region, old (gz) or new (ap-guangzhou); azure: the EndpointSuffix; bos and ks3: turned into the S3 address; qiniu: the S3 address, or a download domain with srcRegion; youpai: v0.api.upyun.com when empty.",
    ),
    field(
        "srcRegion",
        "",
        "source.region",
        "Not in the original; for services whose endpoint does not say the region.",
    ),
    field(
        "srcBucket",
        "",
        "source.bucket",
        "cos: with appId, as bucket-appId; qiniu: the S3 name of the bucket.",
    ),
    field(
        "srcPrefix",
        "",
        "source.prefix",
        "local: source.path. cos, youpai: one slash in front is taken off.",
    ),
    field("appId", "0", "", "cos: goes behind source.bucket."),
    field("destType", "oss", "destination.type", "Not in the original, which only knew oss."),
    field("destAccessKey", "", "destination.access_key", ""),
    field("destSecretKey", "", "destination.secret_key", ""),
    field("destDomain", "", "destination.endpoint", ""),
    field(
        "destRegion",
        "",
        "destination.region",
        "Not in the original; for services whose endpoint does not say the region.",
    ),
    field("destBucket", "", "destination.bucket", ""),
    field("destPrefix", "", "destination.prefix", "destType=local: destination.path."),
    field("taskObjectCountLimit", "10000", "task.object_count_limit", ""),
    field("taskObjectSizeLimit", "1GiB", "task.object_size_limit", "Bytes, or with unit."),
    field(
        "scanThreadCount",
        "8",
        "task.scan_threads",
        "The original's own default is 1. More than 32 becomes 32 with a warning.",
    ),
    field("maxMultiThreadScanDepth", "1", "task.scan_depth", "More than 16 becomes 16 with a warning."),
    field("uploadThreadNumPerLargeFile", "3", "transfer.parts_in_flight", ""),
    field(
        "multipartUploadThreshold",
        "150m",
        "transfer.multipart_threshold",
        "Bytes, or with k, m, g; at least 1m.",
    ),
    field(
        "multipartUploadPartSize",
        "50m",
        "transfer.part_size",
        "Below 100k: the default; below 5m: 5m; both with a warning.",
    ),
    field("isServerSideEncryption", "false", "destination.server_side_encryption", "true is AES256."),
    field("isAllowSymbolicLink", "false", "source.follow_symlinks", "local sources only."),
    field(
        "isAuditAfterImport",
        "true",
        "transfer.verify",
        "false becomes size, with a warning: lengths are compared all the same.",
    ),
    field(
        "auditMode",
        "general",
        "transfer.verify",
        "simple becomes size; general and detailed become checksum.",
    ),
    field("getObjectMetaMode", "stat", "", "Not needed: sizes and times come with the listing."),
    field(
        "isDownloadFromCdn",
        "false",
        "source.cdn_domain",
        "youpai: true reads the bytes from cdnDomain; of other types it is refused.",
    ),
    field("cdnDomain", "", "source.cdn_domain", "Counts where isDownloadFromCdn is true."),
    field("httpListFilePath", "", "source.key_list", "http: the list of URLs."),
    field("httpPrefixColumn", "1", "source.prefix_column", "http: the column with the begin of the URL."),
    field(
        "relativePathColumn",
        "2",
        "source.path_column",
        "http: the column where the path begins; it goes on to the end of the line.",
    ),
    field(
        "isUseExpressTunnel",
        "false",
        "",
        "true is refused: the vendor's internal tunnel is not supported; use a leased line with its ordinary addresses, or proxy.",
    ),
    field("expressTunnelProxyHost", "", "", "See isUseExpressTunnel."),
    field("expressTunnelProxyType", "", "", "See isUseExpressTunnel."),
    field("expressTunnelProxyUser", "", "", "See isUseExpressTunnel."),
    field("expressTunnelProxyDest", "", "", "See isUseExpressTunnel."),
    field("expressTunnelAuthToken", "", "", "See isUseExpressTunnel."),
];

/// `sys.properties`.
pub const SYS: &[Field] = &[
    field(
        "workingDir",
        ".",
        "",
        "The home directory is said with --home or BRIGADE_HOME; another value is warned of.",
    ),
    field("workerUser", "", "ssh.user", ""),
    field("workerUserName", "", "ssh.user", "The other spelling of workerUser."),
    field(
        "workerPassword",
        "",
        "",
        "Warned of: SSH goes by keys; name one in privateKeyFile or use the agent.",
    ),
    field("privateKeyFile", "", "ssh.private_key_file", ""),
    field("sshPort", "22", "ssh.port", ""),
    field("workerTaskThreadNum", "60", "worker.task_threads", ""),
    field("workerMaxThroughput(KB/s)", "0", "worker.bytes_per_s", "In units of 1024 bytes."),
    field("dispatcherThreadNum", "1", "", "Not needed: workers ask for tasks."),
    field(
        "workerAbortWhenUncatchedException",
        "false",
        "transfer.abort_on_unknown_error",
        "A job's key here: counts for the job.cfg and local_job.cfg beside the file.",
    ),
    field(
        "workerRecordMd5",
        "false",
        "transfer.record_md5",
        "A job's key here: counts for the job.cfg and local_job.cfg beside the file.",
    ),
    field(
        "javaHeapMaxSize",
        "1024m",
        "worker.memory_limit",
        "A quarter of it, at least 32MiB: the rest was the machine's that ran the original.",
    ),
];

/// The field of that name in either file.
pub(crate) fn find(name: &str) -> Option<&'static Field> {
    JOB.iter().chain(SYS).find(|field| field.name == name)
}
