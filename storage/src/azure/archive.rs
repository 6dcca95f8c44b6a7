//! Blobs of the Archive tier: HEAD says how one stands, Set Blob Tier asks for it. A blob comes back to the tier Hot
//! for good: there are no copies for some days. Its ETag and its time stay the same.
//!
//! Sources: Azure Blob REST API, "Set Blob Tier" and "Get Blob Properties" (`x-ms-archive-status`); "Blob rehydration
//! from the archive tier".

use async_trait::async_trait;
use conf::job::RestoreTier;
use http::{HeaderMap, Method, StatusCode};
use proto::ObjectKey;

use super::AzureStore;
use crate::answered::header;
use crate::archive::{Archive, Asked, Stand, Wish};
use crate::error::{Op, Result};
use crate::meter::RequestKind;
use crate::s3::Call;

#[async_trait]
impl Archive for AzureStore {
    async fn stand(&self, key: &ObjectKey) -> Result<Stand> {
        let call = Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key));
        Ok(stand(self.0.send(&call).await?.headers()))
    }

    async fn restore(&self, key: &ObjectKey, wish: &Wish<'_>) -> Result<Asked> {
        let priority = match wish.tier {
            RestoreTier::Expedited => "High",
            RestoreTier::Standard | RestoreTier::Bulk => "Standard",
        };
        let call = Call::new(Op::Restore, RequestKind::Restore, Method::PUT, Some(key))
            .query("comp", "tier")
            .header("x-ms-access-tier", "Hot")
            .header("x-ms-rehydrate-priority", priority);
        match self.0.send(&call).await {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(Asked::Readable),
            Ok(_) => Ok(Asked::Restoring),
            Err(error) if error.code() == "BlobBeingRehydrated" => Ok(Asked::Restoring),
            Err(error) => Err(error),
        }
    }
}

fn stand(headers: &HeaderMap) -> Stand {
    if header(headers, "x-ms-archive-status").starts_with("rehydrate-pending") {
        return Stand::Restoring;
    }
    let class = header(headers, "x-ms-access-tier");
    if class.eq_ignore_ascii_case("Archive") {
        Stand::Archived { class, automatic: false }
    } else {
        Stand::Readable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_says_how_a_blob_stands() {
        let stand = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            super::stand(&pairs.collect::<HeaderMap>())
        };
        let tier = |tier| ("x-ms-access-tier", tier);
        let asleep = Stand::Archived { class: "Archive".into(), automatic: false };
        assert_eq!(stand(&[tier("Archive")]), asleep);
        let waking = ("x-ms-archive-status", "rehydrate-pending-to-hot");
        assert_eq!(stand(&[tier("Archive"), waking]), Stand::Restoring);
        assert_eq!(stand(&[tier("Hot")]), Stand::Readable);
        assert_eq!(stand(&[tier("Cool")]), Stand::Readable);
    }
}
