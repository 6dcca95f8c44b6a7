//! `bash import.sh` as a new user runs it.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tests::home::brigade;

/// What git has of this repository, in a fresh folder, with the binary that stands already as `bin/brigade`.
fn clone() -> TempDir {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = TempDir::new().unwrap();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "conf", "docs/sample", "import.sh"])
        .current_dir(top)
        .output()
        .unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().split('\0').filter(|name| !name.is_empty()) {
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(top.join(name), to).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(brigade(), folder.path().join("bin/brigade")).unwrap();
    folder
}

fn import(folder: &Path, args: &[&str], input: Option<&str>) -> (i32, String) {
    let mut command = Command::new("bash");
    command.arg("import.sh").args(args).current_dir(folder).env_remove("BRIGADE_HOME");
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    if let (Some(text), Some(mut stdin)) = (input, running.stdin.take()) {
        use std::io::Write;
        stdin.write_all(text.as_bytes()).unwrap();
    }
    let output = running.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), said)
}

/// Relative path and bytes of every file.
fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let name = entry.strip_prefix(root).unwrap().display().to_string();
                files.push((name, std::fs::read(&entry).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_shipped_sample_moves_and_a_second_run_asks() {
    let folder = clone();
    let sample = tree(&folder.path().join("docs/sample"));
    assert!(sample.len() >= 8);
    let (code, said) = import(folder.path(), &[], None);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&sample.len().to_string()), "the summary counts the objects: {said}");
    assert_eq!(tree(&folder.path().join("out")), sample);

    let (code, said) = import(folder.path(), &[], Some("n\n"));
    assert!(said.contains('?'), "it asks: {said}");
    assert!([0, 1, 2].contains(&code), "{said}");
    let (code, said) = import(folder.path(), &["--no-input", "--restart"], None);
    assert_eq!(code, 0, "{said}");
    let (code, said) = import(folder.path(), &["--no-input", "--resume"], None);
    assert_eq!(code, 0, "{said}");
    assert_eq!(tree(&folder.path().join("out")), sample);
}
