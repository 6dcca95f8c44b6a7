//! A key is kept byte for byte, or refused by its name: never altered.

use storage::ErrorKind;

use crate::world::{Fate, World};

fn awkward() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "a//b",
        "/a",
        "//",
        " a ",
        "  ",
        "a+b&c=d%20e?#",
        "%2F",
        "%",
        "x%zz",
        "a%2Fb/c",
        "~",
        "*",
        "'",
        "(x)!",
        "\"quoted\"",
        "<xml>&amp;",
        "back\\slash",
        "\\lead",
        ":",
        ";,@$",
        "[]{}|^`",
        "e\u{301}",
        "é",
        "中文",
        "😀/😀",
        "\u{feff}bom",
        "\u{202e}rtl",
        "tab\there",
        "line\nfeed",
        "cr\rlf\n",
        "\u{1}\u{1f}\u{7f}",
        "\u{85}",
        ".",
        "..",
        "...",
        "a/.",
        "a/..",
        "./a",
        "../a",
        "a/./b",
        "a/../b",
        ".hidden",
        "trailing.",
        "trailing/.../x",
        "CON",
        "a/b/c/d/e/f/g/h",
        "-rf",
        "+",
        "=",
        "?",
        "#",
        "?x=y",
        "#frag",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("s".repeat(256));
    keys.push(
        ["l".repeat(200), "m".repeat(200), "n".repeat(200), "o".repeat(200), "p".repeat(219)].join("/"),
    );
    assert!(keys.iter().any(|key| key.len() == 1023));
    keys.push("w".repeat(1025));
    keys
}

/// Put, listed alone under exactly this key, read, then out of the way of the next.
pub(crate) async fn every_key_is_kept_or_refused(world: World) {
    let mut wrong = Vec::new();
    let mut kept = Vec::new();
    for (number, key) in awkward().into_iter().enumerate() {
        let fate = (world.can.key)(&key);
        if fate == Fate::Altered {
            continue;
        }
        let content = format!("content {number}");
        match world.put(&key, content.clone()).await {
            Ok(_) if fate == Fate::Refused => wrong.push(format!("{key:?} was accepted")),
            Ok(_) => kept.push((key, content)),
            Err(error) if error.kind() != ErrorKind::InvalidName => wrong.push(error.to_string()),
            Err(error) if fate == Fate::Kept => wrong.push(error.to_string()),
            Err(_) => {}
        }
    }
    kept.sort();
    let listed = world.all().await;
    let expected: Vec<&String> = kept.iter().map(|(key, _)| key).collect();
    for key in &listed {
        if !expected.contains(&key) {
            wrong.push(format!("{key:?} is listed"));
        }
    }
    for (key, content) in &kept {
        if !listed.contains(key) {
            wrong.push(format!("{key:?} is not listed"));
            continue;
        }
        match world.read(key).await {
            Ok(bytes) if bytes == content.as_bytes() => {}
            other => wrong.push(format!("{key:?} is read as {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(listed.is_sorted_by(|a, b| world.order(a, b).is_le()), "{listed:?}");
}

pub(crate) async fn a_refused_key_disturbs_nothing_else(world: World) {
    world.put("a", "a").await.unwrap();
    for key in awkward().iter().filter(|key| (world.can.key)(key) == Fate::Refused) {
        let error = world.put(key, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert!(
            world.limits().check_name(&key.as_str().into()).is_err(),
            "known before any byte is moved: {key:?}"
        );
    }
    assert_eq!(world.all().await, ["a"]);
}
