//! The bridge to reqsign: signs a request in place, and loads keys anew when a service says that they ran out.
//!
//! Keys that nobody named are looked for where their own vendor puts them. Amazon's are sent to Amazon, and to
//! a server of one's own where they stand in the environment or a profile; never to another vendor's service.

use std::sync::{PoisonError, RwLock};

use conf::address::{KeysFrom, keys_from};
use conf::{Endpoint, Secret};
use http::request::Parts;
use reqsign_core::{Context, Signer};

use crate::credentials::{self, Given};
use crate::dialect::{Dialect, Scheme};

type Aws = Signer<reqsign_aws_v4::Credential>;
type Oss = Signer<reqsign_aliyun_oss::Credential>;
type Cos = Signer<reqsign_tencent_cos::Credential>;

/// Without them nothing can be signed.
const NEEDED: &str = "access_key and secret_key are needed: keys of Amazon's environment, profile or instance role are not sent to this service";

/// Signs the requests of one endpoint.
#[derive(Debug)]
pub(crate) struct Signing {
    endpoint: Endpoint,
    scheme: Scheme,
    context: Context,
    signer: RwLock<Kind>,
}

#[derive(Debug, Clone)]
enum Kind {
    Anonymous,
    /// It has no place of its own where keys are, and nobody named any.
    Keyless,
    Aws(Aws),
    Oss(Oss),
    Cos(Cos),
}

impl Signing {
    pub(crate) fn new(endpoint: &Endpoint, dialect: &Dialect) -> Self {
        let context = credentials::context();
        let signer = RwLock::new(make(endpoint, dialect.scheme, &context));
        Signing { endpoint: endpoint.clone(), scheme: dialect.scheme, context, signer }
    }

    /// Signs. The URI must be encoded already, and every header that is to be signed must be there.
    pub(crate) async fn sign(&self, parts: &mut Parts) -> Result<(), String> {
        let signer = self.signer.read().unwrap_or_else(PoisonError::into_inner).clone();
        let signed = match signer {
            Kind::Anonymous => Ok(()),
            Kind::Keyless => return Err(NEEDED.into()),
            Kind::Aws(signer) => signer.sign(parts, None).await,
            Kind::Oss(signer) => signer.sign(parts, None).await,
            Kind::Cos(signer) => {
                text_only(parts)?;
                signer.sign(parts, None).await
            }
        };
        signed.map_err(|error| {
            let why = crate::error::chain(&error);
            if Given::<()>::of(&self.endpoint).is_some() {
                return format!("the request cannot be signed: {why}");
            }
            format!(
                "no keys are set, and the environment, the profile and the instance role gave none ({why}): \
                 set access_key and secret_key, or anonymous = true for a public bucket"
            )
        })
    }

    /// Loading the keys again may give others.
    pub(crate) fn renewable(&self) -> bool {
        let Endpoint { access_key, secret_key, session_token, .. } = &self.endpoint;
        let from_file = [access_key, secret_key, session_token].iter().any(|s| matches!(s, Secret::File(_)));
        !self.endpoint.anonymous && (from_file || Given::<()>::of(&self.endpoint).is_none())
    }

    /// Forgets the keys that are cached: the next request reads them where they come from.
    pub(crate) fn reload(&self) {
        let fresh = make(&self.endpoint, self.scheme, &self.context);
        *self.signer.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

/// Where Amazon's keys are, as far as they are for this endpoint.
fn amazons(endpoint: &Endpoint) -> Option<reqsign_aws_v4::DefaultCredentialProvider> {
    let chain = reqsign_aws_v4::DefaultCredentialProvider::builder();
    match keys_from(endpoint) {
        KeysFrom::Chain => Some(chain.build()),
        // What the machine itself was given is for Amazon alone.
        KeysFrom::Environment => {
            Some(chain.no_sso().no_web_identity().no_process().no_ecs().no_imds().build())
        }
        KeysFrom::Nowhere => None,
    }
}

/// The signer of COS panics where a header is no visible ASCII.
fn text_only(parts: &Parts) -> Result<(), String> {
    match parts.headers.iter().find(|(_, value)| value.to_str().is_err()) {
        Some((name, _)) => Err(format!("the header {name} is not ASCII, which the signature does not allow")),
        None => Ok(()),
    }
}

fn make(endpoint: &Endpoint, scheme: Scheme, context: &Context) -> Kind {
    if endpoint.anonymous {
        return Kind::Anonymous;
    }
    match scheme {
        Scheme::AwsV4 => {
            let signer = reqsign_aws_v4::RequestSigner::new("s3", &endpoint.region);
            Kind::Aws(match Given::of(endpoint) {
                Some(given) => Signer::new(context.clone(), given, signer),
                None => match amazons(endpoint) {
                    Some(chain) => Signer::new(context.clone(), chain, signer),
                    None => return Kind::Keyless,
                },
            })
        }
        Scheme::Cos => {
            let signer = reqsign_tencent_cos::RequestSigner::new();
            Kind::Cos(match Given::of(endpoint) {
                Some(given) => Signer::new(context.clone(), given, signer),
                None => Signer::new(
                    context.clone(),
                    reqsign_tencent_cos::DefaultCredentialProvider::new(),
                    signer,
                ),
            })
        }
        Scheme::Oss => {
            use reqsign_aliyun_oss::SigningVersion;
            let signer = reqsign_aliyun_oss::RequestSigner::new(&endpoint.bucket);
            let signer = match endpoint.signature_version {
                1 => signer.with_signing_version(SigningVersion::V1),
                _ => signer.with_signing_version(SigningVersion::V4).with_region(endpoint.region.clone()),
            };
            Kind::Oss(match Given::of(endpoint) {
                Some(given) => Signer::new(context.clone(), given, signer),
                None => {
                    Signer::new(context.clone(), reqsign_aliyun_oss::DefaultCredentialProvider::new(), signer)
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use conf::job::EndpointType;
    use http::{HeaderMap, Request};

    use super::*;
    use crate::dialect::{BOS, KS3, QINIU, provider};

    /// Amazon's keys as they lie about on a machine of Amazon: in a profile, and with the instance.
    async fn sign(kind: EndpointType, service: &str, address: &str) -> Result<HeaderMap, String> {
        let dialect = match kind {
            EndpointType::Bos => &BOS,
            EndpointType::Ks3 => &KS3,
            EndpointType::Qiniu => &QINIU,
            _ => provider(service),
        };
        let endpoint = Endpoint {
            kind,
            provider: service.into(),
            endpoint: address.into(),
            region: "r".into(),
            bucket: "b".into(),
            ..Endpoint::default()
        };
        let home = tempfile::TempDir::new().unwrap();
        let file = home.path().join("credentials");
        let text = "[default]\naws_access_key_id = AKIDAMAZON\naws_secret_access_key = s\naws_session_token = TOKEN\n";
        std::fs::write(&file, text).unwrap();
        let found = reqsign_core::StaticEnv {
            home_dir: Some(home.path().to_owned()),
            envs: [
                ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), file.display().to_string()),
                ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            ]
            .into(),
        };
        let context = credentials::context().with_env(found);
        let signer = RwLock::new(make(&endpoint, dialect.scheme, &context));
        let signing = Signing { endpoint, scheme: dialect.scheme, context, signer };
        let (mut parts, ()) = Request::get(format!("{address}/b/k")).body(()).unwrap().into_parts();
        signing.sign(&mut parts).await.map(|()| parts.headers)
    }

    #[tokio::test]
    async fn keys_of_amazon_are_not_sent_to_another_vendor() {
        for (kind, service, address) in [
            (EndpointType::Bos, "", "https://s3.bj.bcebos.com"),
            (EndpointType::Ks3, "", "https://ks3-cn-beijing.ksyuncs.com"),
            (EndpointType::Qiniu, "", "https://s3.cn-east-1.qiniucs.com"),
            (EndpointType::S3, "gcs", "https://storage.googleapis.com"),
            (EndpointType::S3, "obs", "https://obs.cn-north-4.myhuaweicloud.com"),
            (EndpointType::S3, "tos", "https://tos-s3-cn-beijing.volces.com"),
            (EndpointType::S3, "netease", "https://nos-eastchina1.126.net"),
            (EndpointType::S3, "chinamobile", "https://eos-beijing-1.cmecloud.cn"),
            (EndpointType::S3, "us3", "https://internal.s3-cn-bj.ufileos.com"),
            (EndpointType::S3, "", "https://oss-cn-beijing.aliyuncs.com"),
        ] {
            let why = sign(kind, service, address).await.expect_err(address);
            assert!(why.contains("access_key and secret_key are needed"), "{address}: {why}");
        }
        for (service, address) in [
            ("", "https://s3.eu-west-1.amazonaws.com"),
            ("aws", "https://bucket.vpce-1-a.s3.us-east-1.vpce.amazonaws.com"),
            // A profile is somebody's word, and servers of one's own are used so.
            ("minio", "http://minio:9000"),
            ("", "http://127.0.0.1:9000"),
        ] {
            let headers = sign(EndpointType::S3, service, address).await.expect(address);
            assert!(headers["authorization"].to_str().unwrap().contains("AKIDAMAZON"), "{headers:?}");
        }
    }
}
