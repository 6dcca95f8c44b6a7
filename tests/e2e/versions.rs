//! Versioned buckets: the newest version of each object moves, and what is deleted stays deleted. Against moto, which
//! others wrote.

use tests::home::Home;
use tests::servers::{ACCESS_KEY, Kind, S3Server, SECRET_KEY};
use tests::world::{Side, python};

/// Versions of five objects: two of `a`, `b` deleted, `c` deleted and written again, `d` deleted twice, one of `e`.
const HISTORY: &str = r#"
import boto3, sys
from botocore.config import Config
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id=sys.argv[2],
                  aws_secret_access_key=sys.argv[3], config=Config(s3={"addressing_style": "path"}))
s3.create_bucket(Bucket="versioned")
s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
put = lambda key, body: s3.put_object(Bucket="versioned", Key=key, Body=body, Metadata={"of": body})
gone = lambda key: s3.delete_object(Bucket="versioned", Key=key)
put("a", "old"); put("a", "newest")
put("b", "deleted"); gone("b")
put("c", "deleted"); gone("c"); put("c", "again")
put("d", "deleted"); gone("d"); gone("d")
put("e", "only")
found = s3.list_object_versions(Bucket="versioned")
assert len(found["Versions"]) == 7 and len(found["DeleteMarkers"]) == 4, found
"#;

#[test]
fn the_newest_versions_move_and_delete_markers_do_not() {
    let server = S3Server::start(Kind::Moto);
    let made = python().args(["-c", HISTORY, &server.endpoint(), ACCESS_KEY, SECRET_KEY]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (out, home) = (tempfile::TempDir::new().unwrap(), Home::new());
    home.job(&Side::s3(&server.endpoint(), "versioned", ""), &Side::local(out.path()), "");
    home.import(0, &["--restart"]);
    let mut there: Vec<(String, String)> = std::fs::read_dir(out.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    there.sort();
    let wanted =
        [("a", "newest"), ("c", "again"), ("e", "only")].map(|(key, data)| (key.into(), data.into()));
    assert_eq!(there, wanted);
    assert_eq!(home.json(&["stat", "local_test"])["scan"]["objects"], 3);
}
