//! What the destination already has is left alone. Pure.
//!
//! The rule: same size, and the destination's object is not older than the source's at a resolution of one
//! second, or was written from a source of the same time (its `mtime` metadata). Two ETags that are both
//! plain MD5 and differ overrule it; where the source has no time, only two equal ones allow to skip.

use proto::manifest::Entry;
use storage::ObjectMeta;

/// The destination's object of the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Bytes.
    pub(crate) size: u64,
    /// Last modified, Unix milliseconds.
    pub(crate) modified_ms: Option<i64>,
    /// Without quotes.
    pub(crate) etag: Option<String>,
    /// The source's time that was stored with it, Unix milliseconds.
    pub(crate) stored_ms: Option<i64>,
}

/// The user metadata that holds the source's time: Unix seconds with a fraction, as rclone writes it.
pub(crate) const MTIME: &str = "mtime";

/// Why it may be left alone; nothing: move it.
pub(crate) fn may_skip(entry: &Entry, standing: &Standing) -> Option<&'static str> {
    if entry.size != standing.size {
        return None;
    }
    let same_md5 = match (plain_md5(entry.etag.as_deref()), plain_md5(standing.etag.as_deref())) {
        (Some(ours), Some(theirs)) => Some(ours.eq_ignore_ascii_case(theirs)),
        _ => None,
    };
    if same_md5 == Some(false) {
        return None;
    }
    let Some(source) = entry.modified_ms.map(seconds) else {
        return same_md5.map(|_| "the destination has it: same size, same ETag");
    };
    if standing.stored_ms.map(seconds) == Some(source) {
        return Some("the destination has it: same size, written from a source of this time");
    }
    if standing.modified_ms.map(seconds).is_some_and(|there| there >= source) {
        return Some("the destination has it: same size, not older than the source");
    }
    None
}

/// An ETag of 32 hex digits: what an MD5 looks like.
pub(crate) fn plain_md5(etag: Option<&str>) -> Option<&str> {
    etag.filter(|etag| etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn seconds(ms: i64) -> i64 {
    ms.div_euclid(1000)
}

/// Unix milliseconds as the `mtime` metadata has them.
pub(crate) fn mtime_text(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    match ms % 1000 {
        0 => format!("{sign}{}", ms / 1000),
        fraction => format!("{sign}{}.{fraction:03}", ms / 1000),
    }
}

/// What `mtime_text`, rclone or s3cmd wrote; nothing where it is no number.
fn mtime_ms(text: &str) -> Option<i64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds.abs() < 1e12).then_some((seconds * 1000.0).round() as i64)
}

impl From<&ObjectMeta> for Standing {
    fn from(meta: &ObjectMeta) -> Self {
        let stored = meta.headers.user.iter().find(|(name, _)| name == MTIME);
        Standing {
            size: meta.size,
            modified_ms: meta.modified_ms,
            etag: meta.etag.clone(),
            stored_ms: stored.and_then(|(_, value)| mtime_ms(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(modified_ms: Option<i64>, etag: Option<&str>) -> Entry {
        Entry { size: 7, modified_ms, etag: etag.map(str::to_owned), ..Entry::default() }
    }

    fn standing(modified_ms: Option<i64>, etag: Option<&str>) -> Standing {
        Standing { size: 7, modified_ms, etag: etag.map(str::to_owned), stored_ms: None }
    }

    #[test]
    fn time_and_size_decide() {
        let source = entry(Some(5_900), None);
        assert!(may_skip(&source, &standing(Some(5_100), None)).is_some(), "the same second");
        assert!(may_skip(&source, &standing(Some(9_000), None)).is_some());
        assert!(may_skip(&source, &standing(Some(4_999), None)).is_none(), "older");
        assert!(may_skip(&source, &standing(None, None)).is_none(), "not known");
        let larger = Standing { size: 8, ..standing(Some(9_000), None) };
        assert!(may_skip(&source, &larger).is_none());
    }

    #[test]
    fn the_stored_source_time_counts_where_the_clocks_do_not() {
        let old = Standing { stored_ms: Some(5_000), ..standing(Some(1_000), None) };
        assert!(may_skip(&entry(Some(5_900), None), &old).is_some());
        assert!(may_skip(&entry(Some(6_000), None), &old).is_none());
    }

    #[test]
    fn two_md5s_overrule_the_time() {
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        let newer = standing(Some(9_000), Some(&b));
        assert!(may_skip(&entry(Some(5_000), Some(&a)), &newer).is_none());
        assert!(may_skip(&entry(Some(5_000), Some(&b.to_uppercase())), &newer).is_some());
        let parts = format!("{a}-4");
        assert!(
            may_skip(&entry(Some(5_000), Some(&parts)), &newer).is_some(),
            "not comparable: time decides"
        );
        assert!(may_skip(&entry(None, Some(&b)), &newer).is_some(), "no time, but the same MD5");
        assert!(may_skip(&entry(None, Some(&parts)), &newer).is_none());
    }

    #[test]
    fn the_stored_time_is_read_as_it_was_written() {
        for ms in [0, 1, 999, 1_354_040_105_123, -1_500, -1] {
            assert_eq!(mtime_ms(&mtime_text(ms)), Some(ms));
        }
        assert_eq!(mtime_text(1_354_040_105_120), "1354040105.120");
        assert_eq!(mtime_ms("1354040105.123456789"), Some(1_354_040_105_123));
        assert_eq!(mtime_ms("NaN"), None);
        assert_eq!(mtime_ms("yesterday"), None);
    }
}
