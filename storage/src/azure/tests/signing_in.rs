//! Who signs where no key is given, and what an address says.

use super::*;

#[tokio::test]
async fn an_identity_of_the_machine_signs_with_its_token() {
    let metadata = Server::start(|asked| {
        assert_eq!(asked.header("metadata"), "true");
        assert_eq!(asked.get("resource").as_deref(), Some("https://storage.azure.com/"));
        assert_eq!(asked.get("client_id").as_deref(), Some("me"));
        assert!(asked.line.starts_with("GET /metadata/identity/oauth2/token?api-version=2018-02-01&"));
        (200, Vec::new(), r#"{"access_token":"tok","expires_in":"3600","token_type":"Bearer"}"#.into())
    })
    .await;
    let blobs = Server::start(|asked| {
        assert_eq!(asked.header("authorization"), "Bearer tok");
        numbered(asked, 1)
    })
    .await;
    let mut store = blobs.store(|endpoint| endpoint.secret_key = Secret::Literal(String::new()));
    let host = metadata.endpoint.clone();
    Arc::get_mut(&mut store.0).unwrap().auth.environment = Arc::new(move |name| match name {
        "AZURE_POD_IDENTITY_AUTHORITY_HOST" => Some(host.clone()),
        "AZURE_CLIENT_ID" => Some("me".into()),
        _ => None,
    });
    for _ in 0..3 {
        Source::check(&store).await.unwrap();
    }
    assert_eq!(metadata.asked().len(), 1, "a token is asked for once");
}

#[tokio::test]
async fn a_workload_and_a_service_principal_ask_the_authority() {
    let authority = Server::start(|asked| {
        let form = String::from_utf8(asked.body.clone()).unwrap();
        assert_eq!(asked.line, "POST /tenant/oauth2/v2.0/token");
        assert!(form.contains("scope=https%3A%2F%2Fstorage.azure.com%2F.default"), "{form}");
        if form.contains("client_secret=pass%26word") || form.contains("client_assertion=jwt") {
            return (200, Vec::new(), r#"{"access_token":"tok","expires_in":3599}"#.into());
        }
        (401, Vec::new(), r#"{"error":"invalid_client"}"#.into())
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "jwt\n").unwrap();
    let environment = |more: (&'static str, String)| {
        let host = authority.endpoint.clone();
        move |name: &str| match name {
            "AZURE_TENANT_ID" => Some("tenant".to_owned()),
            "AZURE_CLIENT_ID" => Some("me".to_owned()),
            "AZURE_AUTHORITY_HOST" => Some(host.clone()),
            name if name == more.0 => Some(more.1.clone()),
            _ => None,
        }
    };
    let identity = identity::Identity::default();
    let path = file.path().display().to_string();
    for more in [("AZURE_CLIENT_SECRET", "pass&word".to_owned()), ("AZURE_FEDERATED_TOKEN_FILE", path)] {
        let (token, life) = identity.token_from(&environment(more)).await.unwrap();
        assert_eq!((token.as_str(), life), ("tok", Duration::from_secs(3299)));
    }
    let wrong = environment(("AZURE_CLIENT_SECRET", "wrong".to_owned()));
    let refused = identity.token_from(&wrong).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadCredentials);
    assert!(
        refused.text.contains("invalid_client") && refused.text.contains("sas_token"),
        "{}",
        refused.text
    );
}

#[test]
fn an_address_of_an_emulator_has_the_account_in_its_path() {
    let store = open(&endpoint("http://127.0.0.1:10000/acc"));
    assert_eq!((store.0.address.path.as_str(), store.0.address.account.as_str()), ("/acc", "acc"));
    let plain = open(&Endpoint {
        access_key: Secret::Literal(String::new()),
        ..endpoint("https://other.blob.core.windows.net")
    });
    assert_eq!((plain.0.address.path.as_str(), plain.0.address.account.as_str()), ("", "other"));
    let (parts, ()) = Request::builder().uri("http://a/").body(()).unwrap().into_parts();
    assert!(auth::string_to_sign(&parts, "acc").ends_with("/acc/"));
}

#[tokio::test]
async fn a_signature_that_may_read_and_not_list_is_enough_for_a_list_of_names() {
    let server = Server::start(|_| {
        (403, Vec::new(), refusal("AuthorizationPermissionMismatch", &detail("not permitted")))
    })
    .await;
    let error = Source::check(&server.store(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    Source::check(&server.store(|endpoint| endpoint.key_list = Some("names".into()))).await.unwrap();
    let server =
        Server::start(|_| (404, Vec::new(), refusal("ContainerNotFound", "no such container"))).await;
    let error = Source::check(&server.store(|endpoint| endpoint.key_list = Some("names".into()))).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::BucketNotFound);
}
