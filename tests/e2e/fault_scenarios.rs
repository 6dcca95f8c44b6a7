//! What happens in each row of the table of faults.

use std::time::Duration;

use tests::family::{Action, Lie};
use tests::proxy::Trouble;
use tests::stage::{LARGE, SMALL, Stage};

/// Longer than any job of these tests waits.
const HOUR: Duration = Duration::from_secs(3600);
/// No end of it.
const ALWAYS: u32 = u32::MAX;

type Scenario = fn(&mut Stage);

/// By id, as in the table.
pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    // Reading objects.
    ("read-500", |s| s.source.fault("GET", SMALL, 2, Action::Status(500, "InternalError", None))),
    ("read-500-always", |s| s.source.fault("GET", SMALL, ALWAYS, Action::Status(500, "InternalError", None))),
    ("read-503", |s| s.source.fault("GET", SMALL, 7, Action::Status(503, "ServiceUnavailable", None))),
    ("read-503-retry-after", |s| s.source.fault("GET", SMALL, 2, Action::Status(503, "SlowDown", Some(1)))),
    ("read-429", |s| s.source.fault("GET", SMALL, 7, Action::Status(429, "TooManyRequests", None))),
    ("read-reset", |s| s.source.fault("GET", SMALL, 2, Action::Reset)),
    ("read-broken-body", |s| s.source.fault("GET", SMALL, 2, Action::Truncate(3))),
    ("read-stalled-head", |s| {
        s.set("timeout = \"2s\"");
        s.source.fault("GET", SMALL, 1, Action::Delay(HOUR));
    }),
    ("read-stalled-body", |s| {
        s.set("timeout = \"2s\"");
        s.source.fault("GET", SMALL, 1, Action::StallBody(3));
        s.source.fault("GET", LARGE, 1, Action::StallBody(1 << 20));
    }),
    ("read-short", |s| s.source.fault("GET", SMALL, 1, Action::Shorten(1))),
    ("read-short-always", |s| s.source.fault("GET", SMALL, ALWAYS, Action::Shorten(1))),
    ("read-wrong-byte", |s| s.source.fault("GET", SMALL, 1, Action::FlipByte(3))),
    ("read-wrong-byte-always", |s| s.source.fault("GET", SMALL, ALWAYS, Action::FlipByte(3))),
    ("read-part-wrong-byte", |s| s.source.fault("GET", LARGE, 1, Action::FlipByte(3))),
    ("read-range-as-whole", |s| s.source.fault("GET", LARGE, ALWAYS, Action::IgnoreRange)),
    ("read-other-range", |s| s.source.fault("GET", LARGE, 1, Action::OtherRange(1))),
    ("read-signature-one", |s| {
        s.source.fault("GET", SMALL, ALWAYS, Action::Status(403, "SignatureDoesNotMatch", None));
    }),
    ("read-redirect", |s| {
        s.source.fault("GET", "small/", ALWAYS, Action::Redirect(301, "other.example.com"))
    }),
    ("read-redirect-307", |s| {
        s.source.fault("GET", SMALL, ALWAYS, Action::Redirect(307, "other.example.com"))
    }),
    // Listing.
    ("list-500", |s| listing(s, 3, Action::Status(500, "InternalError", None))),
    ("list-503", |s| listing(s, 7, Action::Status(503, "ServiceUnavailable", None))),
    ("list-out-of-order", |s| listing(s, ALWAYS, Action::Listing(Lie::OutOfOrder))),
    ("list-doubled", |s| listing(s, ALWAYS, Action::Listing(Lie::Doubled))),
    ("list-empty-page", |s| listing(s, 3, Action::Listing(Lie::Empty))),
    ("list-stands-still", |s| listing(s, ALWAYS, Action::Listing(Lie::StandsStill))),
    ("list-cut", |s| listing(s, 3, Action::Listing(Lie::Cut))),
    ("list-cut-always", |s| listing(s, ALWAYS, Action::Listing(Lie::Cut))),
    ("list-key-before", |s| listing(s, 1, Action::Listing(Lie::Before))),
    ("list-key-outside", |s| {
        s.prefix = "small/";
        listing(s, ALWAYS, Action::Listing(Lie::Foreign));
    }),
    ("list-bucket-gone", |s| listing(s, ALWAYS, Action::Status(404, "NoSuchBucket", None))),
    ("list-denied", |s| listing(s, ALWAYS, Action::Status(403, "AccessDenied", None))),
    // Writing objects.
    ("write-500", |s| s.destination.fault("PUT", SMALL, 2, Action::Status(500, "InternalError", None))),
    ("write-500-always", |s| {
        s.destination.fault("PUT", SMALL, ALWAYS, Action::Status(500, "InternalError", None));
    }),
    ("write-503", |s| s.destination.fault("PUT", SMALL, 7, Action::Status(503, "ServiceUnavailable", None))),
    ("write-503-retry-after", |s| {
        s.destination.fault("PUT", SMALL, 2, Action::Status(503, "SlowDown", Some(1)));
    }),
    ("write-429", |s| s.destination.fault("PUT", SMALL, 7, Action::Status(429, "TooManyRequests", None))),
    ("write-reset", |s| s.destination.fault("PUT", SMALL, 2, Action::Reset)),
    ("write-lost-answer", |s| s.destination.fault("PUT", SMALL, 2, Action::LoseAnswer)),
    ("write-no-answer", |s| {
        s.set("timeout = \"2s\"");
        s.destination.fault("PUT", SMALL, 1, Action::DelayAnswer(HOUR));
    }),
    ("write-stored-wrong", |s| s.destination.fault("PUT", SMALL, 1, Action::StoreWrong(3))),
    ("write-stored-wrong-always", |s| {
        s.wrong_stands = true;
        s.destination.fault("PUT", SMALL, ALWAYS, Action::StoreWrong(3));
    }),
    ("write-stored-wrong-skipping", |s| {
        s.wrong_stands = true;
        s.set("skip_existing = true");
        s.destination.fault("PUT", SMALL, ALWAYS, Action::StoreWrong(3));
        // The destination cannot be listed: each object is asked for.
        s.destination.fault("GET", "list-type", ALWAYS, Action::Status(403, "AccessDenied", None));
    }),
    ("write-lie", |s| {
        s.unseen = true;
        s.destination.fault("PUT", SMALL, 1, Action::StoreWrongAndLie(3));
    }),
    ("write-lie-read-back", |s| {
        s.set("verify = \"full\"");
        s.destination.fault("PUT", SMALL, 1, Action::StoreWrongAndLie(3));
    }),
    ("write-denied-one", |s| {
        s.destination.fault("PUT", SMALL, ALWAYS, Action::Status(403, "AccessDenied", None));
    }),
    ("write-redirect", |s| {
        s.destination.fault("PUT", "small/", ALWAYS, Action::Redirect(301, "other.example.com"));
    }),
    // Uploads in parts.
    ("create-500", |s| {
        s.destination.fault("POST", "uploads", 2, Action::Status(500, "InternalError", None));
    }),
    ("create-lost-answer", |s| s.destination.fault("POST", "uploads", 2, Action::LoseAnswer)),
    ("part-500", |s| s.destination.fault("PUT", LARGE, 2, Action::Status(500, "InternalError", None))),
    ("part-lost-answer", |s| s.destination.fault("PUT", LARGE, 2, Action::LoseAnswer)),
    ("part-no-upload", |s| s.destination.fault("PUT", LARGE, 1, Action::Status(404, "NoSuchUpload", None))),
    ("part-stored-wrong", |s| s.destination.fault("PUT", "partNumber=2", 1, Action::StoreWrong(3))),
    ("part-lie", |s| s.destination.fault("PUT", "partNumber=2", 1, Action::StoreWrongAndLie(3))),
    ("complete-500", |s| {
        s.destination.fault("POST", "uploadId", 2, Action::Status(500, "InternalError", None))
    }),
    ("complete-error-in-200", |s| {
        s.destination.fault("POST", "uploadId", 2, Action::ErrorIn200("InternalError"))
    }),
    ("complete-lost-answer", |s| s.destination.fault("POST", "uploadId", 1, Action::LoseAnswer)),
    ("complete-no-answer", |s| {
        s.set("timeout = \"1s\"");
        s.destination.fault("POST", "uploadId", 1, Action::DelayAnswer(HOUR));
    }),
    ("complete-no-upload", |s| {
        s.destination.fault("POST", "uploadId", 1, Action::Status(404, "NoSuchUpload", None));
    }),
    ("complete-500-always", |s| {
        s.destination.fault("POST", "uploadId", ALWAYS, Action::Status(500, "InternalError", None));
    }),
    ("abort-500", |s| {
        s.destination.fault("POST", "uploadId", 1, Action::Status(404, "NoSuchUpload", None));
        s.destination.fault("DELETE", "uploadId", 1, Action::Status(500, "InternalError", None));
    }),
    // Keys and clocks.
    ("keys-rotated-files", |s| {
        s.key_files = true;
        rotate(s, |stage| {
            stage.write_keys("rotated-key", "rotated/secret");
            stage.destination.server().rotate("rotated-key", "rotated/secret");
            stage.source.server().rotate("rotated-key", "rotated/secret");
        });
        s.mend = None;
    }),
    ("keys-expired-files", |s| {
        s.key_files = true;
        s.destination.later("PUT", "small/", 20, ALWAYS, Action::Status(403, "ExpiredToken", None));
        s.mend = Some(Box::new(|stage| {
            stage.destination.server().rotate("rotated-key", "rotated/secret");
            stage.source.server().rotate("rotated-key", "rotated/secret");
            stage.write_keys("rotated-key", "rotated/secret");
        }));
    }),
    ("keys-expired", |s| {
        s.destination.later("PUT", "small/", 20, ALWAYS, Action::Status(403, "ExpiredToken", None));
    }),
    ("keys-unknown", |s| {
        s.destination.later("PUT", "small/", 20, ALWAYS, Action::Status(403, "InvalidAccessKeyId", None));
    }),
    ("clock-skew", |s| {
        rotate(s, |stage| stage.destination.server().set_clock_off(1200));
    }),
    // A service that is away, or slow.
    ("away-two-minutes", |s| {
        s.destination.later("PUT", "small/", 10, ALWAYS, Action::Delay(Duration::from_millis(500)));
        s.during = Some(Box::new(|stage| {
            stage.destination.server().wait_for(|request| request.method == "PUT", 20);
            stage.destination.proxy().down();
            std::thread::park_timeout(Duration::from_secs(120));
            stage.destination.server().heal();
            stage.destination.proxy().up();
        }));
    }),
    ("source-away-two-minutes", |s| {
        s.source.later("GET", "small/", 10, ALWAYS, Action::Delay(Duration::from_millis(500)));
        s.of_source = "list_page = 10\n".into();
        s.during = Some(Box::new(|stage| {
            stage.source.server().wait_for(|request| request.method == "GET" && !request.key.is_empty(), 20);
            stage.source.proxy().down();
            std::thread::park_timeout(Duration::from_secs(120));
            stage.source.server().heal();
            stage.source.proxy().up();
        }));
    }),
    ("away-for-long", |s| {
        s.set("patience = \"4s\"");
        s.destination.later("PUT", "small/", 10, ALWAYS, Action::Delay(Duration::from_millis(300)));
        s.during = Some(Box::new(|stage| {
            stage.destination.server().wait_for(|request| request.method == "PUT", 20);
            stage.destination.proxy().down();
        }));
        s.mend = Some(Box::new(|stage| stage.destination.proxy().up()));
    }),
    ("listing-away-for-a-while", |s| {
        s.of_source = "list_page = 10\n".into();
        s.source.later("GET", "list-type", 3, ALWAYS, Action::Reset);
        s.during = Some(Box::new(|stage| {
            stage.source.server().wait_for(|request| request.query.contains("list-type"), 20);
            std::thread::park_timeout(Duration::from_secs(15));
            stage.source.server().heal();
        }));
    }),
    ("throttled-minutes", |s| {
        s.destination.later("PUT", "", 5, ALWAYS, Action::Status(503, "SlowDown", None));
        s.during = Some(Box::new(|stage| {
            stage.destination.server().wait_for(|request| request.method == "PUT", 6);
            std::thread::park_timeout(Duration::from_secs(100));
            let puts = stage.destination.server().requests().len();
            stage.destination.server().heal();
            assert!(puts < 1500, "{puts} requests to a service that asked to slow down");
        }));
    }),
    ("throttled-for-long", |s| {
        s.set("patience = \"3s\"");
        s.destination.later("PUT", "", 5, ALWAYS, Action::Status(503, "SlowDown", None));
    }),
    ("write-500-everywhere", |s| {
        s.destination.fault("PUT", "", ALWAYS, Action::Status(500, "InternalError", None));
        s.destination.fault("GET", "", ALWAYS, Action::Status(500, "InternalError", None));
        s.destination.fault("POST", "", ALWAYS, Action::Status(500, "InternalError", None));
        s.set("patience = \"3s\"");
        s.destination.server().heal();
        s.during = Some(Box::new(|stage| {
            for method in ["PUT", "POST", "GET"] {
                let broken = Action::Status(500, "InternalError", None);
                stage.destination.later(method, "", u32::from(method == "GET"), ALWAYS, broken);
            }
        }));
    }),
    // The network, before servers that others wrote too.
    ("net-refused", |s| {
        s.during = Some(Box::new(|stage| {
            stage.destination.proxy().wait_for_up(10_000);
            stage.destination.proxy().down();
            std::thread::park_timeout(Duration::from_secs(3));
            stage.destination.proxy().up();
        }));
    }),
    ("net-reset", |s| s.destination.trouble(2, 5, Trouble::Reset)),
    ("net-reset-in-request", |s| s.destination.trouble(1, 6, Trouble::ResetUp(300))),
    ("net-reset-in-answer", |s| s.destination.trouble(1, 6, Trouble::ResetDown(300))),
    ("net-cut-in-answer", |s| s.source.trouble(1, 6, Trouble::CutDown(900))),
    ("net-read-reset", |s| s.source.trouble(1, 6, Trouble::ResetDown(4000))),
    ("net-stalled-request", |s| {
        s.set("timeout = \"2s\"");
        s.destination.trouble(1, 8, Trouble::StallUp(300));
    }),
    ("net-stalled-answer", |s| {
        s.set("timeout = \"2s\"");
        s.source.trouble(1, 4, Trouble::StallDown(1500));
    }),
    ("net-slow", |s| {
        s.set("timeout = \"2s\"");
        s.destination.proxy().always(Trouble::Rate(1 << 20));
    }),
    ("net-far", |s| {
        s.source.proxy().always(Trouble::Latency(Duration::from_millis(80)));
        s.destination.proxy().always(Trouble::Latency(Duration::from_millis(80)));
    }),
];

/// Pages of ten keys; the fault begins with the third.
fn listing(stage: &mut Stage, times: u32, action: Action) {
    stage.of_source = format!("{}list_page = 10\n", stage.of_source);
    stage.source.later("GET", "list-type", 2, times, action);
}

/// In the middle of the job, while its writes take long.
fn rotate(stage: &mut Stage, change: fn(&Stage)) {
    stage.destination.fault("PUT", "small/", ALWAYS, Action::Delay(Duration::from_millis(200)));
    stage.during = Some(Box::new(move |stage| {
        stage.destination.server().wait_for(|request| request.method == "PUT", 5);
        change(stage);
        stage.destination.server().heal();
    }));
}
