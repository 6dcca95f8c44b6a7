//! Blobs of the Archive tier, as the real service answers: the emulator wakes them at once.

use super::*;
use crate::archive::{Archive, Asked as Answered, Wish};

#[tokio::test]
async fn what_sleeps_is_asked_for_in_the_words_of_the_service() {
    let server = Server::start(|asked| {
        let refused = |code| (409, vec![("x-ms-error-code", String::from(code))], refusal(code, ""));
        match asked.line.split([' ', '?']).nth(1).unwrap_or_default() {
            "/acc/con/later" => (202, Vec::new(), String::new()),
            "/acc/con/now" => (200, Vec::new(), String::new()),
            "/acc/con/again" => refused("BlobBeingRehydrated"),
            _ => refused("InvalidBlobTier"),
        }
    })
    .await;
    let store = server.store(|_| {});
    let wish = |tier| Wish { class: "Archive", automatic: false, tier, days: 7 };
    for (key, answer) in
        [("later", Answered::Restoring), ("now", Answered::Readable), ("again", Answered::Restoring)]
    {
        let wish = wish(conf::job::RestoreTier::Expedited);
        assert_eq!(store.restore(&key.into(), &wish).await.unwrap(), answer, "{key}");
    }
    let refused = store.restore(&"other".into(), &wish(conf::job::RestoreTier::Standard)).await.unwrap_err();
    assert_eq!(refused.code(), "InvalidBlobTier");
    let asked = server.asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(asked[0].line.starts_with("PUT /acc/con/later?comp=tier"), "{}", asked[0].line);
    let headers = ["x-ms-access-tier", "x-ms-rehydrate-priority"].map(|name| asked[0].header(name));
    assert_eq!(headers, ["Hot", "High"]);
    assert_eq!(asked[3].header("x-ms-rehydrate-priority"), "Standard");
}
