//! Order, start, bounds, pages.

use storage::ListRequest;

use crate::world::{World, text};

/// In key order; directories, what sorts before and behind their `/`, and characters of one to four bytes.
const KEYS: [&str; 14] =
    [" lead", "A", "a", "a!", "a-b", "a.b", "b/c", "b/d/e", "b/d/f", "b0", "é", "中", "\u{ff5e}", "😀"];

pub(crate) async fn nothing_is_listed_where_nothing_is(world: World) {
    assert!(world.all().await.is_empty());
    let under = ListRequest { under: "no/such/".into(), ..ListRequest::default() };
    assert!(world.keys(under).await.is_empty());
}

pub(crate) async fn keys_come_in_the_order_of_their_bytes(world: World) {
    let mut shuffled = KEYS;
    shuffled.reverse();
    world.put_all(&shuffled).await;
    let mut expected = KEYS;
    expected.sort_by(|a, b| world.order(a, b));
    assert_eq!(world.all().await, expected);
    let pages = world.pages(ListRequest::default()).await.unwrap();
    assert!(pages.len() > 3, "{} pages", pages.len());
    assert!(pages.iter().all(|page| page.prefixes.is_empty()));
}

pub(crate) async fn a_listing_starts_after_any_key(world: World) {
    world.put_all(&KEYS).await;
    for after in
        ["", " ", "a", "a!", "a/", "b", "b/", "b/c", "b/d", "b/d/", "b/d/e", "b/e", "b/\u{7f}", "中", "😀"]
    {
        let after = (!after.is_empty()).then(|| after.into());
        let request = ListRequest { after: after.clone(), ..ListRequest::default() };
        let begin = after.as_ref().map(text).unwrap_or_default();
        let mut expected: Vec<&str> =
            KEYS.into_iter().filter(|key| world.order(&begin, key).is_lt()).collect();
        expected.sort_by(|a, b| world.order(a, b));
        assert_eq!(world.keys(request).await, expected, "after {after:?}");
    }
}

pub(crate) async fn only_keys_under_the_prefix_are_listed(world: World) {
    world.put_all(&KEYS).await;
    for under in ["a", "a-", "b", "b/", "b/d", "b/d/", "b/d/e", "中", "none"] {
        let request = ListRequest { under: under.into(), ..ListRequest::default() };
        let expected: Vec<&str> = KEYS.into_iter().filter(|key| key.starts_with(under)).collect();
        assert_eq!(world.keys(request).await, expected, "under {under:?}");
    }
    let request = ListRequest { under: "b/".into(), after: Some("b/d/e".into()), ..ListRequest::default() };
    assert_eq!(world.keys(request).await, ["b/d/f"]);
}

pub(crate) async fn nothing_before_the_bound_is_left_out(world: World) {
    world.put_all(&KEYS).await;
    for until in ["a", "b/", "b/d/f", "c", "😀"] {
        let request = ListRequest { until: Some(until.into()), ..ListRequest::default() };
        let mut listed = world.keys(request).await;
        // It is a hint: more may come.
        listed.retain(|key| key.as_str() < until);
        let expected: Vec<&str> = KEYS.into_iter().filter(|key| *key < until).collect();
        assert_eq!(listed, expected, "until {until:?}");
    }
}

pub(crate) async fn a_folded_listing_names_what_lies_behind_the_next_slash(world: World) {
    world.put_all(&["a", "b-c/x", "b/c", "b/d/e", "b/d/f", "b0", "c/x/y", "d/x", "e/x", "f/x"]).await;
    let folded = async |under: &str| {
        let request = ListRequest { under: under.into(), folded: true, ..ListRequest::default() };
        let pages = world.pages(request).await.unwrap();
        let keys: Vec<String> =
            pages.iter().flat_map(|page| &page.entries).map(|entry| text(&entry.key)).collect();
        let prefixes: Vec<String> = pages.iter().flat_map(|page| &page.prefixes).map(text).collect();
        (keys.join(" "), prefixes.join(" "))
    };
    assert_eq!(folded("").await, ("a b0".into(), "b-c/ b/ c/ d/ e/ f/".into()));
    assert_eq!(folded("b/").await, ("b/c".into(), "b/d/".into()));
    assert_eq!(folded("b/d/").await, ("b/d/e b/d/f".into(), String::new()));
}

pub(crate) async fn an_entry_says_what_the_object_is(world: World) {
    world.put("x", vec![1; 4321]).await.unwrap();
    let entry = world.entries(ListRequest::default()).await.remove(0);
    let head = world.source.head(&"x".into()).await.unwrap();
    assert_eq!((entry.size, head.size), (4321, 4321));
    let seconds = |ms: Option<i64>| ms.map(|ms| ms.div_euclid(1000));
    assert!(entry.modified_ms.is_some());
    assert_eq!(seconds(entry.modified_ms), seconds(head.modified_ms));
    if let (Some(listed), Some(looked)) = (&entry.etag, &head.etag) {
        assert_eq!(listed.to_lowercase(), looked.to_lowercase());
        assert!(!listed.contains('"'));
    }
    assert_eq!(entry.class, None);
}
