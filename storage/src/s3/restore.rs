//! Archived objects of the family: HEAD says how one stands, `POST ?restore` asks for it.
//!
//! Sources: Amazon S3 API reference, "RestoreObject" and "HeadObject" (`x-amz-restore`, `x-amz-archive-status`); OSS,
//! "RestoreObject" and "HeadObject" (`x-oss-restore`); COS, "POST Object restore" (`x-cos-restore`).

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conf::job::{EndpointType, RestoreTier};
use http::{HeaderMap, Method, StatusCode};
use proto::ObjectKey;

use super::S3Store;
use super::request::Call;
use crate::answered::header;
use crate::archive::{Archive, Asked, Stand, Wish, is_archived};
use crate::error::{Op, Result};
use crate::meter::RequestKind;
use crate::payload::Payload;

#[async_trait]
impl Archive for S3Store {
    async fn stand(&self, key: &ObjectKey) -> Result<Stand> {
        let client = self.client();
        let call = Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key));
        let answer = client.send(&call).await?;
        Ok(stand(client.endpoint.kind, client.dialect.prefix, answer.headers()))
    }

    async fn restore(&self, key: &ObjectKey, wish: &Wish<'_>) -> Result<Asked> {
        let client = self.client();
        let body = Payload::new(vec![Bytes::from(body(client.endpoint.kind, wish))]);
        let md5 = STANDARD.encode(body.md5_aside().await);
        let call = Call::new(Op::Restore, RequestKind::Restore, Method::POST, Some(key))
            .query("restore", "")
            .header("content-type", "application/xml")
            .header("content-md5", &md5)
            .body(body);
        match client.send(&call).await {
            // "If the object is previously restored, Amazon S3 returns 200 OK"; OSS says the same.
            Ok(answer) if answer.status() == StatusCode::OK => Ok(Asked::Readable),
            Ok(_) => Ok(Asked::Restoring),
            Err(error) if error.code() == "RestoreAlreadyInProgress" => Ok(Asked::Restoring),
            // "Glacier expedited retrievals are currently not available. Try again later." (HTTP 503)
            Err(error) if error.code() == "GlacierExpeditedRetrievalNotAvailable" => Ok(Asked::Later),
            Err(error) => Err(error),
        }
    }
}

/// What the answer to HEAD says.
fn stand(kind: EndpointType, prefix: &str, headers: &HeaderMap) -> Stand {
    let text = |name: &str| header(headers, &format!("{prefix}{name}"));
    let restore = text("restore");
    if restore.contains("ongoing-request=\"true\"") {
        return Stand::Restoring;
    }
    let (class, status) = (text("storage-class"), text("archive-status"));
    if restore.contains("ongoing-request=\"false\"") {
        return Stand::Readable;
    }
    // INTELLIGENT_TIERING keeps its name: only this header says that the object sleeps.
    let automatic = status.ends_with("ARCHIVE_ACCESS");
    if automatic || is_archived(kind, &class) {
        Stand::Archived { class, automatic }
    } else {
        Stand::Readable
    }
}

/// "Archive" of OSS refuses the element of tiers.
fn has_one_speed(kind: EndpointType, class: &str) -> bool {
    kind == EndpointType::Oss && class.eq_ignore_ascii_case("Archive")
}

/// The tier and the days that the class has: the others are refused, and objects of several classes share a job.
///
/// Sources: Amazon S3 user guide, "Archive retrieval options"; COS, "POST Object restore"; OSS, "RestoreObject".
fn granted(kind: EndpointType, wish: &Wish<'_>) -> (RestoreTier, u32) {
    let is = |class: &str| wish.class.eq_ignore_ascii_case(class);
    let missing = match (kind, wish.tier) {
        (_, RestoreTier::Standard) => false,
        (EndpointType::S3 | EndpointType::Cos, RestoreTier::Expedited) => is("DEEP_ARCHIVE"),
        (EndpointType::Oss, RestoreTier::Bulk) => is("DeepColdArchive"),
        _ => false,
    };
    let tier = if missing { RestoreTier::Standard } else { wish.tier };
    (tier, if has_one_speed(kind, wish.class) { wish.days.min(7) } else { wish.days })
}

/// `RestoreRequest`.
fn body(kind: EndpointType, wish: &Wish<'_>) -> String {
    let (given, days) = granted(kind, wish);
    let tier = match given {
        RestoreTier::Expedited => "Expedited",
        RestoreTier::Standard => "Standard",
        RestoreTier::Bulk => "Bulk",
    };
    if given != wish.tier || days != wish.days {
        tracing::info!(
            class = wish.class,
            tier,
            days,
            "the class has no such tier or time: these are asked for"
        );
    }
    let one_speed = has_one_speed(kind, wish.class);
    let parameters = match kind {
        EndpointType::Oss => "JobParameters",
        EndpointType::Cos => "CASJobParameters",
        _ => "GlacierJobParameters",
    };
    // What comes back for good has no days.
    let days = if wish.automatic { String::new() } else { format!("<Days>{days}</Days>") };
    let speed =
        if one_speed { String::new() } else { format!("<{parameters}><Tier>{tier}</Tier></{parameters}>") };
    let space = match kind {
        EndpointType::S3 => " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"",
        _ => "",
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><RestoreRequest{space}>{days}{speed}</RestoreRequest>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(class: &str, automatic: bool) -> Wish<'_> {
        Wish { class, automatic, tier: RestoreTier::Bulk, days: 3 }
    }

    #[test]
    fn each_service_gets_its_own_words() {
        let inner = |kind, wish: Wish<'_>| {
            let body = body(kind, &wish);
            let at = body.find("<RestoreRequest").and_then(|at| body[at..].find('>').map(|end| at + end + 1));
            body[at.unwrap()..].replace("</RestoreRequest>", "")
        };
        let glacier = "<GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters>";
        assert_eq!(inner(EndpointType::S3, wish("GLACIER", false)), format!("<Days>3</Days>{glacier}"));
        assert_eq!(inner(EndpointType::S3, wish("INTELLIGENT_TIERING", true)), glacier);
        assert_eq!(inner(EndpointType::Oss, wish("Archive", false)), "<Days>3</Days>");
        let cold = "<Days>3</Days><JobParameters><Tier>Bulk</Tier></JobParameters>";
        assert_eq!(inner(EndpointType::Oss, wish("ColdArchive", false)), cold);
        let cos = "<Days>3</Days><CASJobParameters><Tier>Bulk</Tier></CASJobParameters>";
        assert_eq!(inner(EndpointType::Cos, wish("ARCHIVE", false)), cos);
    }

    #[test]
    fn a_class_is_not_asked_for_what_it_does_not_have() {
        let of = |kind, class, tier, days| granted(kind, &Wish { class, automatic: false, tier, days });
        let (fast, plain, bulk) = (RestoreTier::Expedited, RestoreTier::Standard, RestoreTier::Bulk);
        for (kind, class, tier, days, expected) in [
            (EndpointType::S3, "GLACIER", fast, 30, (fast, 30)),
            (EndpointType::S3, "DEEP_ARCHIVE", fast, 30, (plain, 30)),
            (EndpointType::S3, "DEEP_ARCHIVE", bulk, 30, (bulk, 30)),
            (EndpointType::Cos, "DEEP_ARCHIVE", fast, 3, (plain, 3)),
            (EndpointType::Cos, "ARCHIVE", fast, 3, (fast, 3)),
            (EndpointType::Oss, "DeepColdArchive", bulk, 30, (plain, 30)),
            (EndpointType::Oss, "ColdArchive", bulk, 30, (bulk, 30)),
            (EndpointType::Oss, "Archive", plain, 30, (plain, 7)),
        ] {
            assert_eq!(of(kind, class, tier, days), expected, "{class}");
        }
    }

    #[test]
    fn head_says_how_an_object_stands() {
        let stand = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            super::stand(EndpointType::S3, "x-amz-", &headers)
        };
        let archived = |class: &str, automatic| Stand::Archived { class: class.into(), automatic };
        let class = ("x-amz-storage-class", "GLACIER");
        assert_eq!(stand(&[class]), archived("GLACIER", false));
        assert_eq!(stand(&[class, ("x-amz-restore", "ongoing-request=\"true\"")]), Stand::Restoring);
        let done = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2026 00:00:00 GMT\"";
        assert_eq!(stand(&[class, ("x-amz-restore", done)]), Stand::Readable);
        assert_eq!(stand(&[]), Stand::Readable, "another class by now");
        let tiering = ("x-amz-storage-class", "INTELLIGENT_TIERING");
        assert_eq!(stand(&[tiering]), Stand::Readable);
        let deep = ("x-amz-archive-status", "DEEP_ARCHIVE_ACCESS");
        assert_eq!(stand(&[tiering, deep]), archived("INTELLIGENT_TIERING", true));
    }
}
