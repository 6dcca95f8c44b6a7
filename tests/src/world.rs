//! Both ends as another client sees them: `tests/sdk/world.py` (boto3, oss2, plain files).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::family::{Dialect, Server};
use crate::servers::{ACCESS_KEY, SECRET_KEY, tools};

/// One end of a job, for the other client.
#[derive(Debug, Clone)]
pub struct Side(Value);

/// A file of `tests/sdk/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
}

/// Python with the vendors' SDKs.
pub fn python() -> Command {
    Command::new(tools().join("venv/bin/python"))
}

impl Side {
    /// A directory.
    pub fn local(path: &Path) -> Side {
        Side(json!({"type": "local", "path": format!("{}/", path.display())}))
    }

    /// Files that a web server gives below `origin`; as a source, the list `key_list` with [`Side::lines`].
    pub fn web(files: &Path, origin: &str) -> Side {
        Side(json!({"type": "http", "path": format!("{}/", files.display()), "origin": origin}))
    }

    /// A line of a list for each file of a web server.
    pub fn lines(&self) -> String {
        let output = self.run("look", &[]);
        let said = String::from_utf8_lossy(&output.stdout);
        let objects = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let origin = self.0["origin"].as_str().unwrap_or_default();
        objects.map(|object| format!("{origin} {}\n", object["key"].as_str().unwrap_or_default())).collect()
    }

    /// The end as the scripts take it.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// A bucket of an S3 server; it is made if it is missing.
    pub fn s3(endpoint: &str, bucket: &str, prefix: &str) -> Side {
        Side::store("s3", endpoint, bucket, prefix)
    }

    /// A bucket of the OSS test server.
    pub fn oss(endpoint: &str, bucket: &str, prefix: &str) -> Side {
        Side::store("oss", endpoint, bucket, prefix)
    }

    /// A bucket of the test server, seen with the vendor's own SDK.
    pub fn of(server: &Server, bucket: &str, prefix: &str) -> Side {
        Side::store(server.dialect().name(), &server.endpoint(), bucket, prefix)
    }

    /// The same with another value of one of its keys.
    pub fn with(mut self, key: &str, value: &str) -> Side {
        self.0[key] = json!(value);
        self
    }

    /// A service of the UPYUN test server.
    pub fn youpai(endpoint: &str, bucket: &str, prefix: &str) -> Side {
        Side::store("youpai", endpoint, bucket, prefix).with("region", "")
    }

    /// A container of Azurite; it is made if it is missing.
    pub fn azure(endpoint: &str, container: &str, prefix: &str) -> Side {
        let side = Side::store("azure", endpoint, container, prefix);
        let Side(Value::Object(mut fields)) = side else { return side };
        fields.insert("secret_key".into(), crate::azurite::account_key().into());
        Side(Value::Object(fields))
    }

    fn store(kind: &str, endpoint: &str, bucket: &str, prefix: &str) -> Side {
        let region = Dialect::named(kind).map_or("us-east-1", Dialect::region);
        Side(json!({
            "type": kind, "region": region, "endpoint": endpoint, "bucket": bucket, "prefix": prefix,
            "access_key": ACCESS_KEY, "secret_key": SECRET_KEY,
        }))
    }

    /// The end as a section of a job file: `[source]` or `[destination]`, with the secret from the environment.
    pub fn section(&self, name: &str) -> String {
        let text = |key: &str| self.0[key].as_str().unwrap_or_default().to_owned();
        if text("type") == "local" {
            return format!("[{name}]\ntype = \"local\"\npath = {:?}\n", text("path"));
        }
        if text("type") == "http" {
            return format!("[{name}]\ntype = \"http\"\nkey_list = {:?}\n", text("key_list"));
        }
        if text("type") == "azure" {
            return format!(
                "[{name}]\ntype = \"azure\"\nendpoint = {:?}\nbucket = {:?}\nprefix = {:?}\nsecret_key = \"${{BRIGADE_TEST_AZURE_KEY}}\"\n",
                text("endpoint"),
                text("bucket"),
                text("prefix"),
            );
        }
        // UPYUN has none.
        let region = match text("region") {
            none if none.is_empty() => String::new(),
            region => format!("region = {region:?}\n"),
        };
        format!(
            "[{name}]\ntype = {:?}\nendpoint = {:?}\n{region}bucket = {:?}\nprefix = {:?}\naccess_key = {ACCESS_KEY:?}\nsecret_key = \"${{BRIGADE_TEST_SECRET}}\"\n",
            text("type"),
            text("endpoint"),
            text("bucket"),
            text("prefix"),
        )
    }

    /// Puts the plan's objects there with the other client.
    pub fn seed(&self, plan: &str) {
        let output = self.run("seed", &[plan]);
        assert!(output.status.success(), "seeding failed: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether seeding worked, for waiting.
    pub(crate) fn seed_quietly(&self, plan: &str) -> bool {
        self.run("seed", &[plan]).status.success()
    }

    /// Compares what is there with the plan: keys, bytes, content headers and metadata.
    pub fn must_equal(&self, plan: &str) {
        self.compare(plan, &[], false);
    }

    /// The same without headers and metadata, which a file system cannot keep.
    pub fn must_equal_bare(&self, plan: &str) {
        self.compare(plan, &[], true);
    }

    /// The plan without the keys that must not be there.
    pub fn must_equal_without(&self, plan: &str, absent: &[String], bare: bool) {
        self.compare(plan, absent, bare);
    }

    fn compare(&self, plan: &str, absent: &[String], bare: bool) {
        let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("no file: {error}"));
        let text = serde_json::to_string(absent).unwrap_or_default();
        std::fs::write(file.path(), text).unwrap_or_else(|error| panic!("cannot write: {error}"));
        let path = file.path().display().to_string();
        let mut args = vec![plan, "--absent", &path];
        if bare {
            args.push("--bare");
        }
        let output = self.run("compare", &args);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "the ends differ:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn run(&self, verb: &str, args: &[&str]) -> Output {
        let mut command = python();
        command.arg(script("world.py")).arg(verb).arg(self.text()).args(args);
        command
            .output()
            .unwrap_or_else(|error| panic!("cannot run python: {error}; run tests/run.sh --set-up"))
    }
}
