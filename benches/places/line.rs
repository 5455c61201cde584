//! A line of so many bytes per second and so long a way, in front of servers of this machine.
//!
//! All connections share the rate, each direction has it for itself, and what has left arrives half
//! a round trip later. A connection costs a round trip before its first byte. Whoever sends waits
//! while more than [`QUEUE`] stands before the line, as in a router with a short queue. What is
//! left out makes a real line worse: windows of TCP that have to grow, and bytes that are lost.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// How much may stand before the line, in time.
const QUEUE: Duration = Duration::from_millis(20);
/// What is taken from a connection at once: less than a millisecond of the usual line.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces of one connection that are on their way.
const PIECES_MAX: usize = 4096;

/// The line, up while it lives.
pub struct Line {
    near: Vec<SocketAddr>,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    rate: f64,
    /// From one end to the other.
    way: Duration,
    up: Direction,
    down: Direction,
}

struct Direction {
    /// When all that was handed over so far has left.
    free_at: Mutex<Instant>,
    bytes: AtomicU64,
}

impl Line {
    /// Lays a line to each of the servers; they share it.
    pub fn start(far: &[SocketAddr], bytes_per_second: u64, round_trip: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let shared = Arc::new(Shared {
            rate: bytes_per_second as f64,
            way: round_trip / 2,
            up: Direction::new(),
            down: Direction::new(),
        });
        let near = far.iter().map(|far| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            let listener = listener.expect("loopback has free ports");
            let near = listener.local_addr().expect("it was just bound");
            drop(runtime.spawn(accept(listener, *far, Arc::clone(&shared))));
            near
        });
        Self { near: near.collect(), shared, _runtime: runtime }
    }

    /// Where the server of this number is reached by the line.
    pub fn near(&self, number: usize) -> SocketAddr {
        self.near[number]
    }

    /// What went up and what came down since the last time.
    pub fn take_bytes(&self) -> (u64, u64) {
        let take = |direction: &Direction| direction.bytes.swap(0, Ordering::Relaxed);
        (take(&self.shared.up), take(&self.shared.down))
    }
}

impl Direction {
    fn new() -> Self {
        Self { free_at: Mutex::new(Instant::now()), bytes: AtomicU64::new(0) }
    }

    /// Hands bytes over; returns when they will have left.
    fn book(&self, bytes: usize, rate: f64) -> Instant {
        let _ = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = Instant::now().max(*free_at) + Duration::from_secs_f64(bytes as f64 / rate);
        *free_at
    }
}

async fn accept(listener: TcpListener, far: SocketAddr, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        drop(tokio::spawn(connect(near, far, Arc::clone(&shared))));
    }
}

async fn connect(near: TcpStream, far: SocketAddr, shared: Arc<Shared>) {
    // There and back, before anything can be said.
    sleep(shared.way * 2).await;
    let Ok(far) = TcpStream::connect(far).await else { return };
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = carry((near_in, far_out), &shared, &shared.up);
    let down = carry((far_in, near_out), &shared, &shared.down);
    let _ended = join(up, down).await;
}

/// Carries one direction of a connection to its end.
fn carry<'a>(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    shared: &'a Shared,
    direction: &'a Direction,
) -> impl Future<Output = ((), ())> + 'a {
    let (send, mut arriving) = mpsc::channel(PIECES_MAX);
    let leave = async move {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut piece).await {
            let gone = direction.book(bytes, shared.rate);
            if send.send((gone + shared.way, piece[..bytes].to_vec())).await.is_err() {
                break;
            }
            sleep_until(gone - QUEUE).await;
        }
    };
    let arrive = async move {
        while let Some((at, piece)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        // The other end has gone, or goes now.
        let _ = to.shutdown().await;
    };
    join(leave, arrive)
}
