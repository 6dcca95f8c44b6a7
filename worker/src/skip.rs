//! What the destination already has is left alone. Pure.
//!
//! The rule: same size, and the destination's object is not older than the source's, or was written from a
//! source of the same time (its `mtime` metadata). Two ETags that are both plain MD5 and differ overrule it;
//! where the source has no time, only two equal ones allow to skip. A file has its source's time itself: another
//! time is another version, a newer one as well, for an older file may have taken the place of what was copied.
//!
//! A source that is changed while it is moved is older than the copy of what it was before. So where nothing but
//! the times speaks for the copy, and it was written soon after the source's time, the `mtime` that was stored
//! with it has to agree: one question for such an object, and none for all others.

use std::cmp::Ordering;

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

/// What follows from what is known of the destination's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It may be left alone, for this reason.
    Leave(&'static str),
    /// The source's object is another one.
    Move,
    /// Its own time is too near to the source's: look at what is stored with it.
    Ask,
}

/// What may pass between the listing of an object and the end of its write, clocks that differ included, plus
/// what its bytes take: a source that was changed in between has a time before the destination's.
const WINDOW_MS: i64 = 3_600_000;
/// Bytes that a slow line moves in a millisecond.
const SLOW: u64 = 1 << 10;

/// Compares what was listed, or, `asked`, what the destination's object says itself.
pub(crate) fn choose(entry: &Entry, standing: &Standing, asked: bool) -> Choice {
    if entry.size != standing.size {
        return Choice::Move;
    }
    let same_md5 = match (plain_md5(entry.etag.as_deref()), plain_md5(standing.etag.as_deref())) {
        (Some(ours), Some(theirs)) => Some(ours.eq_ignore_ascii_case(theirs)),
        _ => None,
    };
    if same_md5 == Some(false) {
        return Choice::Move;
    }
    let Some(source) = entry.modified_ms else {
        return match same_md5 {
            Some(_) => Choice::Leave("the destination has it: same size, same ETag"),
            None => Choice::Move,
        };
    };
    let stored = standing.stored_ms.map(|stored| order(stored, source));
    if stored == Some(Ordering::Equal) {
        return Choice::Leave("the destination has it: same size, written from a source of this time");
    }
    let Some(there) = standing.modified_ms.filter(|there| order(*there, source) != Ordering::Less) else {
        return Choice::Move;
    };
    let newer = Choice::Leave("the destination has it: same size, not older than the source");
    if same_md5.is_some() {
        return newer;
    }
    if stored.is_some() {
        return Choice::Move;
    }
    let window = i64::try_from(entry.size / SLOW).unwrap_or(i64::MAX).saturating_add(WINDOW_MS);
    if asked || there.saturating_sub(source) > window { newer } else { Choice::Ask }
}

/// Of two times, as far as both are known: a service that tells whole seconds is compared by those.
fn order(a: i64, b: i64) -> Ordering {
    if a % 1000 == 0 || b % 1000 == 0 { a.div_euclid(1000).cmp(&b.div_euclid(1000)) } else { a.cmp(&b) }
}

/// An ETag of 32 hex digits: what an MD5 looks like.
pub(crate) fn plain_md5(etag: Option<&str>) -> Option<&str> {
    etag.filter(|etag| etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit()))
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

impl Standing {
    /// Of a local destination.
    pub(crate) fn file(self) -> Self {
        Standing { stored_ms: self.modified_ms, ..self }
    }
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

    fn may_skip(entry: &Entry, standing: &Standing) -> Option<&'static str> {
        match choose(entry, standing, true) {
            Choice::Leave(why) => Some(why),
            Choice::Move | Choice::Ask => None,
        }
    }

    #[test]
    fn a_copy_that_was_written_soon_after_is_asked_for_the_time_that_it_was_made_from() {
        let listed =
            |seconds: i64| choose(&entry(Some(5_900), None), &standing(Some(seconds * 1000), None), false);
        assert_eq!(listed(4), Choice::Move);
        assert_eq!(listed(5), Choice::Ask);
        assert_eq!(listed(3600), Choice::Ask);
        assert!(matches!(listed(3700), Choice::Leave(_)), "no move takes so long");
        let large = Entry { size: 100 << 30, ..entry(Some(5_900), None) };
        let written = Standing { size: 100 << 30, ..standing(Some(20 * 3_600_000), None) };
        assert_eq!(choose(&large, &written, false), Choice::Ask, "this one may");
        let md5 = "a".repeat(32);
        let (ours, theirs) = (entry(Some(5_900), Some(&md5)), standing(Some(6_000), Some(&md5)));
        assert!(matches!(choose(&ours, &theirs, false), Choice::Leave(_)), "the bytes are the same");
        let before = Standing { stored_ms: Some(5_800), ..standing(Some(9_000), None) };
        assert_eq!(choose(&entry(Some(5_900), None), &before, true), Choice::Move, "of an earlier version");
    }

    #[test]
    fn time_and_size_decide() {
        let source = entry(Some(5_900), None);
        assert!(may_skip(&source, &standing(Some(5_000), None)).is_some(), "the same second");
        assert!(may_skip(&source, &standing(Some(5_100), None)).is_none(), "both are exact");
        assert!(may_skip(&source, &standing(Some(9_000), None)).is_some());
        assert!(may_skip(&source, &standing(Some(4_999), None)).is_none(), "older");
        assert!(may_skip(&source, &standing(None, None)).is_none(), "not known");
        let larger = Standing { size: 8, ..standing(Some(9_000), None) };
        assert!(may_skip(&source, &larger).is_none());
    }

    #[test]
    fn the_stored_source_time_counts_where_the_clocks_do_not() {
        let old = Standing { stored_ms: Some(5_000), ..standing(Some(1_000), None) };
        assert!(may_skip(&entry(Some(5_900), None), &old).is_some(), "whole seconds");
        assert!(may_skip(&entry(Some(6_000), None), &old).is_none());
    }

    #[test]
    fn a_file_has_to_have_the_time_of_its_source() {
        let source = entry(Some(5_900), None);
        let file = |ms| standing(Some(ms), Some("c0ffee-1")).file();
        assert!(matches!(choose(&source, &file(5_900), true), Choice::Leave(_)));
        assert!(matches!(choose(&source, &file(5_000), true), Choice::Leave(_)), "whole seconds");
        for other in [4_900, 5_901, 9_000_000] {
            assert_eq!(choose(&source, &file(other), true), Choice::Move, "{other}");
        }
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
