//! `bench disk`: how fast bytes go through a TCP connection on this machine, and how fast a file's
//! bytes do, by each way there is: what a broker does for a fetch.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use bytes::Bytes;

use super::{Bench, Rounds, files, map, rate, timed};

const MIB: usize = 1 << 20;
/// Bytes that the receiver reads at once.
const RECEIVE_BYTES: usize = 256 << 10;

/// Where the sender gets the bytes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The same buffer again and again: the limit.
    Memory,
    /// From a mapped file through a buffer.
    Copied,
    /// From the file through a buffer.
    Read,
    /// From a mapped file.
    Mapped,
    /// From the file by `sendfile(2)`; on Linux only.
    Sendfile,
}

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let path = bench.path().join("sent");
    let written = std::cell::Cell::new(false);
    for (size, words) in [(64 << 10, "64 KiB"), (MIB, "1 MiB")] {
        let limit = format!("loopback TCP, {words}");
        let ways = [
            (Way::Copied, format!("{limit}, mapped file, copied first")),
            (Way::Read, format!("{limit}, file, read")),
            (Way::Mapped, format!("{limit}, mapped file")),
            (Way::Sendfile, format!("{limit}, sendfile")),
        ];
        let ways: Vec<_> = (ways.into_iter())
            .filter(|(way, _)| !matches!(way, Way::Sendfile) || cfg!(target_os = "linux"))
            .filter(|(_, name)| bench.wants(name))
            .collect();
        if ways.is_empty() {
            continue;
        }
        bench.say(&limit);
        if !written.replace(true) {
            files::write_blocks(&path, &vec![7; MIB], bench.bytes(), |_| {})?;
        }
        let map = map::map(&path)?;
        let mut rounds = vec![Rounds::default(); ways.len()];
        for _ in 0..bench.options.rounds {
            let limit = transfer(Way::Memory, size, &path, &map)?;
            for ((way, _), rounds) in ways.iter().zip(&mut rounds) {
                rounds.limit.push(limit);
                rounds.ours.push(transfer(*way, size, &path, &map)?);
            }
        }
        for ((_, name), rounds) in ways.iter().zip(&rounds) {
            bench.beside(name, "MiB/s", rounds, &limit, None);
        }
    }
    if written.get() {
        files::remove(&path)?;
    }
    Ok(())
}

/// Sends as many bytes as the file has; returns mebibytes per second.
fn transfer(way: Way, size: usize, path: &Path, map: &Bytes) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    sender.set_nodelay(true)?;
    let (mut receiver, _) = listener.accept()?;
    let (file, map) = (File::open(path)?, map.clone());
    let sending = thread::spawn(move || send(way, size, &file, &map, sender));
    let mut buffer = vec![0; RECEIVE_BYTES];
    let (received, took) = timed(|| {
        let mut received = 0;
        loop {
            match receiver.read(&mut buffer)? {
                0 => return Ok(received),
                count => received += count as u64,
            }
        }
    })?;
    sending.join().expect("the sender does not panic")?;
    Ok(rate(received, took))
}

fn send(
    way: Way,
    size: usize,
    file: &File,
    map: &Bytes,
    mut sender: TcpStream,
) -> std::io::Result<()> {
    let mut buffer = vec![7; size];
    for (index, block) in map.chunks(size).enumerate() {
        match way {
            Way::Memory => sender.write_all(&buffer[..block.len()])?,
            Way::Copied => {
                buffer.clear();
                buffer.extend_from_slice(block);
                sender.write_all(&buffer)?;
            }
            Way::Read => {
                let buffer = &mut buffer[..block.len()];
                (&*file).read_exact(buffer)?;
                sender.write_all(buffer)?;
            }
            Way::Mapped => sender.write_all(block)?,
            Way::Sendfile => sendfile(&sender, file, (index * size) as u64, block.len())?,
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn sendfile(to: &TcpStream, from: &File, mut at: u64, mut size: usize) -> std::io::Result<()> {
    while size > 0 {
        match rustix::fs::sendfile(to, from, Some(&mut at), size)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            sent => size -= sent,
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: &TcpStream, _: &File, _: u64, _: usize) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
