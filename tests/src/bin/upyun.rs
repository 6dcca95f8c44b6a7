//! The test server of UPYUN as a program: `upyun PORT OPERATOR PASSWORD BUCKET…`; runs until it is killed.

use tests::upyun::Server;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, port, operator, password, buckets @ ..] = &args[..] else {
        panic!("usage: upyun PORT OPERATOR PASSWORD BUCKET…")
    };
    let port = port.parse().unwrap_or_else(|_| panic!("not a port: {port}"));
    let server = Server::start_on(operator, password, port);
    for bucket in buckets {
        server.make_bucket(bucket);
    }
    loop {
        std::thread::park();
    }
}
