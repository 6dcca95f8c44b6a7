//! Which keys are paths that UPYUN can hold.

use proto::ObjectKey;

/// What is wrong with a key, if anything. How long a path may be is left to the service: it is documented nowhere,
/// and it says so ("file path too long", "file name too long").
pub(super) fn rule(key: &ObjectKey) -> Result<(), String> {
    check(key.as_bytes(), false)
}

/// The same where the key's first part goes on with the prefix's last one.
pub(super) fn rule_behind(key: &ObjectKey) -> Result<(), String> {
    check(key.as_bytes(), true)
}

/// The same for a whole path.
pub(super) fn check(path: &[u8], begun: bool) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(path) else {
        return Err("the key is not UTF-8".into());
    };
    if text.is_empty() {
        return Err("the key is empty".into());
    }
    // "file name contains invalid chars (\r\n\t)".
    if text.contains(['\r', '\n', '\t', '\0']) {
        return Err("UPYUN takes no tabs, line ends and NULs in names".into());
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    for (at, segment) in path.split('/').enumerate() {
        match segment {
            "" if at == 0 && begun => {}
            "" => return Err("an empty part is no folder: UPYUN holds paths".into()),
            // With `begun` it may be a part of a longer name; the whole path is checked again.
            "." | ".." if at > 0 || !begun => {
                return Err(format!("{segment:?} is no name: UPYUN holds paths"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_names() {
        for good in ["a", "a/b", "dir/", "a b", " ", "...", ".hidden", "a\\b", "%2F", "é/😀", "a?b#c", "x!y"]
        {
            assert_eq!(rule(&good.into()), Ok(()), "{good:?}");
        }
        for bad in
            ["", "/", "/a", "a//b", "//", "a//", ".", "..", "a/./b", "../a", "a\nb", "a\tb", "a\rb", "\0"]
        {
            assert!(rule(&bad.into()).is_err(), "{bad:?}");
        }
        assert!(rule(&ObjectKey::new(vec![0xff])).is_err());
    }

    #[test]
    fn behind_a_prefix_that_is_no_folder_a_slash_may_come_first() {
        assert_eq!(rule_behind(&"/a".into()), Ok(()));
        assert_eq!(rule_behind(&".".into()), Ok(()));
        assert!(rule_behind(&"//a".into()).is_err());
    }
}
