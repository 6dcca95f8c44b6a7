//! The test server as a program: `family oss|s3 PORT ACCESS_KEY SECRET_KEY BUCKET…`; runs until it is killed.

use tests::family::{Dialect, Server};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, dialect, port, access, secret, buckets @ ..] = &args[..] else {
        panic!("usage: family oss|s3 PORT ACCESS_KEY SECRET_KEY BUCKET…")
    };
    let dialect = if dialect == "oss" { Dialect::Oss } else { Dialect::S3 };
    let port = port.parse().unwrap_or_else(|_| panic!("not a port: {port}"));
    let server = Server::start_on(dialect, access, secret, port);
    for bucket in buckets {
        server.make_bucket(bucket);
    }
    loop {
        std::thread::park();
    }
}
