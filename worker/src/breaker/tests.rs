use storage::memory::MemoryStore;

use super::*;

/// A breaker with its two ends.
struct Line {
    breaker: Breaker,
    source: MemoryStore,
    destination: MemoryStore,
    endpoint: Endpoint,
}

impl Line {
    fn new() -> Self {
        let endpoint = Endpoint { path: "/data/in".into(), ..Endpoint::default() };
        Line {
            breaker: Breaker::default(),
            source: MemoryStore::new(),
            destination: MemoryStore::new(),
            endpoint,
        }
    }

    async fn fail(&self, side: Side, kind: ErrorKind) -> Judgement {
        let error = Error::new(kind, Op::Get, "planned");
        let ends = Ends {
            source: (&self.endpoint, &self.source),
            destination: (&self.endpoint, &self.destination),
            timeout: Duration::from_secs(60),
        };
        self.breaker.judge(side, &error, ends).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_bucket_pauses_at_once_and_says_where() {
    let line = Line::new();
    let Judgement::Suspend(reason) = line.fail(Side::Destination, ErrorKind::BucketNotFound).await else {
        panic!("not paused")
    };
    assert!(
        reason.starts_with("Every object fails at the destination /data/in: cannot read: planned."),
        "{reason}"
    );
    assert_eq!(
        line.fail(Side::Source, ErrorKind::NotFound).await,
        Judgement::Suspend(reason),
        "while it is open"
    );
    tokio::time::advance(OPEN).await;
    assert_eq!(line.breaker.open(), None, "the job may have been resumed");
    assert_eq!(line.fail(Side::Source, ErrorKind::NotFound).await, Judgement::Object);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_failures_asks_the_endpoint_and_one_success_ends_it() {
    let line = Line::new();
    line.source.fail_next(Op::Open, None, 100, ErrorKind::ServiceFailure);
    for _ in 0..5 {
        for _ in 1..RUN {
            assert_eq!(line.fail(Side::Source, ErrorKind::ServiceFailure).await, Judgement::Object);
        }
        line.breaker.good(Side::Source);
    }
    assert_eq!(line.source.count(Op::Open), 0);
    for _ in 1..RUN {
        line.fail(Side::Source, ErrorKind::ServiceFailure).await;
    }
    assert!(matches!(line.fail(Side::Source, ErrorKind::ServiceFailure).await, Judgement::Suspend(_)));
    assert_eq!(line.source.count(Op::Open), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_well_lets_its_objects_fail_and_is_not_asked_for_each() {
    let line = Line::new();
    line.breaker.good(Side::Destination);
    for _ in 0..1000 {
        assert_eq!(line.fail(Side::Destination, ErrorKind::AccessDenied).await, Judgement::Object);
    }
    assert_eq!(line.destination.count(Op::Open), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_from_the_first_object_on_pauses_though_the_bucket_can_be_listed() {
    let line = Line::new();
    for _ in 1..REFUSED {
        assert_eq!(line.fail(Side::Source, ErrorKind::AccessDenied).await, Judgement::Object);
    }
    assert!(matches!(line.fail(Side::Source, ErrorKind::AccessDenied).await, Judgement::Suspend(_)));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_endpoint_never_fails_an_object() {
    let line = Line::new();
    assert_eq!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Again, "it is back");
    tokio::time::advance(FRESH).await;
    line.source.fail_next(Op::Open, None, 1, ErrorKind::Unreachable);
    assert!(matches!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Suspend(_)));
}
