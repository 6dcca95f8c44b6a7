//! What counts for UPYUN at either end.

use super::{each_is_refused, good, load};
use crate::job::EndpointType;

const OPERATOR: &str = "access_key = \"operator\"\nsecret_key = \"${PASSWORD}\"\n";

/// A job from UPYUN to a directory, or the other way round, with more lines at UPYUN's end.
fn text(section: &str, more: &str) -> String {
    let other = if section == "source" { "destination" } else { "source" };
    let youpai = format!("[{section}]\ntype = \"youpai\"\nbucket = \"photos\"\n{more}");
    format!("name = \"test_job\"\n[{other}]\ntype = \"local\"\npath = \"/data/\"\n{youpai}\n")
}

#[test]
fn an_operator_and_a_service_are_enough() {
    let source = good(&text("source", OPERATOR)).source;
    assert_eq!((source.kind, source.endpoint.as_str()), (EndpointType::Youpai, "https://v0.api.upyun.com"));
    let line = format!("{OPERATOR}endpoint = \"http://v2.api.upyun.com\"\ncdn_domain = \"img.example.com\"");
    let source = good(&text("source", &line)).source;
    assert_eq!(source.endpoint, "http://v2.api.upyun.com");
    assert_eq!(source.cdn_domain, "https://img.example.com");
    assert_eq!(good(&text("destination", OPERATOR)).destination.bucket, "photos");
}

#[test]
fn what_upyun_cannot_do_is_refused() {
    let with = |section: &str, line: &str| text(section, &format!("{OPERATOR}{line}"));
    each_is_refused(&[
        (text("source", ""), &["no operator", "access_key", "secret_key"]),
        (with("source", "prefix = \"/docs/\""), &["no way below a directory"]),
        (with("destination", "prefix = \"a//b/\""), &["no way below a directory"]),
        (with("destination", "forbid_overwrite = true"), &["forbid_overwrite", "youpai"]),
        (with("source", "cdn_domain = \"http://img.example.com/photos\""), &["cdn_domain", "the path"]),
    ]);
}

#[test]
fn keys_that_do_nothing_for_it_are_warned_of() {
    for (section, line) in [
        ("source", "region = \"cn\""),
        ("source", "addressing = \"path\""),
        ("source", "session_token = \"t\""),
        ("destination", "storage_class = \"IA\""),
        ("destination", "cdn_domain = \"img.example.com\""),
    ] {
        let (_, warnings) = load(&text(section, &format!("{OPERATOR}{line}"))).unwrap();
        let name = line.split(' ').next().unwrap();
        assert!(warnings.iter().any(|warning| warning.contains(name)), "{line}: {warnings:?}");
    }
    let s3 = "name = \"test_job\"\n[source]\ntype = \"s3\"\nendpoint = \"http://127.0.0.1:1\"\nbucket = \"b\"\n\
              cdn_domain = \"x\"\n[destination]\ntype = \"local\"\npath = \"/data/\"\n";
    assert!(load(s3).unwrap().1.iter().any(|warning| warning.contains("cdn_domain")));
}
