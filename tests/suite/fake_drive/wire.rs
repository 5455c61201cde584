//! As much of HTTP/1.1 as clients of Drive speak, on threads, and with every way to break it off.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A request, as far as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection was cut inside the body.
    pub is_cut: bool,
}

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What the client gets to see of it.
#[derive(Debug)]
pub enum Answer {
    Reply(Reply),
    /// The connection ends without a word.
    Close,
    /// The head promises more than comes.
    Truncated(Reply),
    /// A byte now and then, until the client has had enough.
    Trickle(Reply),
    /// Nothing, until the client has had enough.
    Silence,
}

/// Who answers.
pub trait Site: Send + Sync + 'static {
    /// How much of the body is read before the connection is cut; usually all of it.
    fn body_bytes_max(&self, head: &Request) -> Option<usize>;
    fn answer(&self, request: Request) -> Answer;
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::status(status)
            .header("Content-Type", "application/json; charset=UTF-8")
            .body(body.to_string().into_bytes())
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

/// A server that ends with its value.
pub struct Server {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(site: Arc<dyn Site>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let _accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (site, stopped) = (Arc::clone(&site), Arc::clone(&stopped));
                if let Ok(stream) = stream {
                    let _conversing = thread::spawn(move || {
                        let _ = converse(stream, &*site, &stopped);
                    });
                }
            }
        });
        Self { port, stop }
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _wake = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn converse(stream: TcpStream, site: &dyn Site, stop: &AtomicBool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(mut request) = read_head(&mut reader)? {
        read_body(&mut reader, &mut request, site)?;
        let is_cut = request.is_cut;
        let answer = site.answer(request);
        if is_cut {
            return writer.shutdown(std::net::Shutdown::Both);
        }
        match answer {
            Answer::Reply(reply) => write_reply(&mut writer, &reply, reply.body.len())?,
            Answer::Close => return writer.shutdown(std::net::Shutdown::Both),
            Answer::Truncated(mut reply) => {
                let promised = reply.body.len() + 1;
                reply.body.truncate(promised / 2);
                write_reply(&mut writer, &reply, promised)?;
                return writer.shutdown(std::net::Shutdown::Both);
            }
            Answer::Trickle(reply) => {
                write_reply(&mut writer, &Reply { body: Vec::new(), ..reply }, 1 << 20)?;
                return linger(&mut writer, b" ", stop);
            }
            Answer::Silence => return linger(&mut writer, b"", stop),
        }
    }
    Ok(())
}

/// Holds the connection until the client closes it.
fn linger(stream: &mut TcpStream, crumbs: &[u8], stop: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(crumbs)?;
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    // An absolute address, as a proxy would be sent.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = form(query);
    let mut request = Request { method, path: decode(path), query, ..Request::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(request))
}

fn read_body(reader: &mut impl BufRead, request: &mut Request, site: &dyn Site) -> io::Result<()> {
    if request.header("transfer-encoding") == Some("chunked") {
        return read_chunks(reader, request);
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.unwrap_or(0);
    let wanted = site.body_bytes_max(request).filter(|max| *max < length);
    request.is_cut = wanted.is_some();
    request.body = vec![0; wanted.unwrap_or(length)];
    let mut filled = 0;
    while filled < request.body.len() {
        match reader.read(&mut request.body[filled..]) {
            Ok(0) | Err(_) => {
                request.is_cut = true;
                request.body.truncate(filled);
            }
            Ok(read) => filled += read,
        }
    }
    Ok(())
}

fn read_chunks(reader: &mut impl BufRead, request: &mut Request) -> io::Result<()> {
    loop {
        let mut line = String::new();
        let _ = reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim().split(';').next().unwrap_or(""), 16)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk)?;
        request.body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Ok(());
        }
    }
}

fn write_reply(writer: &mut impl Write, reply: &Reply, promised: usize) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Fake\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        head.push_str(&format!("Content-Length: {promised}\r\n"));
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes())?;
    writer.write_all(&reply.body)?;
    writer.flush()
}

/// Reads the fields of a form or of a query.
pub fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
