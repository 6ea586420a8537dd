//! What a hostile network does to a server: connections that are made to cost it something. Each function is the life
//! of one connection, until the server ends it, and answers how much of it the server stood.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

/// How much goes over the line of somebody who floods, in bytes per second: 10 Mbit/s. More would show how fast this
/// machine can flood itself.
const LINE_BYTES_PER_SECOND: f64 = 1_250_000.0;
/// How much is under way on such a line towards whoever does not read it: what comes in 50 ms.
const LINE_BYTES: u32 = 64 * 1024;
/// How many frames go out together.
const PIECE: usize = 50;
/// How a connection over HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection from an address of this machine's own, such as 127.0.0.2, over a line that holds little.
///
/// # Errors
/// When the server does not take it.
pub async fn connect_from(source: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(LINE_BYTES)?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(to).await
}

/// Waits until the server closes a connection.
///
/// # Panics
/// If it does not within 30 seconds.
pub async fn closed(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    let reading = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("the server closes the connection");
}

/// Opens calls and takes them back at once.
///
/// # Errors
/// Never: an error of the connection is its end.
pub async fn rapid_reset(stream: TcpStream, most: usize) -> usize {
    let call = |stream: u32| [frame(HEADERS, END_HEADERS, stream, &call_headers()), reset(stream)].concat();
    flood(stream, most, call).await
}

/// Opens calls whose headers no server can take.
pub async fn malformed_calls(stream: TcpStream, most: usize) -> usize {
    // A name in capitals: the stream is in error, the connection is not.
    let headers = [&[0x83, 0x86, 0x84][..], &literal("Bad", "x")].concat();
    flood(stream, most, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers)).await
}

/// Asks for signs of life, again and again.
pub async fn pings(stream: TcpStream, most: usize) -> usize {
    flood(stream, most, |_| frame(PING, 0, 0, &[7; 8])).await
}

/// Changes its mind about how to talk, again and again.
pub async fn settings(stream: TcpStream, most: usize) -> usize {
    flood(stream, most, |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])).await
}

/// Headers that never end.
pub async fn endless_headers(stream: TcpStream, most: usize) -> usize {
    let more = literal("x-more", &"m".repeat(4_000));
    flood(stream, most, |stream| match stream {
        1 => frame(HEADERS, 0, 1, &call_headers()),
        _ => frame(CONTINUATION, 0, 1, &more),
    })
    .await
}

/// Data of no length, of which a call could have very much.
pub async fn empty_data(stream: TcpStream, most: usize) -> usize {
    flood(stream, most, |stream| match stream {
        1 => frame(HEADERS, END_HEADERS, 1, &call_headers()),
        _ => frame(DATA, 0, 1, &[]),
    })
    .await
}

/// A call of which nothing more comes, from somebody who answers nothing.
///
/// # Errors
/// When the server does not take it.
pub async fn dead_call(mut stream: TcpStream) -> io::Result<TcpStream> {
    let call = frame(HEADERS, END_HEADERS, 1, &call_headers());
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &call].concat()).await?;
    Ok(stream)
}

/// What the server says first, of how to talk to it over HTTP/2: values by their numbers in RFC 9113.
///
/// # Errors
/// When it says nothing, or something else.
pub async fn settings_of(mut stream: TcpStream) -> io::Result<HashMap<u16, u32>> {
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    let mut header = [0; 9];
    stream.read_exact(&mut header).await?;
    if header[3] != SETTINGS {
        return Err(io::Error::other(format!("a frame of type {}", header[3])));
    }
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    stream.read_exact(&mut payload).await?;
    let value =
        |it: &[u8]| (u16::from_be_bytes([it[0], it[1]]), u32::from_be_bytes([it[2], it[3], it[4], it[5]]));
    Ok(payload.chunks_exact(6).map(value).collect())
}

/// Sends what `frames` makes for each number of a stream, 1, 3, 5, ..., and reads what comes back. Answers how many the
/// server took before it had enough, `most` if it never had.
async fn flood(stream: TcpStream, most: usize, frames: impl Fn(u32) -> Vec<u8>) -> usize {
    let (mut reading, mut writing) = stream.into_split();
    let (enough, mut told) = tokio::sync::watch::channel(false);
    let reader = tokio::spawn(async move {
        let mut header = [0; 9];
        while reading.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            if reading.read_exact(&mut payload).await.is_err() || header[3] == GO_AWAY {
                break;
            }
        }
        let _ = enough.send(true); // the writer may be done
    });
    let mut sent = 0;
    let start = Instant::now();
    let mut bytes = 0.0;
    let write = async {
        writing.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        while sent < most {
            let some = PIECE.min(most - sent);
            let piece: Vec<u8> = (sent..sent + some).flat_map(|at| frames(2 * at as u32 + 1)).collect();
            writing.write_all(&piece).await?;
            sent += some;
            bytes += piece.len() as f64;
            sleep_until(start + Duration::from_secs_f64(bytes / LINE_BYTES_PER_SECOND)).await;
        }
        // All were taken only if a last sign of life is answered; the reader goes on until then.
        writing.shutdown().await
    };
    tokio::select! {
        _ = told.wait_for(|enough| *enough) => {}
        _ = write => {}
    }
    let _ = reader.await; // the connection is over
    sleep_until(start + Duration::from_secs_f64(bytes / LINE_BYTES_PER_SECOND)).await; // the line is not free before
    sent
}

/// Headers over HTTP/1 that come byte by byte, `pause` apart. Ends when the server closes the connection.
pub async fn trickle(mut stream: TcpStream, pause: Duration) {
    let start = b"POST / HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
    if stream.write_all(start).await.is_err() {
        return;
    }
    let (mut reading, mut writing) = stream.into_split();
    let mut beat = tokio::time::interval(pause);
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            _ = beat.tick() => if writing.write_all(b"s").await.is_err() { return },
            read = reading.read(&mut answer) => if !read.is_ok_and(|read| read > 0) { return },
        }
    }
}

/// Asks for a page over HTTP/1 again and again, and reads nothing. Ends when the server closes the connection.
pub async fn never_read(mut stream: TcpStream, path: &str) {
    let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(100);
    while stream.write_all(ask.as_bytes()).await.is_ok() {}
}

/// The same call over HTTP/1 again and again, with a body that is gRPC's, packed in `encoding`. Ends when the server
/// closes the connection.
pub async fn calls(stream: TcpStream, path: &str, headers: &str, encoding: &str, body: &[u8]) {
    let (mut reading, mut writing) = stream.into_split();
    let head = call_head(path, &format!("grpc-encoding: {encoding}\r\n{headers}"), body.len());
    let call = [head.as_bytes(), body].concat();
    let mut answer = [0; 16 * 1024];
    let mut beat = tokio::time::interval(Duration::from_secs_f64(call.len() as f64 / LINE_BYTES_PER_SECOND));
    let write = async {
        loop {
            beat.tick().await;
            if writing.write_all(&call).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = async { while reading.read(&mut answer).await.is_ok_and(|read| read > 0) {} } => {}
    }
}

/// A call over HTTP/1 of which only so much comes; the connection stays open.
///
/// # Errors
/// When the server does not take it.
pub async fn half_a_call(
    mut stream: TcpStream,
    path: &str,
    headers: &str,
    length: usize,
    comes: usize,
) -> io::Result<TcpStream> {
    stream.write_all(call_head(path, headers, length).as_bytes()).await?;
    let message = u32::try_from(length - 5).map_err(io::Error::other)?.to_be_bytes();
    let body = [&[0][..], &message, &vec![0; comes.saturating_sub(5)]].concat();
    stream.write_all(&body).await?;
    Ok(stream)
}

/// Sends so many bytes as fast as the line of somebody who floods takes them.
///
/// # Errors
/// When the server takes no more.
pub async fn flow(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let piece = [0; LINE_BYTES as usize];
    let mut beat =
        tokio::time::interval(Duration::from_secs_f64(f64::from(LINE_BYTES) / LINE_BYTES_PER_SECOND));
    for sent in (0..bytes).step_by(piece.len()) {
        beat.tick().await;
        stream.write_all(&piece[..piece.len().min(bytes - sent)]).await?;
    }
    Ok(())
}

fn call_head(path: &str, headers: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\n\
         content-length: {length}\r\n{headers}\r\n"
    )
}

/// What the server answers over HTTP/1, up to where it says nothing more for now.
///
/// # Panics
/// If nothing comes within 30 seconds.
pub async fn answered(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 64 * 1024];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer)).await;
    let read = read.expect("an answer").unwrap_or_default();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

/// A call of `Sync` as HPACK has it, without any table.
fn call_headers() -> Vec<u8> {
    let path = "/rounds.v1.SyncService/Sync";
    let mut headers = vec![0x83, 0x86, 0x04, path.len() as u8]; // POST, http, :path
    headers.extend(path.as_bytes());
    headers.extend(literal("content-type", "application/grpc"));
    headers
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut written = vec![0];
    for text in [name, value] {
        match text.len() {
            short @ ..127 => written.push(short as u8),
            long => {
                written.push(127);
                let mut left = long - 127;
                while left >= 128 {
                    written.push((left % 128 + 128) as u8);
                    left /= 128;
                }
                written.push(left as u8);
            }
        }
        written.extend(text.as_bytes());
    }
    written
}
