//! What went wrong, typed: retry, pausing and error codes are decided from the kind alone.

use std::fmt;
use std::time::Duration;

use proto::ObjectKey;
use proto::text::one_line;

/// The result of every call to an adapter.
pub type Result<T> = std::result::Result<T, Error>;

/// One failed operation. `Display` says what failed, on which object, and what the service said.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    op: Op,
    key: Option<ObjectKey>,
    status: Option<u16>,
    code: String,
    message: String,
    request_id: String,
    retry_after: Option<Duration>,
}

/// What kind of failure it is; the service's own code is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such object.
    NotFound,
    /// No such bucket, or no such directory as root.
    BucketNotFound,
    /// No such multipart upload.
    UploadNotFound,
    /// Refused for these credentials.
    AccessDenied,
    /// The keys themselves are refused (unknown key, wrong signature).
    BadCredentials,
    /// Credentials that were good have run out: read them again.
    CredentialsExpired,
    /// This host's clock and the service's differ too much.
    ClockSkew,
    /// The service asks to slow down. Not a failure of the object.
    Throttled,
    /// Another version than the one that was asked for, or something is there that must not be overwritten.
    PreconditionFailed,
    /// The service cannot hold or find this key.
    InvalidName,
    /// It has to be restored before it can be read.
    Archived,
    /// A step took longer than its limit.
    Timeout,
    /// No connection: name, route, refused, TLS.
    Unreachable,
    /// A connection broke, or a body ended early.
    Broken,
    /// The service failed (5xx): try again.
    ServiceFailure,
    /// Bytes were damaged on the way (the service's check of a checksum, or ours).
    Corrupted,
    /// Too large, a part that is refused, bad metadata: the request can never succeed.
    Refused,
    /// The object's metadata is more than the service holds.
    MetadataTooLarge,
    /// Another region or endpoint has the bucket; the message names it where the service did.
    WrongEndpoint,
    /// The service answered something that the protocol does not allow.
    Protocol,
    /// The service does not have this operation.
    Unsupported,
    /// The local disk is full, or a quota is used up.
    DiskFull,
    /// The local file system is mounted read-only.
    ReadOnly,
    /// Any other failure of the local file system.
    Io,
    /// Two writers at once, or an object kind that cannot be written over.
    Conflict,
}

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reading the configuration of the adapter, or the first look at the endpoint.
    Open,
    /// A page of a listing.
    List,
    /// Metadata of one object.
    Head,
    /// Reading bytes.
    Get,
    /// Writing one object.
    Put,
    /// Beginning a multipart upload.
    Begin,
    /// Writing a part.
    Part,
    /// Listing parts.
    ListParts,
    /// Completing a multipart upload.
    Complete,
    /// Aborting a multipart upload.
    Abort,
    /// Listing multipart uploads.
    ListUploads,
    /// A copy inside the service.
    Copy,
    /// Deleting.
    Delete,
    /// Asking for an archived object to be made readable.
    Restore,
    /// Reading tags.
    Tags,
    /// Reading an access list.
    Acl,
    /// Reading where a link leads.
    Link,
    /// Writing a link.
    PutLink,
}

// === impl Error ===

impl Error {
    /// A failure of `op`; add what is known with the methods below.
    pub fn new(kind: ErrorKind, op: Op, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            op,
            key: None,
            status: None,
            code: String::new(),
            message: message.into(),
            request_id: String::new(),
            retry_after: None,
        }))
    }

    /// On which object.
    #[must_use]
    pub fn on(mut self, key: &ObjectKey) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// What the service said: HTTP status, its code, its request id.
    #[must_use]
    pub fn service(mut self, status: u16, code: impl Into<String>, request_id: impl Into<String>) -> Self {
        self.0.status = Some(status);
        self.0.code = code.into();
        self.0.request_id = request_id.into();
        self
    }

    /// When the service wants to be asked again.
    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.0.retry_after = after;
        self
    }

    /// The same failure under another kind, where the caller knows better.
    #[must_use]
    pub fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation.
    pub fn op(&self) -> Op {
        self.0.op
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The service's code ("NoSuchKey"), or nothing.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The text of the service or the system.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// For the service's support.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// `Retry-After`, where it was sent.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { op, key, status, code, message, request_id, .. } = &*self.0;
        write!(f, "cannot {op}")?;
        if let Some(key) = key {
            write!(f, " {key:?}")?;
        }
        write!(f, ": {}", printable(message))?;
        let mut said = Vec::new();
        if let Some(status) = status {
            said.push(format!("HTTP {status}"));
        }
        if !code.is_empty() {
            said.push(printable(code));
        }
        if !request_id.is_empty() {
            said.push(format!("request {}", printable(request_id)));
        }
        if said.is_empty() { Ok(()) } else { write!(f, " ({})", said.join(", ")) }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Open => "open",
            Op::List => "list",
            Op::Head => "look at",
            Op::Get => "read",
            Op::Put => "write",
            Op::Begin => "begin the multipart upload of",
            Op::Part => "write a part of",
            Op::ListParts => "list the parts of",
            Op::Complete => "complete the multipart upload of",
            Op::Abort => "abort the multipart upload of",
            Op::ListUploads => "list multipart uploads",
            Op::Copy => "copy",
            Op::Delete => "delete",
            Op::Restore => "restore",
            Op::Tags => "read the tags of",
            Op::Acl => "read the access list of",
            Op::Link => "read the link",
            Op::PutLink => "write the link",
        })
    }
}

/// An error with its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What a service says is untrusted: control characters never reach a terminal or a log.
fn printable(text: &str) -> String {
    let cut: String = text.chars().take(500).collect();
    one_line(&cut).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_failed_on_which_object_and_what_the_service_said() {
        let error = Error::new(ErrorKind::AccessDenied, Op::Get, "Access\u{1b}[31m denied")
            .on(&ObjectKey::from("a\nb"))
            .service(403, "AccessDenied", "4442587FB7D0A2F9");
        assert_eq!(
            error.to_string(),
            "cannot read \"a%0Ab\": Access [31m denied (HTTP 403, AccessDenied, request 4442587FB7D0A2F9)"
        );
    }
}
