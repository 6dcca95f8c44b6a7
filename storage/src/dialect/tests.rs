//! What the descriptors say, where it can be known without a server.

use super::providers::TABLE;
use super::*;
use crate::meta::Checksums;

const ALL: [&Dialect; 6] = [&S3, &OSS, &COS, &BOS, &KS3, &QINIU];

#[test]
fn every_provider_of_the_configuration_has_its_descriptor() {
    let names: Vec<&str> = TABLE.iter().map(|dialect| dialect.name).collect();
    assert_eq!(names, conf::keys::PROVIDERS);
    assert_eq!(provider("").name, "s3");
}

#[test]
fn the_configuration_refuses_what_no_header_can_forbid() {
    use conf::Endpoint;
    use conf::job::EndpointType;
    for dialect in ALL.into_iter().chain(TABLE) {
        let types = EndpointType::NAMES.iter().find(|(_, name)| *name == dialect.name);
        let endpoint = Endpoint {
            kind: types.map_or(EndpointType::S3, |(kind, _)| *kind),
            provider: if types.is_some() { String::new() } else { dialect.name.to_owned() },
            ..Endpoint::default()
        };
        assert_eq!(endpoint.can_forbid_overwrite(), dialect.no_overwrite.is_some(), "{}", dialect.name);
    }
}

#[test]
fn the_limits_hold_the_part_sizes_that_are_ever_planned() {
    for dialect in ALL.into_iter().chain(TABLE) {
        let name = dialect.name;
        // The configuration's least part, and Amazon's most.
        assert!(dialect.part_min <= 5 << 20 && dialect.part_max >= 5 << 30, "{name}");
        assert!(dialect.single_put >= 5 << 30, "{name}");
        assert!(
            dialect.prefix.ends_with('-') && (dialect.also.is_empty() || dialect.also.ends_with('-')),
            "{name}"
        );
    }
}

#[test]
fn no_code_has_two_meanings() {
    for dialect in ALL.into_iter().chain(TABLE) {
        for (at, (code, _)) in dialect.codes.iter().enumerate() {
            assert!(!dialect.codes[..at].iter().any(|(other, _)| other == code), "{}: {code}", dialect.name);
            let shared = codes::SHARED
                .iter()
                .any(|(other, kind)| other == code && Some(*kind) == dialect.kind_of(code));
            assert!(!shared, "{}: {code} is in the shared table as well", dialect.name);
        }
    }
}

#[test]
fn names_are_refused_before_anything_is_sent() {
    let long = "k".repeat(1025);
    for (dialect, key, good) in [
        (&COS, "a//b/../c d+e%20é\u{1f600}", true),
        (&COS, "/a", false),
        (&COS, "\\a", false),
        (&COS, "a\u{18}b", false),
        (&COS, "a\u{1b}", false),
        (&COS, &long[..850], true),
        (&COS, &long[..851], false),
        (&BOS, &long[..1024], true),
        (&BOS, &long, false),
        (&KS3, "/a//b", true),
        (&KS3, &long, false),
        (&QINIU, "/leading", true),
        (&QINIU, &long[..750], true),
        (&QINIU, &long[..751], false),
        (&QINIU, "", false),
        (&OSS, "/a", false),
        (&S3, "", false),
    ] {
        assert_eq!((dialect.name_rule)(&ObjectKey::from(key)).is_ok(), good, "{} {key:?}", dialect.name);
    }
    // Behind a prefix the begin is the prefix's.
    assert!((COS.name_rule_below)(&ObjectKey::from("/a")).is_ok());
    assert!((COS.name_rule_below)(&ObjectKey::from("\u{19}")).is_err());
}

#[test]
fn each_service_writes_its_checksum_in_its_own_form() {
    let check = "123456789";
    let of = |sum: &Sum| {
        let value = crc_fast::checksum(sum.algorithm, check.as_bytes());
        let text = sum.text(value);
        assert_eq!(sum.read(&text), Some(value), "{text}");
        text
    };
    assert_eq!(of(&S3.sums[0]), "rosUhgp5mIg=");
    assert_eq!(of(&S3.sums[1]), "4waSgw==");
    assert_eq!(of(&S3.sums[2]), "y/Q5Jg==");
    for dialect in [&OSS, &COS, &KS3] {
        assert_eq!(of(dialect.sum().unwrap()), "11051210869376104954", "{}", dialect.name);
    }
    let bos = BOS.sum().unwrap();
    assert_eq!((bos.read("y/Q5Jg=="), bos.read("3421780262")), (Some(0xcbf4_3926), Some(0xcbf4_3926)));
    assert_eq!(bos.read("y/Q5Jg==-2"), None);
    assert!(QINIU.sum().is_none());
}

#[test]
fn googles_hashes_come_in_one_header_or_in_two() {
    let sum = provider("gcs").sum().unwrap();
    let mut headers = http::HeaderMap::new();
    headers.append("x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw==".parse().unwrap());
    assert_eq!(sum.of(&headers), None);
    headers.append("x-goog-hash", "crc32c=4waSgw==".parse().unwrap());
    assert_eq!(sum.of(&headers), Some(0xe306_9283));
    assert_eq!(sum.read("crc32c=4waSgw==, md5=JfnnlDI7RTiF9RgfG2JNCw=="), Some(0xe306_9283));
    let mut all = Checksums::default();
    sum.put(0xe306_9283, &mut all);
    assert_eq!(all, Checksums { crc32c: Some(0xe306_9283), ..Checksums::default() });
}

#[test]
fn a_token_whose_time_is_over_is_known_by_every_name() {
    for dialect in [&S3, &OSS, &COS, &BOS, &KS3, &QINIU] {
        for code in ["ExpiredToken", "SecurityTokenExpired", "SessionTokenExpired", "ExpiredTokenException"] {
            assert_eq!(dialect.kind_of(code), Some(ErrorKind::CredentialsExpired), "{} {code}", dialect.name);
        }
        assert_ne!(dialect.kind_of("InvalidToken"), Some(ErrorKind::CredentialsExpired), "{}", dialect.name);
    }
}
