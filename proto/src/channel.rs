//! Client and server ends of every gRPC connection: the token, deadlines, message sizes.
//!
//! No port answers without the token of the installation (`run/token`, 0600); it is compared without
//! telling by time how much of it was right.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

/// The largest message: a batch of 1,000 records with the longest keys and texts fits well.
pub const MAX_MESSAGE: usize = 32 << 20;

/// After an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The secret that every call carries.
#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>);

/// Adds the token to each call.
#[derive(Debug, Clone)]
pub struct Bearer(Token);

/// Refuses a call without the token.
#[derive(Debug, Clone)]
pub struct Guard(Token);

/// A channel whose calls carry the token.
pub type Caller = InterceptedService<Channel, Bearer>;

/// A token that cannot be one: it has to be printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not printable ASCII, or empty")]
pub struct BadToken;

/// A connection that is made at the first call and again whenever it broke.
pub fn call(address: SocketAddr, token: &Token) -> Result<Caller, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok(InterceptedService::new(endpoint.connect_lazy(), Bearer(token.clone())))
}

/// What a server accepts at a socket that is bound already. Without `nodelay` the end of each answer would wait
/// for the peer's delayed acknowledgement; the builder of the server sets it only where it binds itself. An accept
/// that fails (too many open files) is made again: a server that is handed the error ends.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = std::io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    // It fails where the peer is gone already, which the first read says as well.
                    let _ = socket.set_nodelay(true);
                    return Some((Ok(socket), listener));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    })
}

/// A server that notices dead peers.
pub fn serve() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

// === impl Token ===

impl Token {
    /// 32 random bytes in hex.
    pub fn generate() -> Self {
        let text = hex::encode(rand::random::<[u8; 32]>());
        Token::parse(&text).unwrap_or_else(|_| unreachable!("hex digits are printable"))
    }

    /// The token of a file's content; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadToken);
        }
        text.parse().map(Token).map_err(|_| BadToken)
    }

    /// The text for the file.
    pub fn expose(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// What a server puts before its service.
    pub fn guard(&self) -> Guard {
        Guard(self.clone())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

// === impl Bearer, Guard ===

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.0.clone());
        Ok(request)
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = request.metadata().get("authorization").map(|value| value.as_encoded_bytes());
        let wanted = self.0.0.as_encoded_bytes();
        let equal = given.is_some_and(|given| {
            given.len() == wanted.len()
                && given.iter().zip(wanted).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
        });
        if equal { Ok(request) } else { Err(Status::unauthenticated("the token is missing or wrong")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_passes() {
        let token = Token::generate();
        let mut guard = token.guard();
        assert!(guard.call(Request::new(())).is_err());
        let signed = Bearer(token).call(Request::new(())).unwrap();
        assert!(guard.call(signed).is_ok());
        let other = Bearer(Token::generate()).call(Request::new(())).unwrap();
        assert!(guard.call(other).is_err());
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::generate();
        assert!(!format!("{token:?} {:?}", token.guard()).contains(token.expose()));
    }
}
