//! A service that says whatever a test wants, and keeps what it heard.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Ends when it is dropped.
pub(crate) struct Liar {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Writes the answer to a request with this head; the connection closes behind it.
pub(crate) type Answer = dyn Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

impl Liar {
    pub(crate) fn start(answer: Box<Answer>) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (log, stop) = (heard.clone(), ended.clone());
        let accept = move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (log, answer) = (&log, &answer);
                    // The client may go away at any moment.
                    scope.spawn(move || drop(serve(stream, log, answer)));
                }
            });
        };
        Liar { address, heard, ended, thread: Some(std::thread::spawn(accept)) }
    }

    /// The same answer to everybody.
    pub(crate) fn saying(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Liar {
        Liar::start(Box::new(move |head, stream| stream.write_all(&answer(head))))
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Heads of all requests.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, answer: &Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut one = [0];
        if stream.read(&mut one)? == 0 {
            return Ok(());
        }
        head.push(one[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    log.lock().unwrap().push(head.clone());
    let length = header(&head, "content-length").parse().unwrap_or(0);
    std::io::copy(&mut (&stream).take(length), &mut std::io::sink())?;
    answer(&head, &mut stream)?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// A header of a request, empty where it is missing.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or("")
}

/// A whole answer with this status line, these further headers and this body.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
