//! Where an account's blob service is.

use conf::Endpoint;
use conf::azure::{Connection, account_of};
use http::Uri;

/// An address, taken apart.
#[derive(Debug)]
pub(super) struct Address {
    /// `scheme://host[:port]`.
    pub(super) uri: Uri,
    /// For people.
    pub(super) text: String,
    /// The account that signs; empty where nobody said it (a signature says it itself).
    pub(super) account: String,
    /// Of an emulator: the account stands in the path, as `/account`.
    pub(super) path: String,
}

impl Address {
    /// Of an endpoint whose configuration was checked.
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, String> {
        let said = |secret: &conf::Secret| secret.reveal().map_err(|error| error.to_string());
        let (text, account) = if endpoint.connection_string.is_empty() {
            (endpoint.endpoint.clone(), said(&endpoint.access_key)?)
        } else {
            let connection = Connection::parse(&said(&endpoint.connection_string)?)
                .map_err(|why| format!("the connection string {why}"))?;
            (connection.endpoint, connection.account)
        };
        let account = if account.is_empty() { account_of(&text).unwrap_or_default() } else { account };
        let wrong =
            || format!("endpoint {text:?} is no address: write https://ACCOUNT.blob.core.windows.net");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let uri: Uri = format!("{scheme}://{host}/").parse().map_err(|_| wrong())?;
        if uri.host().is_none_or(str::is_empty) || !matches!(scheme, "http" | "https") {
            return Err(wrong());
        }
        let path = path.trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Address { uri, path, account, text })
    }
}
