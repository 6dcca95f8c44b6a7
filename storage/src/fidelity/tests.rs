//! Published vectors of the encodings, and what each row of the table does with names and values.

use proptest::prelude::*;

use super::*;

fn user(pairs: &[(&str, &str)]) -> Headers {
    Headers { user: pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(), ..Headers::default() }
}

/// What a source of this type reads of what was written to it.
fn back(service: &Service, written: &[(String, String)]) -> Vec<(String, String)> {
    let Some(metadata) = &service.metadata else { return Vec::new() };
    let pair = |(name, value): &(String, String)| {
        Some((name.strip_prefix(metadata.prefix)?.to_owned(), metadata.decode(value)))
    };
    written.iter().filter_map(pair).collect()
}

#[test]
fn the_examples_of_rfc_2047() {
    for (word, text) in [
        ("=?ISO-8859-1?Q?Andr=E9?=", "André"),
        ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"),
        ("=?US-ASCII?Q?Keith_Moore?=", "Keith Moore"),
        (
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-1?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        ("=?ISO-8859-1?Q?a?=\t =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        // RFC 2231, section 5.
        ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
    ] {
        assert_eq!(text_of(word), text);
    }
    // Not decodable: it stays what it is.
    for word in [
        "=?ISO-8859-8?b?7eXs+SDv4SDp7Oj08A==?=",
        "=?UTF-8?B?!?=",
        "=?UTF-8?Q?=G0?=",
        "=?UTF-8?B?/w==?=",
        "=?plain?=",
    ] {
        assert_eq!(text_of(word), word);
    }
    assert_eq!(rfc_2047("Grüße"), "=?UTF-8?B?R3LDvMOfZQ==?=");
    let words = "=?UTF-8?B?R3I=?= =?UTF-8?B?w7w=?=\t=?UTF-8?Q?=C3=9Fe_%41?=";
    assert_eq!(text_of(words), "Grüße %41", "a value in several words is one text");
}

#[test]
fn the_examples_of_rfc_5987_and_rfc_6266() {
    // RFC 8187, 3.2.3: title*=UTF-8''%c2%a3%20and%20%e2%82%ac%20rates
    assert_eq!(rfc_5987("£ and € rates").to_lowercase(), "utf-8''%c2%a3%20and%20%e2%82%ac%20rates");
    // RFC 6266, section 5: attachment; filename*= UTF-8''%e2%82%ac%20rates
    assert_eq!(
        rfc_6266("attachment; filename=\"€ rates\"").unwrap(),
        "attachment; filename*=UTF-8''%E2%82%AC%20rates"
    );
    assert_eq!(
        rfc_6266("attachment; filename=\"EURO; rates\"; filename=\"€;x\"").unwrap(),
        "attachment; filename=\"EURO; rates\"; filename*=UTF-8''%E2%82%AC%3Bx"
    );
    assert_eq!(rfc_6266("größe"), None);
    assert_eq!(
        rfc_6266("attachment; filename=\"测.txt\"; FileName*=UTF-8''%E6%B5%8B.txt").unwrap(),
        "attachment; FileName*=UTF-8''%E6%B5%8B.txt",
        "each parameter once"
    );
    assert_eq!(rfc_6266("attachment; filename=\"\u{1}\""), None);
}

#[test]
fn the_examples_of_rfc_3986() {
    // Section 2.5: LATIN CAPITAL LETTER A WITH GRAVE is "%C3%80", KATAKANA LETTER A "%E3%82%A2".
    assert_eq!(percent("AÀア"), "A%C3%80%E3%82%A2");
    // Section 2.3: unreserved characters stay; 2.2: reserved ones do not.
    assert_eq!(
        percent("-._~ :/?#[]@!$&'()*+,;=%"),
        "-._~%20%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25"
    );
}

#[test]
fn metadata_that_is_not_ascii_survives_s3_and_is_reported_elsewhere() {
    let (out, notes) = of(EndpointType::S3).encode(&user(&[("name", "Grüße")])).unwrap();
    assert!(notes.is_empty());
    assert_eq!(text_of(&out[0].1), "Grüße");
    let (out, notes) = of(EndpointType::Oss).encode(&user(&[("my_name", "é")])).unwrap();
    assert_eq!(out[0], ("x-oss-meta-my-name".into(), "%C3%A9".into()));
    assert_eq!(notes.len(), 2);
    let (out, notes) = of(EndpointType::Azure).encode(&user(&[("my-name", "1"), ("9x", "2")])).unwrap();
    assert_eq!(out, [("x-ms-meta-my_name".to_owned(), "1".to_owned())]);
    assert_eq!(notes.len(), 2);
}

#[test]
fn nothing_is_dropped_silently() {
    let (out, notes) =
        of(EndpointType::Oss).encode(&user(&[("a_b", "1"), ("a-b", "2"), ("ü", "3")])).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(notes.len(), 3);
    for (kind, most) in [(EndpointType::S3, 2048), (EndpointType::Oss, 8192), (EndpointType::Cos, 2048)] {
        let sized = |size: usize| of(kind).encode(&user(&[("abc", &"x".repeat(size - 3))]));
        assert!(sized(most).is_ok(), "{kind:?}");
        assert!(sized(most + 1).unwrap_err().contains("takes at most"), "{kind:?}");
    }
    let (out, notes) =
        of(EndpointType::Azure).encode(&Headers { expires: Some("0".into()), ..Headers::default() }).unwrap();
    assert!(out.is_empty());
    assert_eq!(notes, ["expires \"0\": azure has no place for it"]);
}

#[test]
fn what_the_job_adds_never_makes_the_owners_metadata_too_large() {
    let metadata = of(EndpointType::S3).metadata.unwrap();
    let given = user(&[("a", &"x".repeat(2047 - 16))]).user;
    assert!(metadata.has_room(&given, "mtime", "1790000000"));
    assert!(!metadata.has_room(&given, "mtime", "1790000000.123"));
}

#[test]
fn spaces_and_odd_names_survive_s3() {
    let given = [("a.b_c", "1"), ("run", "a  b"), ("around", " x "), ("like", "=?UTF-8?B?eA==?=")];
    let (out, notes) = of(EndpointType::S3).encode(&user(&given)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(out[0].0, "x-amz-meta-a.b_c");
    assert_eq!(back(of(EndpointType::S3), &out), user(&given).user);
    let content = Headers { content_disposition: Some("a;  b".into()), ..Headers::default() };
    let (out, notes) = of(EndpointType::S3).encode(&content).unwrap();
    assert_eq!((out[0].1.as_str(), notes.len()), ("a; b", 1));
    assert!(of(EndpointType::Oss).encode(&content).unwrap().1.is_empty());
}

#[test]
fn tags_travel_within_the_limits_of_the_service() {
    let tags = |pairs: &[(&str, &str)]| user(pairs).user;
    let (out, notes) =
        of(EndpointType::S3).encode_tags(&tags(&[("team", "a b"), ("mail", "x@y"), ("ключ", "")]));
    assert_eq!(out.unwrap(), "team=a%20b&mail=x%40y&%D0%BA%D0%BB%D1%8E%D1%87=");
    assert!(notes.is_empty());
    let (out, notes) =
        of(EndpointType::Oss).encode_tags(&tags(&[("team", "a b"), ("mail", "x@y"), ("q", "?")]));
    assert_eq!(out.unwrap(), "team=a%20b");
    assert_eq!(notes.len(), 2, "{notes:?}");
    let many: Vec<(String, String)> = (0..12).map(|n| (format!("t{n}"), String::new())).collect();
    assert_eq!(of(EndpointType::S3).encode_tags(&many).1.len(), 2);
    assert_eq!(of(EndpointType::Azure).encode_tags(&many).1, ["tags: azure has no place for them"]);
}

#[test]
fn every_note_begins_with_its_property() {
    let mut headers = user(&[("ü", "ä"), ("a_b", "é"), ("a-b", "  ")]);
    headers.content_type = Some("ü".into());
    headers.content_disposition = Some("attachment; filename=ü".into());
    headers.expires = Some("a  b".into());
    for service in table::SERVICES {
        let (_, notes) = service.encode(&headers).unwrap();
        assert!(!notes.is_empty());
        for note in notes.into_iter().chain(service.encode_tags(&user(&[("?", "")]).user).1) {
            let word = note.split([' ', ':']).next().unwrap();
            assert!(Property::ALL.iter().any(|property| property.name() == word), "{note}");
        }
    }
}

proptest! {
    /// Every name and value comes back as it was, or a note says what became of it; nothing else appears.
    #[test]
    fn metadata_is_carried_or_reported(
        pairs in prop::collection::vec(("[a-zA-Z0-9._ü-]{1,12}", "(?s).{0,40}"), 0..8),
    ) {
        let mut given: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        given.sort();
        given.dedup_by(|a, b| a.0 == b.0);
        let headers = Headers { user: given.clone(), ..Headers::default() };
        for service in table::SERVICES {
            let (out, notes) = service.encode(&headers).unwrap();
            for (_, value) in &out {
                prop_assert!(encode::is_plain(value, service.metadata.unwrap().one_space), "{value:?}");
            }
            let found = back(service, &out);
            for (name, value) in &given {
                let kept = found.iter().any(|(there, held)| there == name && held == value);
                let told = notes.iter().any(|note| {
                    note.starts_with(&format!("metadata {name}:"))
                        || note.split([' ', ',', ':']).skip(1).any(|word| word == name)
                });
                prop_assert!(kept || told || name == "mtime", "{name:?} {value:?} at {:?}: {notes:?}", service.kind);
            }
            prop_assert!(found.len() <= given.len());
        }
    }
}

/// What does not decode RFC 2047 would keep it as a text that nobody wrote, and nobody would be told.
#[test]
fn services_that_speak_s3_without_its_decoding_get_percent_signs_and_a_note() {
    let at = |provider: &str| {
        let endpoint = Endpoint { kind: EndpointType::S3, provider: provider.into(), ..Endpoint::default() };
        super::at(&endpoint).encode(&user(&[("my_name", "h\u{e9}")])).unwrap()
    };
    for (provider, name) in
        [("obs", "x-amz-meta-my-name"), ("tos", "x-amz-meta-my_name"), ("gcs", "x-amz-meta-my_name")]
    {
        let (written, notes) = at(provider);
        assert_eq!(written, [(name.to_owned(), "h%C3%A9".to_owned())], "{provider}");
        assert!(!notes.is_empty(), "{provider}: it is not said");
    }
    let (written, notes) = at("minio");
    assert!(written[0].1.starts_with("=?UTF-8?") && notes.is_empty(), "{written:?} {notes:?}");
}
