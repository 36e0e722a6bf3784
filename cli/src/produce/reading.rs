//! The thread that reads the input and cuts it into lines.

use std::io::{ErrorKind, Read};

use anyhow::{Context, bail};
use tokio::sync::mpsc;

use crate::files::Input;
use crate::split::{Line, Splitter};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Chunks that may wait between reader and producer.
const CHUNKS_MAX: usize = 4;

/// The result of one read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) lines: Vec<Line>,
    pub(super) bytes_read: u64,
}

/// Starts the thread that reads.
pub(super) fn start_reading(
    input: Input,
    splitter: Splitter,
) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Chunk>>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            if let Err(error) = read_all(input.reader, splitter, &chunks) {
                // Without a receiver the verb has ended, and nobody wants the error.
                drop(chunks.blocking_send(Err(error)));
            }
        })
        .context("cannot start the thread that reads the input")?;
    Ok(receiver)
}

fn read_all(
    mut reader: impl Read,
    mut splitter: Splitter,
    chunks: &mpsc::Sender<anyhow::Result<Chunk>>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => bail!("cannot read the input: {e}"),
        };
        splitter.push(&buffer[..count]);
        let chunk = Chunk {
            lines: std::iter::from_fn(|| splitter.next()).collect(),
            bytes_read: count as u64,
        };
        if chunks.blocking_send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
    let last = Chunk {
        lines: Vec::from_iter(splitter.finish()),
        bytes_read: 0,
    };
    drop(chunks.blocking_send(Ok(last)));
    Ok(())
}
