//! Against servers of a few lines: time-outs, bodies that end early, proxies.

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// One connection: reads a request's head, hands it over, says `answer`, and stays open as long as `keep`.
async fn server(
    answer: &'static str,
    keep: bool,
) -> (Uri, tokio::sync::oneshot::Receiver<String>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/bucket/a//b/../c", listener.local_addr().unwrap()).parse().unwrap();
    let (told, heard) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        told.send(head(&mut stream).await).unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        if keep {
            std::future::pending::<()>().await;
        }
    });
    (uri, heard, task)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn client(target: &Uri, proxy: &str) -> Http {
    Http::new(target, None, proxy, Duration::from_millis(300), Meter::unlimited()).unwrap()
}

async fn get(http: &Http, uri: &Uri) -> std::result::Result<Response<Incoming>, Failure> {
    let (parts, ()) = Request::builder().uri(uri.clone()).body(()).unwrap().into_parts();
    http.send(parts, Payload::default(), 1).await
}

#[tokio::test]
async fn the_path_travels_as_it_is_written() {
    let (uri, heard, _task) = server("HTTP/1.1 204 No Content\r\n\r\n", true).await;
    assert_eq!(get(&client(&uri, ""), &uri).await.unwrap().status(), 204);
    assert!(heard.await.unwrap().starts_with("GET /bucket/a//b/../c HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_time_out() {
    let (uri, _heard, _task) = server("", true).await;
    assert_eq!(get(&client(&uri, ""), &uri).await.unwrap_err().kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn a_body_that_stops_is_a_time_out_and_one_that_ends_early_is_broken() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";
    for (keep, kind) in [(true, ErrorKind::Timeout), (false, ErrorKind::Broken)] {
        let (uri, _heard, _task) = server(answer, keep).await;
        let http = client(&uri, "");
        let body = get(&http, &uri).await.unwrap().into_body();
        let fail = |failure: Failure| Error::new(failure.kind, crate::Op::Get, failure.text);
        let chunks: Vec<_> = http.stream(body, Meter::unlimited().arriving(0).await, fail).collect().await;
        assert_eq!(chunks[0].as_ref().unwrap(), "12345");
        assert_eq!(chunks[1].as_ref().unwrap_err().kind(), kind);
        assert_eq!(chunks.len(), 2);
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert_eq!(get(&client(&uri, ""), &uri).await.unwrap_err().kind, ErrorKind::Unreachable);
}

#[tokio::test]
async fn what_must_be_small_is_cut_off() {
    let (uri, _heard, _task) = server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", true).await;
    let http = client(&uri, "");
    let body = get(&http, &uri).await.unwrap().into_body();
    assert_eq!(http.collect(body, 9).await.unwrap_err().kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_proxy_gets_whole_urls_and_its_password() {
    let (proxy, heard, _task) = server("HTTP/1.1 204 No Content\r\n\r\n", true).await;
    let target = Uri::from_static("http://bucket.example.com/a//b");
    let proxy = format!("http://user:pass@{}", proxy.authority().unwrap());
    get(&client(&target, &proxy), &target).await.unwrap();
    let head = heard.await.unwrap();
    assert!(head.starts_with("GET http://bucket.example.com/a//b HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"), "{head}");
}

#[tokio::test]
async fn tls_goes_through_a_proxys_tunnel_and_a_refusal_is_named() {
    let (proxy, heard, _task) = server("HTTP/1.1 407 No\r\n\r\n", false).await;
    let target = Uri::from_static("https://bucket.example.com/a");
    let proxy = format!("http://user:pass@{}", proxy.authority().unwrap());
    let failure = get(&client(&target, &proxy), &target).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Unreachable);
    assert!(failure.text.contains("proxy authorization required"), "{}", failure.text);
    assert!(!failure.text.contains("pass"), "{}", failure.text);
    assert!(heard.await.unwrap().starts_with("CONNECT bucket.example.com:443 HTTP/1.1\r\n"));
}
