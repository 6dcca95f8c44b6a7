//! The bridge to reqsign: signs a request in place, and loads keys anew when a service says that they ran out.

use std::sync::{PoisonError, RwLock};

use conf::{Endpoint, Secret};
use http::request::Parts;
use reqsign_core::{Context, Signer};

use crate::credentials::{self, Given};
use crate::dialect::{Dialect, Scheme};

type Aws = Signer<reqsign_aws_v4::Credential>;
type Oss = Signer<reqsign_aliyun_oss::Credential>;
type Cos = Signer<reqsign_tencent_cos::Credential>;

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
                None => {
                    let chain = reqsign_aws_v4::DefaultCredentialProvider::builder().build();
                    Signer::new(context.clone(), chain, signer)
                }
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
