//! What differs between vendors in an endpoint: the service behind S3, the region's form, names of buckets, and
//! what a destination can promise.

use super::host::Host;
use super::reader::Reader;
use crate::address;
use crate::job::{Endpoint, EndpointType};
use crate::keys::PROVIDERS;

/// Which service speaks S3; empty: nobody said it.
pub(super) fn provider(read: &mut Reader<'_>, section: &str) -> String {
    let words: Vec<(&str, &str)> = PROVIDERS.iter().map(|name| (*name, *name)).collect();
    read.choice(section, "provider", &words).unwrap_or_default().to_owned()
}

/// The address as it is given, or as the region says it; an empty one was not given.
pub(super) fn address(read: &mut Reader<'_>, section: &str, end: &Endpoint) -> Option<String> {
    let text = read.text(section, "endpoint").unwrap_or_default();
    if text.trim().is_empty() {
        return Some(address::of_region(end.kind, &end.provider, &end.region).unwrap_or_default());
    }
    match address::understand(end.kind, &end.region, &text) {
        Ok(understood) => {
            if let Some(remark) = understood.remark {
                read.odd(section, "endpoint", remark);
            }
            Some(understood.address)
        }
        Err(what) => {
            read.bad(section, "endpoint", &what);
            None
        }
    }
}

/// The provider that the address names, and the region in the form that signs.
pub(super) fn settle(end: &mut Endpoint, host: &Host) {
    match end.kind {
        EndpointType::S3 if end.provider.is_empty() => {
            end.provider = address::provider_of(&host.name).to_owned()
        }
        EndpointType::Cos => end.region = address::cos_region(&end.region).to_owned(),
        EndpointType::Ks3 => end.region = address::ks3_region(&end.region).to_owned(),
        EndpointType::Oss => {
            // The console of the service shows both forms; signatures take the bare one.
            if let Some(bare) = end.region.strip_prefix("oss-") {
                end.region = bare.to_owned();
            }
        }
        _ => {}
    }
}

/// A bucket of COS carries its owner's number.
pub(super) fn bucket(read: &mut Reader<'_>, section: &str, end: &Endpoint, host: &Host) {
    let vendor = host.name.ends_with(".myqcloud.com") || host.name.ends_with(".tencentcos.cn");
    let numbered = |bucket: &str| {
        bucket.rsplit_once('-').is_some_and(|(name, app)| {
            !name.is_empty() && !app.is_empty() && app.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    if end.kind == EndpointType::Cos && vendor && !end.bucket.is_empty() && !numbered(&end.bucket) {
        let what = format!(
            "is {:?}, and buckets of COS end in the number of their owner's application: write {}-APPID (ossimport: appId)",
            end.bucket, end.bucket
        );
        read.bad(section, "bucket", &what);
    }
}

/// The classes that a service documents; empty: any may be there.
fn classes(kind: EndpointType) -> &'static [&'static str] {
    match kind {
        EndpointType::Oss => &["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"],
        EndpointType::Cos => &[
            "STANDARD",
            "STANDARD_IA",
            "INTELLIGENT_TIERING",
            "ARCHIVE",
            "DEEP_ARCHIVE",
            "MAZ_STANDARD",
            "MAZ_STANDARD_IA",
            "MAZ_INTELLIGENT_TIERING",
        ],
        // Over S3; its own interface has more.
        EndpointType::Bos => &["STANDARD", "STANDARD_IA"],
        EndpointType::Ks3 => {
            &["STANDARD", "STANDARD_IA", "DEEP_IA", "ARCHIVE", "COLD_ARCHIVE", "DEEP_COLD_ARCHIVE"]
        }
        EndpointType::Qiniu => {
            &["STANDARD", "LINE", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"]
        }
        _ => &[],
    }
}

/// What is asked of a destination and nobody would do.
pub(super) fn promises(read: &mut Reader<'_>, section: &str, end: &Endpoint) {
    let known = classes(end.kind);
    if !end.storage_class.is_empty() && !known.is_empty() && !known.contains(&&*end.storage_class) {
        let what = format!(
            "is {:?}, and {} is known to take {}: every object will be refused if it is none of them",
            end.storage_class,
            end.kind.name(),
            known.join(", ")
        );
        read.odd(section, "storage_class", &what);
    }
    if end.forbid_overwrite && !end.can_forbid_overwrite() {
        let name = if end.provider.is_empty() { end.kind.name() } else { &end.provider };
        let what = format!(
            "is true, and {name} has no such promise: remove it; with transfer.skip_existing what is there with the same size and not older is left"
        );
        read.bad(section, "forbid_overwrite", &what);
    }
    if !end.kms_key_id.is_empty() && end.kind == EndpointType::S3 && matches!(&*end.provider, "gcs" | "tos") {
        let what = format!(
            "is given, and {} takes none over S3: remove it, and set the key at the bucket itself",
            end.provider
        );
        read.bad(section, "kms_key_id", &what);
    }
    if end.kind == EndpointType::Qiniu && !end.server_side_encryption.is_empty() {
        read.bad(section, "server_side_encryption", "is given, and qiniu has none over S3: remove it");
    }
}
