//! A browser without TLS.

use crate::server::TestServer;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use tokio::net::TcpStream;

/// A call over HTTP/1, as a browser without TLS makes it. Of a page of events, which has no end, the body is left.
pub async fn http(server: &TestServer, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let address = server.url().replace("http://", "");
    let stream = TcpStream::connect(&address).await.expect("a server that listens");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("a connection");
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    let (parts, body) = answer.into_parts();
    if parts.headers.get("content-type").is_some_and(|of| of == "text/event-stream") {
        connection.abort();
        return Response::from_parts(parts, Bytes::new());
    }
    let body = body.collect().await.expect("a whole answer").to_bytes();
    drop(sender);
    connection.await.expect("a connection").expect("an end without fault");
    Response::from_parts(parts, body)
}
