//! What an action writes, as it comes: the first megabyte is kept and can be followed by the link from any offset; the
//! rest is counted and dropped, so a program that prints without end fills no memory.

use std::sync::Mutex;

use tokio::sync::watch;

/// Most bytes kept of one order's output.
pub const MAX_KEPT: usize = 1024 * 1024;
/// Most bytes of one piece for the link.
pub const MAX_CHUNK: usize = 256 * 1024;

/// The output of one order.
#[derive(Debug)]
pub struct Output {
    inner: Mutex<Inner>,
    /// Bytes written in all and whether it is over.
    progress: watch::Sender<(u64, bool)>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Vec<u8>,
    written: u64,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of its first byte in the whole output.
    pub offset: u64,
    /// The bytes; may be empty when `last`.
    pub data: Vec<u8>,
    /// Nothing follows.
    pub last: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner::default()),
            progress: watch::Sender::new((0, false)),
        }
    }
}

impl Output {
    /// Takes some bytes, in order.
    pub fn write(&self, bytes: &[u8]) {
        let written = {
            let mut inner = crate::lock(&self.inner);
            let room = MAX_KEPT.saturating_sub(inner.kept.len());
            if let Some(head) = bytes.get(..bytes.len().min(room)) {
                inner.kept.extend_from_slice(head);
            }
            inner.written = inner.written.saturating_add(bytes.len() as u64);
            inner.written
        };
        self.progress.send_modify(|progress| progress.0 = written);
    }

    /// Takes a line.
    pub fn line(&self, text: &str) {
        self.write(text.as_bytes());
        self.write(b"\n");
    }

    /// Nothing follows.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.1 = true);
    }

    /// For the signed result.
    pub fn summary(&self) -> chasqui_trust::result::Output {
        let inner = crate::lock(&self.inner);
        chasqui_trust::result::Output::of(&inner.kept, inner.written > inner.kept.len() as u64)
    }

    /// What is kept so far.
    pub fn kept(&self) -> Vec<u8> {
        crate::lock(&self.inner).kept.clone()
    }

    /// Bytes written, kept or not.
    pub fn written(&self) -> u64 {
        crate::lock(&self.inner).written
    }

    /// The next piece from `offset` on; waits for it. After the one with `last` there is none.
    pub async fn next(&self, offset: u64) -> Chunk {
        let mut progress = self.progress.subscribe();
        loop {
            let over = progress.borrow_and_update().1;
            let (data, at_end) = {
                let inner = crate::lock(&self.inner);
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(inner.kept.len());
                let to = from.saturating_add(MAX_CHUNK).min(inner.kept.len());
                let data = inner.kept.get(from..to).unwrap_or_default().to_vec();
                (data, to == inner.kept.len())
            };
            let last = over && at_end;
            if last || !data.is_empty() {
                return Chunk { offset, data, last };
            }
            if progress.changed().await.is_err() {
                return Chunk {
                    offset,
                    data: Vec::new(),
                    last: true,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_comes_in_order_and_is_bounded() {
        let output = Output::default();
        let block = vec![b'x'; 300_000];
        for _ in 0..10 {
            output.write(&block);
        }
        output.close();
        let mut offset = 0;
        let mut chunks = 0;
        loop {
            let chunk = output.next(offset).await;
            assert_eq!(chunk.offset, offset);
            assert!(chunk.data.len() <= MAX_CHUNK);
            offset += chunk.data.len() as u64;
            chunks += 1;
            if chunk.last {
                break;
            }
        }
        assert_eq!(offset, MAX_KEPT as u64);
        assert_eq!(chunks, 4);
        let summary = output.summary();
        assert!(summary.truncated);
        assert_eq!(summary.bytes, MAX_KEPT as u64);
        assert_eq!(output.written(), 3_000_000);
    }
}
