//! Few open files: slower, or refused at once; no object fails for it.

use std::process::Command;

use tempfile::TempDir;
use tests::family::{Dialect, Server};
use tests::home::{Home, brigade};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

/// The import under a hard limit of so many open files.
fn import(home: &Home, files: u32) -> (i32, String) {
    let line = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).arg(brigade()).arg("--home").arg(home.path());
    command.args(["--no-input", "import", "--restart"]).env("BRIGADE_TEST_SECRET", SECRET_KEY);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn an_import_works_with_64_128_and_256_open_files_and_is_refused_with_40() {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("from");
    let source = Side::oss(&server.endpoint(), "from", "");
    source.seed("small:600");
    for files in [64, 128, 256] {
        // Sockets at both ends, then a socket and files, then files at both.
        let bucket = format!("to-{files}");
        server.make_bucket(&bucket);
        let there = Side::oss(&server.endpoint(), &bucket, "");
        let (here, again) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let [local, copy] = [&here, &again].map(|tree| Side::local(tree.path()));
        for (from, to) in [(&source, &there), (&there, &local), (&local, &copy)] {
            let home = Home::new();
            home.job(from, to, "");
            let (code, said) = import(&home, files);
            assert_eq!(code, 0, "{files} files: {said}");
            to.must_equal_bare("small:600");
        }
    }
    let (home, tree) = (Home::new(), TempDir::new().unwrap());
    home.job(&source, &Side::local(tree.path()), "");
    let (code, said) = import(&home, 40);
    assert!(code == 1 && said.contains("ulimit -n"), "{code}: {said}");
}

#[test]
fn a_tree_that_is_deeper_than_the_open_files_is_listed_whole() {
    let server = Server::start(Dialect::S3, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let (home, from) = (Home::new(), TempDir::new().unwrap());
    let mut wanted = Vec::new();
    for branch in ["a", "b", "c"] {
        for depth in (50..=450).step_by(50) {
            let folder = vec![branch; depth].join("/");
            std::fs::create_dir_all(from.path().join(&folder)).unwrap();
            for name in ["0", "z"] {
                std::fs::write(from.path().join(&folder).join(name), &folder).unwrap();
                wanted.push(format!("{folder}/{name}").into_bytes());
            }
        }
    }
    wanted.sort();
    home.job(&Side::local(from.path()), &Side::s3(&server.endpoint(), "bucket", ""), "");
    let (code, said) = import(&home, 128);
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.keys("bucket"), wanted);
}
