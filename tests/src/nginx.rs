//! nginx from Debian on 127.0.0.1, with a configuration and directories of its own: a web server that others
//! wrote, in the ways in which web servers differ.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::servers::free_port;

/// A running server; ends when it is dropped.
///
/// The same files below several places: `/plain/` as they are, `/gzip/` compressed for who takes it, `/noranges/`,
/// `/chunked/` without a length, `/old/` without a length or chunks (as HTTP/1.0), `/moved/` by a redirect on this
/// host, `/away/` by one to `localhost`, `/loop/` without end, `/out/` to another scheme, `/forbidden/` (403),
/// `/busy/` (503 with `Retry-After`), `/nohead/` (403 for HEAD).
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    port: u16,
    root: TempDir,
}

impl Nginx {
    /// Starts it and waits until it answers. `more` goes into the server's section.
    /// `FILES` in it is the directory of the files.
    pub fn start(more: &str) -> Nginx {
        let root = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
        let (port, path) = (free_port(), root.path());
        for name in ["files", "temporary"] {
            std::fs::create_dir(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let conf = path.join("nginx.conf");
        std::fs::write(
            &conf,
            configuration(path, port, &more.replace("FILES", &path.join("files").display().to_string())),
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(program());
        command.arg("-p").arg(path).arg("-c").arg(&conf).arg("-e").arg(path.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start nginx: {error}; run tests/run.sh --set-up"));
        let mut server = Nginx { child, port, root };
        server.wait_until_ready();
        server
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The files that it serves.
    pub fn files(&self) -> PathBuf {
        self.root.path().join("files")
    }

    /// Makes a file, as if an hour ago.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.files().join(name);
        let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
        std::fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("{parent:?}: {error}"));
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file = std::fs::File::options().write(true).open(&path);
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        file.and_then(|file| file.set_modified(hour_ago)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }

    fn wait_until_ready(&mut self) {
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(self.root.path().join("error.log")).unwrap_or_default();
                panic!("nginx ended at once: {status}: {log}");
            }
            assert!(Instant::now() < end, "nginx did not become ready");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master process ends its workers before itself; killed, it would leave them.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// As `Content-MD5` states it, before base64.
pub fn md5(data: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(data).into()
}

/// Debian has it where only root looks.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

fn configuration(root: &Path, port: u16, more: &str) -> String {
    let root = root.display();
    let files = format!("alias {root}/files/;");
    // A text that no file has, replaced by nothing: so that the length is not known before the end.
    let open_ended = "sub_filter_types *; sub_filter 'no file has this' ''; sub_filter_last_modified on;";
    // As root its workers are another user's, who may not read the temporary directory of the test.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; worker_processes 1; {user} pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log {root}/access.log; default_type application/x-test; types {{ }} merge_slashes off;
    keepalive_requests 100000;
    client_body_temp_path {root}/temporary; proxy_temp_path {root}/temporary; fastcgi_temp_path {root}/temporary;
    uwsgi_temp_path {root}/temporary; scgi_temp_path {root}/temporary;
    server {{
        listen 127.0.0.1:{port};
        location /plain/ {{ {files} }}
        location /gzip/ {{ {files} gzip on; gzip_min_length 1; gzip_types *; gzip_http_version 1.0; }}
        location /noranges/ {{ {files} max_ranges 0; }}
        location /chunked/ {{ {files} {open_ended} }}
        location /old/ {{ {files} {open_ended} chunked_transfer_encoding off; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /plain/$1 redirect; }}
        location ~ ^/away/(.*)$ {{ return 307 http://localhost:{port}/plain/$1; }}
        location /loop/ {{ return 301 $request_uri; }}
        location /out/ {{ return 302 ftp://127.0.0.1/x; }}
        location /forbidden/ {{ return 403; }}
        location /busy/ {{ add_header Retry-After 1 always; return 503; }}
        location /nohead/ {{ {files} if ($request_method = HEAD) {{ return 403; }} }}
        {more}
    }}
}}
"
    )
}
