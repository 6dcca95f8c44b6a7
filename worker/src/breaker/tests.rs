use storage::memory::MemoryStore;

use super::*;

const PATIENCE: Duration = Duration::from_secs(600);

/// A breaker with its two ends.
struct Line {
    breaker: Breaker,
    source: MemoryStore,
    destination: MemoryStore,
    endpoint: Endpoint,
    round: u32,
}

impl Line {
    fn new() -> Self {
        let endpoint = Endpoint { path: "/data/in".into(), ..Endpoint::default() };
        Line {
            breaker: Breaker::default(),
            source: MemoryStore::new(),
            destination: MemoryStore::new(),
            endpoint,
            round: 1,
        }
    }

    async fn fail(&self, side: Side, kind: ErrorKind) -> Judgement {
        let error = Error::new(kind, Op::Get, "planned");
        let ends = Ends {
            source: (&self.endpoint, &self.source),
            destination: (&self.endpoint, &self.destination),
            timeout: Duration::from_secs(60),
            patience: PATIENCE,
        };
        self.breaker.judge(side, &error, self.round, ends).await
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
async fn the_first_refusal_asks_the_endpoint_which_may_refuse_everybody() {
    for side in [Side::Source, Side::Destination] {
        let line = Line::new();
        let end = if side == Side::Source { &line.source } else { &line.destination };
        // Others got through before: then the right was withdrawn.
        line.breaker.good(side);
        end.fail_next(Op::Open, None, 1, ErrorKind::AccessDenied);
        assert!(matches!(line.fail(side, ErrorKind::AccessDenied).await, Judgement::Suspend(_)));
        assert_eq!(end.count(Op::Open), 1);
    }
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
    for _ in 1..ALL {
        assert_eq!(line.fail(Side::Source, ErrorKind::AccessDenied).await, Judgement::Object);
    }
    assert!(matches!(line.fail(Side::Source, ErrorKind::AccessDenied).await, Judgement::Suspend(_)));
}

#[tokio::test(start_paused = true)]
async fn one_object_that_breaks_while_others_get_through_is_to_blame() {
    let line = Line::new();
    for _ in 0..1000 {
        line.breaker.bad(Side::Source, ErrorKind::Broken);
        line.breaker.good(Side::Source);
    }
    assert_eq!(line.fail(Side::Source, ErrorKind::Broken).await, Judgement::Object);
    assert_eq!(line.source.count(Op::Open), 0);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_no_object_is_to_blame_and_after_it_neither() {
    let mut line = Line::new();
    for _ in 0..TROUBLE {
        line.breaker.bad(Side::Source, ErrorKind::Broken);
    }
    assert_eq!(line.fail(Side::Source, ErrorKind::Broken).await, Judgement::Again);
    line.breaker.good(Side::Source);
    assert_eq!(line.fail(Side::Source, ErrorKind::Broken).await, Judgement::Again, "it was hit at the end");
    line.round = ROUNDS;
    assert_eq!(line.fail(Side::Source, ErrorKind::Broken).await, Judgement::Object, "not for ever");
    line.round = 1;
    tokio::time::advance(MEMORY).await;
    assert_eq!(line.fail(Side::Source, ErrorKind::Broken).await, Judgement::Object);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_stays_away_pauses_the_job_and_fails_nothing() {
    let mut line = Line::new();
    line.source.fail_next(Op::Open, None, u32::MAX, ErrorKind::Unreachable);
    line.breaker.bad(Side::Source, ErrorKind::Unreachable);
    line.round = 100;
    assert_eq!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Again);
    tokio::time::advance(OUTAGE).await;
    assert!(matches!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Suspend(_)));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_there_is_waited_for_as_long_as_the_job_says() {
    let mut line = Line::new();
    line.breaker.good(Side::Source);
    line.source.fail_next(Op::Open, None, u32::MAX, ErrorKind::Unreachable);
    line.breaker.bad(Side::Source, ErrorKind::Unreachable);
    line.round = 100;
    tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
    assert_eq!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Again);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(matches!(line.fail(Side::Source, ErrorKind::Unreachable).await, Judgement::Suspend(_)));
}

#[tokio::test(start_paused = true)]
async fn throttling_of_everybody_pauses_the_job_and_fails_nothing() {
    let line = Line::new();
    line.breaker.good(Side::Destination);
    line.breaker.bad(Side::Destination, ErrorKind::Throttled);
    tokio::time::advance(PATIENCE).await;
    assert!(matches!(line.fail(Side::Destination, ErrorKind::Throttled).await, Judgement::Suspend(_)));
    let other = Line::new();
    other.breaker.bad(Side::Destination, ErrorKind::Throttled);
    tokio::time::advance(PATIENCE).await;
    other.breaker.good(Side::Destination);
    other.breaker.bad(Side::Destination, ErrorKind::Throttled);
    assert_eq!(other.fail(Side::Destination, ErrorKind::Throttled).await, Judgement::Object, "others pass");
}

#[tokio::test(start_paused = true)]
async fn when_nothing_gets_through_for_long_the_endpoints_own_answer_does_not_count() {
    let mut line = Line::new();
    line.round = ROUNDS;
    for _ in 0..ALL {
        line.breaker.bad(Side::Destination, ErrorKind::ServiceFailure);
    }
    tokio::time::advance(OUTAGE).await;
    line.breaker.bad(Side::Destination, ErrorKind::ServiceFailure);
    assert!(matches!(line.fail(Side::Destination, ErrorKind::ServiceFailure).await, Judgement::Suspend(_)));
}
