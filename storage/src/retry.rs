//! The one home of the retry policy: what to do after a failure, decided from its kind alone.

use std::time::Duration;

use proto::ObjectErrorCode;

use crate::error::{Error, ErrorKind, Op};

/// How often, and how long between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The ceiling of the first pause; it doubles with each attempt.
    pub base: Duration,
    /// The ceiling of every pause.
    pub cap: Duration,
    /// How long a throttling service is waited for before an object is given up.
    pub patience: Duration,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Again, after this pause.
    Retry(Duration),
    /// It stays a failure.
    GiveUp,
}

impl Policy {
    /// With the pauses that fit object stores: up to 0.2 s, 0.4 s, … 20 s.
    pub fn new(attempts: u32, patience: Duration) -> Self {
        let (base, cap) = (Duration::from_millis(200), Duration::from_secs(20));
        Policy { attempts: attempts.max(1), base, cap, patience }
    }

    /// After `attempt` (from 1) failed with `error`. `throttled_for` is how long the service has asked this
    /// caller to slow down so far: throttling does not count as an attempt until `patience` ends.
    pub fn decide(&self, error: &Error, attempt: u32, throttled_for: Duration) -> Decision {
        self.decide_with(error, attempt, throttled_for, rand::random())
    }

    /// The same with a given random number of `0.0..1.0`.
    pub fn decide_with(&self, error: &Error, attempt: u32, throttled_for: Duration, random: f64) -> Decision {
        if error.kind() == ErrorKind::Throttled {
            return match error.wait() {
                _ if throttled_for >= self.patience => Decision::GiveUp,
                // What the service asked for, and a little more, so that not everybody comes back at once.
                Some(asked) => Decision::Retry(asked.min(self.patience) + self.jitter(1, random)),
                // As long again as it has been asked already: a service at its limit gets fewer and fewer requests.
                None => {
                    let ceiling = self.ceiling(3).max(throttled_for.min(self.cap));
                    Decision::Retry(ceiling.mul_f64(random.clamp(0.0, 1.0)))
                }
            };
        }
        if !retryable(error.kind()) || attempt >= self.attempts {
            return Decision::GiveUp;
        }
        let asked = error.wait().unwrap_or_default().min(self.patience);
        Decision::Retry(asked.max(self.jitter(attempt, random)))
    }

    /// Full jitter: anything up to the ceiling of this attempt.
    fn jitter(&self, attempt: u32, random: f64) -> Duration {
        self.ceiling(attempt).mul_f64(random.clamp(0.0, 1.0))
    }

    fn ceiling(&self, attempt: u32) -> Duration {
        self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.cap)
    }
}

/// May the same request succeed a moment later?
pub fn retryable(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Throttled
        | ErrorKind::Timeout
        | ErrorKind::Unreachable
        | ErrorKind::Broken
        | ErrorKind::ServiceFailure
        | ErrorKind::Corrupted
        | ErrorKind::Protocol
        | ErrorKind::CredentialsExpired => true,
        ErrorKind::NotFound
        | ErrorKind::BucketNotFound
        | ErrorKind::UploadNotFound
        | ErrorKind::AccessDenied
        | ErrorKind::BadCredentials
        | ErrorKind::ClockSkew
        | ErrorKind::PreconditionFailed
        | ErrorKind::InvalidName
        | ErrorKind::Archived
        | ErrorKind::Refused
        | ErrorKind::MetadataTooLarge
        | ErrorKind::WrongEndpoint
        | ErrorKind::Unsupported
        | ErrorKind::DiskFull
        | ErrorKind::ReadOnly
        | ErrorKind::Io
        | ErrorKind::Conflict => false,
    }
}

/// May pass, and may have to do with the service as a whole: it is away, or in trouble.
pub fn is_transient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Broken | ErrorKind::ServiceFailure
    )
}

/// A failure that every object would meet: pause the job instead of failing its objects.
pub fn is_systemic(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BucketNotFound
            | ErrorKind::BadCredentials
            | ErrorKind::CredentialsExpired
            | ErrorKind::ClockSkew
            | ErrorKind::WrongEndpoint
            | ErrorKind::DiskFull
            | ErrorKind::ReadOnly
    )
}

/// The code of the object that failed with this error.
pub fn object_code(error: &Error) -> ObjectErrorCode {
    let reading = matches!(
        error.op(),
        Op::Get | Op::Head | Op::List | Op::Open | Op::Tags | Op::Acl | Op::Link | Op::Restore
    );
    match error.kind() {
        ErrorKind::NotFound if reading => ObjectErrorCode::SourceGone,
        ErrorKind::PreconditionFailed if reading => ObjectErrorCode::SourceChanged,
        ErrorKind::AccessDenied | ErrorKind::BadCredentials | ErrorKind::CredentialsExpired => {
            ObjectErrorCode::AccessDenied
        }
        ErrorKind::InvalidName => ObjectErrorCode::InvalidName,
        ErrorKind::Archived => ObjectErrorCode::Archived,
        ErrorKind::Throttled => ObjectErrorCode::Throttled,
        ErrorKind::Timeout => ObjectErrorCode::Timeout,
        ErrorKind::Corrupted => ObjectErrorCode::ChecksumNotMatch,
        _ if reading => ObjectErrorCode::DownloadFailed,
        _ => ObjectErrorCode::UploadFailed,
    }
}

/// What the user can do about it: one sentence.
pub fn next_step(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "It was deleted since it was listed, or the key is wrong.",
        ErrorKind::BucketNotFound => "Create the bucket (or directory), or correct its name in the job file.",
        ErrorKind::UploadNotFound => "The upload was aborted by somebody else; a retry begins a new one.",
        ErrorKind::AccessDenied => "Give these keys the right to do it, or use other keys.",
        ErrorKind::BadCredentials => {
            "Correct access_key and secret_key in the job file, or the sas_token, connection_string or identity that stand in their place."
        }
        ErrorKind::CredentialsExpired => "Provide fresh credentials, then go on.",
        ErrorKind::ClockSkew => "Set this host's clock (for example with NTP), then go on.",
        ErrorKind::Throttled => "The service is at its limit: set requests_per_s lower, or go on later.",
        ErrorKind::PreconditionFailed => {
            "It was changed meanwhile: a retry or the next round takes the new version."
        }
        ErrorKind::InvalidName => {
            "The destination cannot hold this name: give it another with [[rename]], or rename it at the source."
        }
        ErrorKind::Archived => "Restore it at the source, then retry.",
        ErrorKind::Timeout => "Check the network between here and the endpoint; retry.",
        ErrorKind::Unreachable => "Check the endpoint's name, port and scheme, the proxy, and the network.",
        ErrorKind::Broken | ErrorKind::ServiceFailure => "Usually it passes: retry.",
        ErrorKind::Corrupted => {
            "Bytes were damaged on the way or at rest: retry; if it stays, check that object."
        }
        ErrorKind::Refused => "The service refuses this request for good; its message says why.",
        ErrorKind::MetadataTooLarge => {
            "Shorten the object's metadata at the source, or choose a destination that takes more."
        }
        ErrorKind::WrongEndpoint => "Use the endpoint and region that the message names.",
        ErrorKind::Protocol => {
            "The endpoint does not speak this protocol as it should: check type and endpoint."
        }
        ErrorKind::Unsupported => {
            "This endpoint does not have the operation: choose another type or setting."
        }
        ErrorKind::DiskFull => "Make room on the disk, then go on.",
        ErrorKind::ReadOnly => "Mount the file system writable, then go on.",
        ErrorKind::Io => "Check the file system; the message says what the system refused.",
        ErrorKind::Conflict => "Something else is in its place; the message says what.",
    }
}

/// What the user can do about a file of our own that the system refuses: the end of a sentence, or nothing.
pub fn mend_file(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; make room there, then go on"
        }
        std::io::ErrorKind::ReadOnlyFilesystem => "; mount that file system writable, then go on",
        std::io::ErrorKind::PermissionDenied => "; check who owns it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, Op::Get, "")
    }

    #[test]
    fn pauses_grow_to_a_ceiling_and_are_jittered_from_zero() {
        let policy = Policy::new(10, PATIENCE);
        let pause =
            |attempt, random| policy.decide_with(&error(ErrorKind::Broken), attempt, Duration::ZERO, random);
        assert_eq!(pause(1, 1.0), Decision::Retry(Duration::from_millis(200)));
        assert_eq!(pause(2, 1.0), Decision::Retry(Duration::from_millis(400)));
        assert_eq!(pause(9, 1.0), Decision::Retry(Duration::from_secs(20)));
        assert_eq!(pause(5, 0.0), Decision::Retry(Duration::ZERO));
        assert_eq!(pause(10, 0.5), Decision::GiveUp);
    }

    #[test]
    fn throttling_does_not_count_as_an_attempt_until_patience_ends() {
        let policy = Policy::new(2, PATIENCE);
        let asked = error(ErrorKind::Throttled).retry_after(Some(Duration::from_secs(7)));
        assert_eq!(
            policy.decide_with(&asked, 50, Duration::from_secs(60), 0.0),
            Decision::Retry(Duration::from_secs(7))
        );
        assert_eq!(policy.decide_with(&asked, 1, PATIENCE, 0.0), Decision::GiveUp);
    }

    #[test]
    fn a_service_that_throttles_on_is_asked_less_and_less() {
        let policy = Policy::new(2, PATIENCE);
        let pause =
            |seconds| policy.decide_with(&error(ErrorKind::Throttled), 1, Duration::from_secs(seconds), 1.0);
        assert_eq!(pause(0), Decision::Retry(Duration::from_millis(800)));
        assert_eq!(pause(5), Decision::Retry(Duration::from_secs(5)));
        assert_eq!(pause(500), Decision::Retry(Duration::from_secs(20)));
    }

    #[test]
    fn hopeless_errors_are_not_repeated() {
        let policy = Policy::new(5, PATIENCE);
        for kind in
            [ErrorKind::AccessDenied, ErrorKind::NotFound, ErrorKind::InvalidName, ErrorKind::DiskFull]
        {
            assert_eq!(policy.decide(&error(kind), 1, Duration::ZERO), Decision::GiveUp, "{kind:?}");
        }
    }

    #[test]
    fn the_code_depends_on_the_side_that_failed() {
        assert_eq!(object_code(&Error::new(ErrorKind::NotFound, Op::Get, "")), ObjectErrorCode::SourceGone);
        assert_eq!(object_code(&Error::new(ErrorKind::NotFound, Op::Put, "")), ObjectErrorCode::UploadFailed);
        assert_eq!(object_code(&Error::new(ErrorKind::Broken, Op::Get, "")), ObjectErrorCode::DownloadFailed);
        let restore = Error::new(ErrorKind::Refused, Op::Restore, "");
        assert_eq!(object_code(&restore), ObjectErrorCode::DownloadFailed, "it is the source's");
        assert_eq!(object_code(&Error::new(ErrorKind::Conflict, Op::Put, "")), ObjectErrorCode::UploadFailed);
    }
}
