//! The test server as a program: `family DIALECT PORT ACCESS_KEY SECRET_KEY BUCKET…`; runs until it is killed. A bucket whose name
//! begins with `foreign-` is another account's, and one with `public-` may be read by everybody.

use tests::family::{Dialect, Server};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, dialect, port, access, secret, buckets @ ..] = &args[..] else {
        panic!("usage: family DIALECT PORT ACCESS_KEY SECRET_KEY BUCKET…")
    };
    let dialect = Dialect::named(dialect).unwrap_or_else(|| panic!("not a dialect: {dialect}"));
    let port = port.parse().unwrap_or_else(|_| panic!("not a port: {port}"));
    let server = Server::start_on(dialect, access, secret, port);
    for bucket in buckets {
        server.make_bucket(bucket);
        if bucket.starts_with("foreign-") {
            server.make_foreign(bucket);
        }
        if bucket.starts_with("public-") {
            server.make_public(bucket);
        }
    }
    loop {
        std::thread::park();
    }
}
