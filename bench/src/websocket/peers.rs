//! What people use today, each in its plain documented way, and where it offers that, batched:
//! answers are given to it until nothing more is at hand, and then sent together.

use std::future::Future;
use std::io;

use fastwebsockets::{FragmentCollector, OpCode, Role as FastRole};
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;

use super::{BUFFER, Server};
use crate::echo::{Job, Wait};
use crate::harness::Role;

pub(super) fn servers() -> Vec<Server> {
    let peer = |name, serve| Server { name, role: Role::Peer, serve };
    vec![
        peer("tungstenite", |job| serve(job, |stream| plain(tungstenite(stream)))),
        peer("tungstenite-batched", |job| serve(job, |stream| batched(tungstenite(stream)))),
        peer("fastwebsockets", |job| serve(job, fast)),
        peer("tokio-websockets", |job| serve(job, |stream| plain(tokio_websockets(stream)))),
        peer("tokio-websockets-batched", |job| {
            serve(job, |stream| batched(tokio_websockets(stream)))
        }),
        peer("sockudo", |job| serve(job, |stream| plain(sockudo(stream)))),
        peer("sockudo-batched", |job| serve(job, |stream| batched(sockudo(stream)))),
        peer("yawc", |job| {
            serve(job, |stream| plain(yawc(stream).map(Ok::<_, yawc::WebSocketError>)))
        }),
        peer("yawc-batched", |job| {
            serve(job, |stream| batched(yawc(stream).map(Ok::<_, yawc::WebSocketError>)))
        }),
    ]
}

/// A task for each connection on tokio's own loop, which a task that always yields keeps awake.
fn serve<F>(job: Job, echo: impl Fn(TcpStream) -> F) -> io::Result<u64>
where
    F: Future<Output = u64> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        if job.wait == Wait::Spin {
            tokio::task::spawn_local(async move {
                while !job.stop.load(std::sync::atomic::Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            });
        }
        let spawn = |stream| Ok(tokio::task::spawn_local(echo(TcpStream::from_std(stream)?)));
        let tasks: Vec<_> = job.connections.into_iter().map(spawn).collect::<io::Result<_>>()?;
        let mut messages = 0;
        for task in tasks {
            messages += task.await?;
        }
        Ok(messages)
    })
}

/// What of a message is to be sent back, if anything.
trait Echoes: Sized {
    fn echo(self) -> Option<Self>;
}

/// Each message is sent before the next is read.
async fn plain<S, M, E>(mut socket: S) -> u64
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Echoes,
{
    let mut messages = 0;
    while let Some(Ok(message)) = socket.next().await {
        let Some(message) = message.echo() else { continue };
        if socket.send(message).await.is_err() {
            break;
        }
        messages += 1;
    }
    messages
}

/// What is at hand is answered together.
async fn batched<S, M, E>(mut socket: S) -> u64
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Echoes,
{
    let mut messages = 0;
    while let Some(Ok(message)) = socket.next().await {
        let mut next = Some(message);
        while let Some(message) = next.take() {
            if let Some(message) = message.echo() {
                if socket.feed(message).await.is_err() {
                    return messages;
                }
                messages += 1;
            }
            if let Some(Some(Ok(message))) = socket.next().now_or_never() {
                next = Some(message);
            }
        }
        if socket.flush().await.is_err() {
            break;
        }
    }
    messages
}

type Tungstenite = tokio_tungstenite::WebSocketStream<TcpStream>;

/// `from_raw_socket` is async, but has nothing to wait for.
fn tungstenite(stream: TcpStream) -> Tungstenite {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
    let config = WebSocketConfig::default().read_buffer_size(BUFFER);
    let made = Tungstenite::from_raw_socket(stream, Role::Server, Some(config));
    made.now_or_never().expect("there is nothing to wait for")
}

impl Echoes for tokio_tungstenite::tungstenite::Message {
    fn echo(self) -> Option<Self> {
        self.is_binary().then_some(self)
    }
}

fn tokio_websockets(stream: TcpStream) -> tokio_websockets::WebSocketStream<TcpStream> {
    tokio_websockets::ServerBuilder::new().serve(stream)
}

impl Echoes for tokio_websockets::Message {
    fn echo(self) -> Option<Self> {
        self.is_binary().then_some(self)
    }
}

fn sockudo(stream: TcpStream) -> sockudo_ws::WebSocketStream<TcpStream> {
    sockudo_ws::WebSocketStream::server(stream, sockudo_ws::Config::default())
}

impl Echoes for sockudo_ws::Message {
    fn echo(self) -> Option<Self> {
        matches!(self, Self::Binary(_)).then_some(self)
    }
}

fn yawc(stream: TcpStream) -> yawc::WebSocket<TcpStream> {
    yawc::WebSocket::from_stream(stream, yawc::Role::Server, yawc::Options::default())
        .expect("the default options fit together")
}

impl Echoes for yawc::Frame {
    fn echo(self) -> Option<Self> {
        (self.opcode() == yawc::OpCode::Binary).then_some(self)
    }
}

async fn fast(stream: TcpStream) -> u64 {
    let mut socket = fastwebsockets::WebSocket::after_handshake(stream, FastRole::Server);
    socket.set_writev(true);
    let mut socket = FragmentCollector::new(socket);
    let mut messages = 0;
    while let Ok(frame) = socket.read_frame().await {
        if frame.opcode == OpCode::Close {
            break;
        }
        if frame.opcode == OpCode::Binary {
            if socket.write_frame(frame).await.is_err() {
                break;
            }
            messages += 1;
        }
    }
    messages
}
