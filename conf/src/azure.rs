//! What people are given to reach an Azure storage account: connection strings, shared access signatures, and
//! addresses in several forms ("Configure Azure Storage connection strings", "Create an account SAS").

/// The well-known account of the emulator ("Use the Azurite emulator", well-known storage account and key).
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// A connection string, taken apart. Holds secrets, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
#[allow(missing_debug_implementations, reason = "it would tell the key")]
pub struct Connection {
    /// `scheme://host[:port][/account]`.
    pub endpoint: String,
    /// The account's name; empty where only a signature was given and the address does not say it.
    pub account: String,
    /// The account's key, base64; empty with a signature.
    pub key: String,
    /// The shared access signature; empty with a key.
    pub sas: String,
}

impl Connection {
    /// Takes a connection string apart. The error never repeats it.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Connection::default();
        let (mut protocol, mut suffix) = ("https".to_owned(), "core.windows.net".to_owned());
        let mut emulator = false;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            // Values may hold `=`: keys end in it.
            let Some((name, value)) = part.split_once('=') else {
                return Err("has a part without `=`: copy it again from the portal, as one line".into());
            };
            let value = value.trim().to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "defaultendpointsprotocol" => protocol = value,
                "accountname" => found.account = value,
                "accountkey" => found.key = value,
                "endpointsuffix" => suffix = value,
                "blobendpoint" => found.endpoint = value.trim_end_matches('/').to_owned(),
                "sharedaccesssignature" => found.sas = bare_sas(&value).to_owned(),
                "usedevelopmentstorage" => emulator = value.eq_ignore_ascii_case("true"),
                // Other services of the account, and settings of other libraries.
                _ => {}
            }
        }
        if emulator {
            let (account, key) = EMULATOR;
            (found.account, found.key) = (account.to_owned(), key.to_owned());
            if found.endpoint.is_empty() {
                found.endpoint = format!("http://127.0.0.1:10000/{account}");
            }
        }
        if found.endpoint.is_empty() {
            if found.account.is_empty() {
                return Err("has neither AccountName nor BlobEndpoint: copy it again from the portal".into());
            }
            found.endpoint = format!("{protocol}://{}.blob.{suffix}", found.account);
        }
        if found.account.is_empty() {
            found.account = account_of(&found.endpoint).unwrap_or_default();
        }
        match (found.key.is_empty(), found.sas.is_empty()) {
            (true, true) => Err("has neither AccountKey nor SharedAccessSignature: copy it again".into()),
            (false, _) if found.account.is_empty() => {
                Err("has an AccountKey and no AccountName: copy it again from the portal".into())
            }
            _ => Ok(found),
        }
    }
}

/// The account that an address names: the path's only segment, or else the first label of `ACCOUNT.blob.…`.
pub fn account_of(endpoint: &str) -> Option<String> {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    if !path.is_empty() {
        return Some(path.to_owned());
    }
    let (account, service) = host.split_once('.')?;
    // `account-secondary` is the same account's second region; `account.z6.blob.…` has a DNS zone.
    let blob = service.starts_with("blob.") || service.contains(".blob.");
    blob.then(|| account.strip_suffix("-secondary").unwrap_or(account).to_owned())
}

/// Without the question mark that portals put before it.
pub fn bare_sas(text: &str) -> &str {
    text.trim().trim_start_matches('?')
}

/// Is it a shared access signature that may still be used at `now` (Unix seconds)? The error never repeats it.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check_sas(text: &str, now: i64) -> Result<(), String> {
    let sas = bare_sas(text);
    if sas.contains("://") {
        return Err("is a whole address: write only what is behind its question mark".into());
    }
    if sas.contains(char::is_whitespace) {
        return Err("has white space in it: copy it again, as one line".into());
    }
    if parameter(sas, "sig").is_none_or(str::is_empty) {
        return Err(
            "is no shared access signature: it has no sig=. Copy it again, from sv= to its end".into()
        );
    }
    let Some(until) = parameter(sas, "se") else { return Ok(()) };
    match sas_end(sas) {
        None => Err(format!("has se={until}, which is no time: copy it again")),
        Some(end) if end.as_second() <= now => Err(format!("has run out at {end}: make a new one")),
        Some(_) => Ok(()),
    }
}

/// When a shared access signature runs out; `None` where it does not say it.
pub fn sas_end(text: &str) -> Option<jiff::Timestamp> {
    let until = parameter(bare_sas(text), "se")?.replace("%3A", ":").replace("%3a", ":");
    let date = || until.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    // With seconds, without them, or the date alone.
    let minutes = || format!("{}:00Z", until.strip_suffix('Z')?).parse().ok();
    until.parse().ok().or_else(minutes).or_else(|| date().map(|time| time.timestamp()))
}

fn parameter<'a>(sas: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = sas.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_as_the_portal_gives_them() {
        let parse = |text| Connection::parse(text).ok().unwrap();
        let full = parse(
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5PQ==;EndpointSuffix=core.chinacloudapi.cn",
        );
        assert_eq!(full.endpoint, "https://acc.blob.core.chinacloudapi.cn");
        assert_eq!((full.account.as_str(), full.key.as_str()), ("acc", "a2V5PQ=="));
        let sas =
            parse("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=a%3D;");
        assert_eq!((sas.account.as_str(), sas.sas.as_str()), ("acc", "sv=1&sig=a%3D"));
        let emulator = parse("UseDevelopmentStorage=true");
        assert_eq!(emulator.endpoint, "http://127.0.0.1:10000/devstoreaccount1");
        for (text, what) in [
            ("AccountName=acc", "neither AccountKey"),
            ("AccountKey=hunter2=", "neither AccountName"),
            ("hunter2", "without `=`"),
        ] {
            let why = Connection::parse(text).err().unwrap();
            assert!(why.contains(what) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn an_address_names_its_account() {
        for (endpoint, account) in [
            ("https://acc.blob.core.windows.net", Some("acc")),
            ("https://acc-secondary.blob.core.windows.net", Some("acc")),
            ("https://acc.z6.blob.storage.azure.net", Some("acc")),
            ("http://127.0.0.1:10000/devstoreaccount1", Some("devstoreaccount1")),
            ("http://127.0.0.1:10000", None),
            ("https://files.example.com", None),
        ] {
            assert_eq!(account_of(endpoint).as_deref(), account, "{endpoint}");
        }
    }

    #[test]
    fn a_signature_that_cannot_be_used_is_refused_and_never_repeated() {
        let now = "2026-06-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        for good in [
            "?sv=2022-11-02&se=2026-06-02T00%3A00%3A00Z&sig=x%3D",
            "sv=2022-11-02&se=2026-06-02T00:00Z&sig=x",
            "sv=2022-11-02&se=2026-06-02&sig=x",
            "sv=2022-11-02&si=policy&sig=x",
        ] {
            assert_eq!(check_sas(good, now), Ok(()), "{good}");
        }
        for (bad, what) in [
            ("sv=2022-11-02&se=2026-05-31T00%3A00%3A00Z&sig=hunter2", "run out"),
            ("sv=2022-11-02&se=2026-06-02T00%3A00%3A00Z", "no sig="),
            ("https://acc.blob.core.windows.net/c?sig=hunter2", "whole address"),
            ("sv=2022-11-02 &sig=hunter2", "white space"),
            ("se=never&sig=hunter2", "no time"),
        ] {
            let why = check_sas(bad, now).unwrap_err();
            assert!(why.contains(what) && !why.contains("hunter2"), "{bad}: {why}");
        }
    }
}
