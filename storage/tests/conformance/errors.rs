//! Failures of the whole are told from failures of one object.

use conf::Secret;
use storage::{ErrorKind, ListRequest};

use crate::places::opened;
use crate::world::World;

pub(crate) async fn a_missing_bucket_is_named(world: World) {
    let Some(mut endpoint) = world.endpoint.clone() else { return };
    endpoint.bucket = "no-such-bucket".to_owned();
    endpoint.path.push("no-such-directory");
    let missing = opened(endpoint, world.can, None);
    let checked = missing.source.check().await.unwrap_err();
    assert_eq!(checked.kind(), ErrorKind::BucketNotFound, "{checked}");
    assert!(checked.to_string().contains("no-such-"), "{checked}");
    let listed = missing.pages(ListRequest::default()).await.unwrap_err();
    assert_eq!(listed.kind(), ErrorKind::BucketNotFound, "{listed}");
    if !world.can.keeps_books {
        return;
    }
    let written = missing.put("x", "x").await.unwrap_err();
    assert_eq!(written.kind(), ErrorKind::BucketNotFound, "{written}");
}

pub(crate) async fn wrong_keys_are_called_so(world: World) {
    if !world.can.checks_credentials {
        return;
    }
    let Some(mut endpoint) = world.endpoint.clone() else { return };
    endpoint.secret_key = Secret::Literal("another-secret".to_owned());
    let wrong = opened(endpoint, world.can, None);
    for error in [wrong.source.check().await, wrong.destination.check().await] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadCredentials, "{error}");
        assert!(!format!("{error} {error:?}").contains("another-secret"));
    }
    let written = wrong.put("x", "x").await.unwrap_err();
    assert_eq!(written.kind(), ErrorKind::BadCredentials, "{written}");
}
