//! Which keys the service can hold.

use proto::ObjectKey;

/// "Naming and referencing containers, blobs, and metadata": 1 to 1,024 characters, at most 254 segments. The
/// service takes a name for the path of an address: it removes segments of dots and dots at the end of a segment,
/// and turns `\` into `/`, so that another blob would be written. Control characters are not allowed.
pub(super) fn check(key: &ObjectKey) -> Result<(), String> {
    let Some(text) = key.to_str() else { return Err("the key is not UTF-8".into()) };
    if text.is_empty() {
        return Err("the key is empty".into());
    }
    if text.encode_utf16().count() > 1024 {
        return Err("the key is longer than 1024 characters".into());
    }
    if text.split('/').count() > 254 {
        return Err("the key has more than 254 parts between slashes".into());
    }
    if text.split('/').any(|segment| segment.ends_with('.')) {
        return Err("a part of it ends in a dot, which the service removes".into());
    }
    if text.contains('\\') {
        return Err("it has a \\ in it, which the service turns into a /".into());
    }
    if text.chars().any(|c| c.is_control()) {
        return Err("it has a control character in it".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_that_the_service_would_change_are_refused() {
        for good in ["a", "a//b", "/a", " a ", "dir/", ".hidden", "a.b/c", "..hidden", "%2F", "\u{1F600}"] {
            assert_eq!(check(&good.into()), Ok(()), "{good:?}");
        }
        assert_eq!(check(&"ä".repeat(1024).as_str().into()), Ok(()));
        for bad in ["", ".", "..", "a/./b", "a/../b", "Inc./x", "end.", "a\\b", "a\tb", "a\u{7f}", "\u{81}"] {
            assert!(check(&bad.into()).is_err(), "{bad:?}");
        }
        assert!(check(&"a".repeat(1025).as_str().into()).is_err());
        assert!(check(&"a/".repeat(254).as_str().into()).is_err());
    }
}
