//! The address of a service: its parts, and what its name says about region and bucket.

use std::net::IpAddr;

use crate::address::KS3_REGIONS;
use crate::job::EndpointType;

/// `scheme://host[:port]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) scheme: &'static str,
    /// Lower case; an IPv6 address keeps its brackets.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl Host {
    /// Takes an endpoint as users write it. The error says what is wrong and what to do.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            None => ("https", text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some(_) => {
                return Err("has a scheme other than http and https: write https://HOST or HOST".into());
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err("has a user name in it: credentials belong into access_key and secret_key".into());
        }
        if let Some((host, path)) = rest.split_once(['/', '?', '#', '\\']) {
            return Err(format!(
                "has the path {path:?} behind the host: write {host} only; the bucket belongs into bucket, the rest into prefix"
            ));
        }
        let (name, port) = split_port(rest)?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let labels = !name.starts_with('-')
            && name.split('.').all(|label| !label.is_empty())
            && name.chars().all(good);
        let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        match v6 {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => {}
            None if labels => {}
            _ => {
                return Err(format!(
                    "names the host {name:?}, which is none: write HOST or HOST:PORT, [ADDRESS]:PORT for IPv6"
                ));
            }
        }
        Ok(Host { scheme, name: name.to_ascii_lowercase(), port })
    }

    /// As it stands in the valid form.
    pub(crate) fn url(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme, self.name)
    }

    /// An IP address or this machine: no name that could hold a bucket.
    pub(crate) fn is_plain(&self) -> bool {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || self.name == "localhost"
    }

    /// The same for every address of the same service: the public and the internal one, http and https.
    pub(crate) fn identity(&self) -> String {
        let standard = if self.scheme == "http" { 80 } else { 443 };
        let port = match self.port {
            Some(port) if port != standard => format!(":{port}"),
            _ => String::new(),
        };
        format!("{}{port}", same_service(&self.name))
    }

    /// The region that the name says, if it says one.
    pub(crate) fn region(&self, kind: EndpointType) -> Option<String> {
        match kind {
            EndpointType::Oss => oss_region(&self.name),
            EndpointType::S3 => {
                let name = &self.name;
                s3_region(name)
                    .or_else(|| oss_region(name).map(|region| format!("oss-{region}")))
                    .or_else(|| label(name, "obs.", ".myhuaweicloud.com"))
                    .or_else(|| label(name, "tos-s3-", ".volces.com"))
            }
            EndpointType::Cos => label(&self.name, "cos.", ".myqcloud.com")
                .or_else(|| label(&self.name, "cos.", ".tencentcos.cn"))
                .or_else(|| label(&self.name, "cos-internal.", ".tencentcos.cn"))
                .filter(|region| !region.starts_with("accelerate")),
            EndpointType::Bos => {
                label(&self.name, "s3.", ".bcebos.com").or_else(|| label(&self.name, "", ".bcebos.com"))
            }
            EndpointType::Qiniu => {
                let name = self.name.replacen("s3-", "s3.", 1);
                label(&name, "s3.", ".qiniucs.com")
            }
            EndpointType::Ks3 => ks3_region(&self.name),
            EndpointType::Azure | EndpointType::Youpai | EndpointType::Http | EndpointType::Local => None,
        }
    }
}

/// One name for all that a service is reached by: the public and the internal address, old and new ones, and those
/// of its other interfaces. Buckets of Amazon have one name in all regions.
fn same_service(name: &str) -> String {
    if let Some(name) = name.strip_suffix(".aliyuncs.com") {
        let name = name.strip_suffix("-internal").unwrap_or(name);
        return format!("{}.aliyuncs.com", name.strip_prefix("s3.").unwrap_or(name));
    }
    if ["v0", "v1", "v2", "v3"].map(|line| format!("{line}.api.upyun.com")).contains(&name.to_owned()) {
        // The lines of several carriers.
        return "api.upyun.com".to_owned();
    }
    if s3_region(name).is_some() || name == "s3-accelerate.amazonaws.com" {
        let china = if name.ends_with(".cn") { ".cn" } else { "" };
        return format!("s3.amazonaws.com{china}");
    }
    let of = |kind: EndpointType| {
        let host = Host { scheme: "https", name: name.to_owned(), port: None };
        host.region(kind).map(|region| format!("{} of {}", region.to_lowercase(), kind.name()))
    };
    let kinds = [EndpointType::Cos, EndpointType::Bos, EndpointType::Ks3, EndpointType::Qiniu];
    kinds.into_iter().find_map(of).unwrap_or_else(|| name.to_owned())
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let bracket = text.rfind(']').unwrap_or(0);
    let Some(colon) = text.rfind(':').filter(|colon| *colon >= bracket) else { return Ok((text, None)) };
    let (name, port) = (&text[..colon], &text[colon + 1..]);
    if name.contains(':') && !name.starts_with('[') {
        return Err("is an IPv6 address without brackets: write [ADDRESS]:PORT".into());
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((name, Some(port))),
        _ => Err(format!("has the port {port:?}: write a number from 1 to 65535")),
    }
}

/// What stands between a beginning and an end, when it is one label.
fn label(name: &str, begin: &str, end: &str) -> Option<String> {
    let middle = name.strip_prefix(begin)?.strip_suffix(end)?;
    (!middle.is_empty() && !middle.contains('.')).then(|| middle.to_owned())
}

/// `oss-cn-hangzhou[-internal].aliyuncs.com`; accelerated and private names say none.
fn oss_region(name: &str) -> Option<String> {
    let name = name.strip_prefix("s3.").unwrap_or(name);
    let region = label(name, "oss-", ".aliyuncs.com")?;
    let region = region.strip_suffix("-internal").unwrap_or(&region);
    (!region.starts_with("accelerate")).then(|| region.to_owned())
}

/// `s3.REGION.amazonaws.com[.cn]`, `s3-REGION`, `s3.dualstack.REGION`; `s3.amazonaws.com` is us-east-1.
fn s3_region(name: &str) -> Option<String> {
    let name = name.strip_suffix(".cn").unwrap_or(name).strip_suffix(".amazonaws.com")?;
    if matches!(name, "s3" | "s3-external-1") {
        return Some("us-east-1".to_owned());
    }
    let rest = name.strip_prefix("s3.").or_else(|| name.strip_prefix("s3-"))?;
    let rest = rest.strip_prefix("fips.").or_else(|| rest.strip_prefix("fips-")).unwrap_or(rest);
    let region = rest.strip_prefix("dualstack.").unwrap_or(rest);
    (!region.contains('.') && !region.starts_with("accelerate")).then(|| region.to_owned())
}

fn ks3_region(name: &str) -> Option<String> {
    let name = name.strip_suffix(".ksyuncs.com").or_else(|| name.strip_suffix(".ksyun.com"))?;
    let part = name.strip_suffix("-internal").unwrap_or(name);
    if matches!(part, "kss" | "ks3") {
        return Some("HANGZHOU".to_owned());
    }
    let part = part.strip_prefix("ks3-")?;
    KS3_REGIONS.iter().find(|(known, _)| *known == part).map(|(_, region)| (*region).to_owned())
}
