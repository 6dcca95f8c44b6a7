//! Addresses of the services: what a region's is, and what older and shorter forms have become.

use crate::job::{Endpoint, EndpointType};

/// Parts of KS3's names and the regions that sign ("Regions and endpoints").
pub(crate) const KS3_REGIONS: [(&str, &str); 9] = [
    ("cn-beijing", "BEIJING"),
    ("cn-shanghai", "SHANGHAI"),
    ("cn-guangzhou", "GUANGZHOU"),
    ("cn-qingdao", "QINGDAO"),
    ("cn-hk-1", "HONGKONG"),
    ("jr-beijing", "JR_BEIJING"),
    ("jr-shanghai", "JR_SHANGHAI"),
    ("rus", "RUSSIA"),
    ("sgp", "SINGAPORE"),
];

/// Regions of Qiniu's S3 addresses.
const QINIU_REGIONS: &str = "cn-east-1, cn-east-2, cn-north-1, cn-south-1, us-north-1, ap-southeast-1, ap-southeast-2, ap-southeast-3 or ap-northeast-1";

/// Where the service is when only its region was said; `None`: nobody knows.
pub fn of_region(kind: EndpointType, provider: &str, region: &str) -> Option<String> {
    if (kind, provider) == (EndpointType::S3, "gcs") {
        return Some("https://storage.googleapis.com".to_owned());
    }
    if kind == EndpointType::Youpai {
        // "The line is chosen automatically."
        return Some("https://v0.api.upyun.com".to_owned());
    }
    if region.is_empty() {
        return None;
    }
    Some(match (kind, provider) {
        (EndpointType::S3, "" | "aws") if region.starts_with("cn-") => {
            format!("https://s3.{region}.amazonaws.com.cn")
        }
        (EndpointType::S3, "" | "aws") => format!("https://s3.{region}.amazonaws.com"),
        (EndpointType::S3, "obs") => format!("https://obs.{region}.myhuaweicloud.com"),
        (EndpointType::S3, "tos") => format!("https://tos-s3-{region}.volces.com"),
        (EndpointType::Oss, _) => format!("https://oss-{region}.aliyuncs.com"),
        (EndpointType::Cos, _) => format!("https://cos.{}.myqcloud.com", cos_region(region)),
        (EndpointType::Bos, _) => format!("https://s3.{region}.bcebos.com"),
        (EndpointType::Ks3, _) => format!("https://ks3-{}.ksyuncs.com", ks3_part(region)?),
        (EndpointType::Qiniu, _) => format!("https://s3.{region}.qiniucs.com"),
        _ => return None,
    })
}

/// Where keys of Amazon come from when nobody named any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysFrom {
    /// All of Amazon's chain: environment, profile, web identity, container and instance role.
    Chain,
    /// What somebody put there for this use: environment and profile.
    Environment,
    /// None: the service belongs to another vendor, which Amazon's keys are nothing for.
    Nowhere,
}

/// The chain that an endpoint may be given, of those that sign as Amazon does.
pub fn keys_from(end: &Endpoint) -> KeysFrom {
    const OTHERS: [&str; 6] =
        [".aliyuncs.com", ".myqcloud.com", ".bcebos.com", ".ksyuncs.com", ".ksyun.com", ".qiniucs.com"];
    let rest = end.endpoint.split_once("://").map_or(&*end.endpoint, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_below = |ends: &[&str]| ends.iter().any(|end| host.ends_with(end));
    match (end.kind, &*end.provider) {
        (EndpointType::Bos | EndpointType::Ks3 | EndpointType::Qiniu, _) => KeysFrom::Nowhere,
        (_, "gcs" | "obs" | "tos" | "netease" | "chinamobile" | "us3") => KeysFrom::Nowhere,
        (_, "aws") => KeysFrom::Chain,
        _ if is_below(&[".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"]) => KeysFrom::Chain,
        (EndpointType::S3, "") if is_below(&OTHERS) || !provider_of(host).is_empty() => KeysFrom::Nowhere,
        (EndpointType::S3, _) => KeysFrom::Environment,
        _ => KeysFrom::Chain,
    }
}

/// What may stand for `region`, for people.
pub(crate) fn known_regions(kind: EndpointType) -> String {
    match kind {
        EndpointType::Bos => "such as bj, gz, su, bd, fwh, hkg or sin".to_owned(),
        EndpointType::Ks3 => {
            let names: Vec<&str> = KS3_REGIONS.iter().map(|(_, region)| *region).collect();
            format!("one of {}", names.join(", "))
        }
        EndpointType::Oss => "such as cn-hangzhou".to_owned(),
        _ => format!("one of {QINIU_REGIONS}"),
    }
}

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    pub(crate) address: String,
    /// What the user ought to know of it.
    pub(crate) remark: Option<&'static str>,
}

/// What is spoken to today where people write this. The error says what to write instead.
pub(crate) fn understand(kind: EndpointType, region: &str, text: &str) -> Result<Understood, String> {
    let text = text.trim();
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.strip_suffix('/').unwrap_or(bare).to_ascii_lowercase();
    let word = bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') && bare != "localhost";
    let good = |address: String| Ok(Understood { address, remark: None });
    let from_region = |word: &str| {
        of_region(kind, "", word).ok_or_else(|| format!("is {word:?}, which is no region of {}", kind.name()))
    };
    match kind {
        EndpointType::Cos | EndpointType::Bos | EndpointType::Ks3 | EndpointType::Qiniu if word => {
            good(from_region(&bare)?)
        }
        EndpointType::Cos => match cos_old(&bare) {
            Some(region) => good(from_region(region)?),
            None if matches!(&*bare, "cos.myqcloud.com" | "service.cos.myqcloud.com") => Err(
                "has no region in it: write https://cos.REGION.myqcloud.com with the bucket's, such as ap-guangzhou"
                    .into(),
            ),
            None => good(text.to_owned()),
        },
        // Only the S3 interface is spoken, which has a name of its own.
        EndpointType::Bos => match bare.strip_suffix(".bcebos.com") {
            Some(region) if !region.contains('.') => good(from_region(region)?),
            _ if bare == "bcebos.com" => {
                Err("has no region in it: write https://s3.REGION.bcebos.com with the bucket's, such as bj".into())
            }
            _ => good(text.to_owned()),
        },
        EndpointType::Ks3 => Ok(ks3(&bare, text)),
        EndpointType::Qiniu if is_download_domain(&bare) => match region {
            "" => Err(format!(
                "is a download domain, through which a bucket cannot be listed: write the S3 address of the bucket's region, https://s3.REGION.qiniucs.com with {QINIU_REGIONS}, and as bucket the S3 name that the console shows"
            )),
            region => good(from_region(region)?),
        },
        EndpointType::Qiniu if !is_qinius(&bare) => {
            let region = if region.is_empty() { "REGION" } else { region };
            Err(format!(
                "is no S3 address of Qiniu, but a domain through which objects are read one by one: write https://s3.{region}.qiniucs.com{}, and as bucket the S3 name that the console shows",
                if region == "REGION" { format!(" with {QINIU_REGIONS}") } else { String::new() }
            ))
        }
        EndpointType::S3 if bare.starts_with("tos-") && !bare.starts_with("tos-s3-") && bare.ends_with(".volces.com") => {
            Err(format!("is an address that does not speak S3: write https://{}", bare.replacen("tos-", "tos-s3-", 1)))
        }
        _ => good(text.to_owned()),
    }
}

/// Which service speaks S3 there, by its name; empty: any.
pub(crate) fn provider_of(host: &str) -> &'static str {
    let known = [
        ("gcs", "storage.googleapis.com"),
        ("r2", ".r2.cloudflarestorage.com"),
        ("obs", ".myhuaweicloud.com"),
        ("tos", ".volces.com"),
        ("netease", ".126.net"),
        ("chinamobile", ".cmecloud.cn"),
        ("us3", ".ufileos.com"),
    ];
    known.iter().find(|(_, end)| host.ends_with(end)).map_or("", |(name, _)| name)
}

/// The region that signs where neither the user nor the address says one.
pub(crate) fn usual_region(provider: &str) -> &'static str {
    match provider {
        "gcs" | "r2" => "auto",
        "garage" => "garage",
        _ => "us-east-1",
    }
}

/// Old names of COS regions, with and without `cos` in front (the vendor's SDK for Python, `format_region`).
const COS_REGIONS: [(&str, &str); 9] = [
    ("gz", "ap-guangzhou"),
    ("sh", "ap-shanghai"),
    ("tj", "ap-beijing-1"),
    ("bj", "ap-beijing"),
    ("cd", "ap-chengdu"),
    ("sgp", "ap-singapore"),
    ("hk", "ap-hongkong"),
    ("ca", "na-toronto"),
    ("ger", "eu-frankfurt"),
];

/// Today's name of a COS region.
pub(crate) fn cos_region(name: &str) -> &str {
    let short = name.strip_prefix("cos").unwrap_or(name);
    COS_REGIONS.iter().find(|(old, _)| *old == short).map_or(name, |(_, region)| region)
}

/// The region that signs, of a name or an address's part.
pub(crate) fn ks3_region(name: &str) -> &str {
    KS3_REGIONS.iter().find(|(part, _)| *part == name).map_or(name, |(_, region)| region)
}

/// The part of the address, of a region or itself.
fn ks3_part(region: &str) -> Option<&'static str> {
    let same = |(part, name): &&(&str, &str)| *part == region || name.eq_ignore_ascii_case(region);
    KS3_REGIONS.iter().find(same).map(|(part, _)| *part)
}

/// `cosgz.myqcloud.com`, `cos.gz.myqcloud.com`: names of before regions had their long ones.
fn cos_old(bare: &str) -> Option<&'static str> {
    let name = bare.strip_suffix(".myqcloud.com")?.strip_prefix("cos")?;
    let name = name.strip_prefix('.').unwrap_or(name);
    COS_REGIONS.iter().find(|(old, _)| *old == name).map(|(_, region)| *region)
}

fn ks3(bare: &str, text: &str) -> Understood {
    if let Some(name) = bare.strip_suffix(".ksyun.com").filter(|name| name.starts_with("ks3-")) {
        return Understood { address: format!("https://{name}.ksyuncs.com"), remark: None };
    }
    let old = matches!(bare, "kss.ksyun.com" | "ks3.ksyun.com");
    let remark = "is an old address, which means Hangzhou: where the bucket is elsewhere, write https://ks3-REGION.ksyuncs.com with its region, such as cn-beijing";
    Understood {
        address: if old { format!("https://{bare}") } else { text.to_owned() },
        remark: old.then_some(remark),
    }
}

/// Its S3 addresses; and machines, for servers that speak as it does.
fn is_qinius(bare: &str) -> bool {
    let host = bare.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.ends_with(".qiniucs.com")
        || name == "localhost"
        || host.starts_with('[')
        || name.parse::<std::net::IpAddr>().is_ok()
}

/// Names under which Qiniu gave buckets out to the public.
fn is_download_domain(bare: &str) -> bool {
    ["qiniudn.com", "clouddn.com", "qiniucdn.com", "qnssl.com", "qbox.me", "qiniudns.com", "qiniup.com"]
        .iter()
        .any(|end| bare == *end || bare.strip_suffix(end).is_some_and(|name| name.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(kind: EndpointType, text: &str, address: &str) {
        let understood = understand(kind, "", text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(understood.address, address, "{text}");
    }

    #[test]
    fn what_the_predecessors_users_wrote_is_understood() {
        for (text, region) in [
            ("gz", "ap-guangzhou"),
            ("tj", "ap-beijing-1"),
            ("sh", "ap-shanghai"),
            ("cosgz", "ap-guangzhou"),
            ("ap-guangzhou", "ap-guangzhou"),
            ("http://cosgz.myqcloud.com", "ap-guangzhou"),
            ("cos.tj.myqcloud.com/", "ap-beijing-1"),
        ] {
            is(EndpointType::Cos, text, &format!("https://cos.{region}.myqcloud.com"));
        }
        is(EndpointType::Cos, "http://127.0.0.1:1", "http://127.0.0.1:1");
        is(EndpointType::Cos, "https://cos.ap-beijing.myqcloud.com", "https://cos.ap-beijing.myqcloud.com");
        is(EndpointType::Bos, "http://bj.bcebos.com", "https://s3.bj.bcebos.com");
        is(EndpointType::Bos, "gz", "https://s3.gz.bcebos.com");
        is(EndpointType::Bos, "https://s3.su.bcebos.com", "https://s3.su.bcebos.com");
        is(EndpointType::Ks3, "http://kss.ksyun.com", "https://kss.ksyun.com");
        is(EndpointType::Ks3, "http://ks3-cn-beijing.ksyun.com", "https://ks3-cn-beijing.ksyuncs.com");
        is(EndpointType::Ks3, "BEIJING", "https://ks3-cn-beijing.ksyuncs.com");
        is(EndpointType::Qiniu, "cn-east-1", "https://s3.cn-east-1.qiniucs.com");
        is(EndpointType::S3, "localhost", "localhost");
    }

    #[test]
    fn what_cannot_be_meant_says_what_to_write() {
        for (kind, text, words) in [
            (EndpointType::Cos, "service.cos.myqcloud.com", "https://cos.REGION.myqcloud.com"),
            (EndpointType::Bos, "bcebos.com", "https://s3.REGION.bcebos.com"),
            (EndpointType::Ks3, "mars", "no region of ks3"),
            (EndpointType::Qiniu, "http://mybucket.u.qiniudn.com", "https://s3.REGION.qiniucs.com"),
            (EndpointType::Qiniu, "abc.bkt.clouddn.com", "the S3 name that the console shows"),
            (EndpointType::S3, "https://tos-cn-beijing.volces.com", "https://tos-s3-cn-beijing.volces.com"),
        ] {
            let why = understand(kind, "", text).expect_err(text);
            assert!(why.contains(words), "{why}");
        }
        let with_region = understand(EndpointType::Qiniu, "cn-north-1", "http://mybucket.u.qiniudn.com");
        assert_eq!(with_region.unwrap().address, "https://s3.cn-north-1.qiniucs.com");
    }
}
