//! Package headers as rpm keeps them in every form of its database: two counts, index entries of 16 bytes, and the store they
//! point into; numbers are big-endian. What a header claims of lengths and places is checked against its bytes.

use chasqui_proto::v1;

use super::super::super::super::bounds;

/// Largest header that is read, in bytes; rpm itself refuses larger ones than four times this.
pub const MAX_BYTES: usize = 64 << 20;

/// Tags of a header, from rpm's rpmtag.h.
mod tag {
    pub const NAME: u32 = 1_000;
    pub const VERSION: u32 = 1_001;
    pub const RELEASE: u32 = 1_002;
    pub const EPOCH: u32 = 1_003;
    pub const INSTALL_TIME: u32 = 1_008;
    pub const SIZE: u32 = 1_009;
    pub const VENDOR: u32 = 1_011;
    pub const PACKAGER: u32 = 1_015;
    pub const GROUP: u32 = 1_016;
    pub const ARCH: u32 = 1_022;
    pub const LONG_SIZE: u32 = 5_009;
}

/// The package of a header; `None` when the bytes are no header with a name and a version.
pub fn package(blob: &[u8]) -> Option<v1::Software> {
    Header::parse(blob)?.item()
}

struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(be32(blob, 0)?).ok()?;
        let length = usize::try_from(be32(blob, 4)?).ok()?;
        let index_end = entries.checked_mul(16)?.checked_add(8)?;
        Some(Self {
            index: blob.get(8..index_end)?,
            store: blob.get(index_end..index_end.checked_add(length)?)?,
        })
    }

    fn item(&self) -> Option<v1::Software> {
        let mut version = self.text(tag::VERSION)?;
        if let Some(release) = self.text(tag::RELEASE) {
            version = format!("{version}-{release}");
        }
        if let Some(epoch) = self.number(tag::EPOCH).filter(|epoch| *epoch != 0) {
            version = format!("{epoch}:{version}");
        }
        let mut item = super::super::item("rpm", &self.text(tag::NAME)?, &version)?;
        item.architecture = self.text(tag::ARCH);
        item.publisher = self.text(tag::VENDOR).or_else(|| self.text(tag::PACKAGER));
        // What rpm fills in where the maker named no group.
        item.category = self.text(tag::GROUP).filter(|group| group != "Unspecified");
        item.size_bytes = self
            .number(tag::LONG_SIZE)
            .or_else(|| self.number(tag::SIZE));
        item.installed_at_ms = self
            .number(tag::INSTALL_TIME)
            .and_then(|seconds| i64::try_from(seconds).ok())
            .and_then(|seconds| seconds.checked_mul(1_000));
        Some(item)
    }

    /// Type and place of a tag's first value.
    fn find(&self, tag: u32) -> Option<(u32, usize)> {
        self.index
            .chunks_exact(16)
            .find(|entry| be32(entry, 0) == Some(tag))
            .and_then(|entry| Some((be32(entry, 4)?, usize::try_from(be32(entry, 8)?).ok()?)))
    }

    fn text(&self, tag: u32) -> Option<String> {
        // 6: a string; 9: strings in several languages, the first of which is plain.
        let (6 | 9, at) = self.find(tag)? else {
            return None;
        };
        let text = self.store.get(at..)?.split(|byte| *byte == 0).next()?;
        bounds::some_text(&String::from_utf8_lossy(text))
    }

    fn number(&self, tag: u32) -> Option<u64> {
        match self.find(tag)? {
            (4, at) => be32(self.store, at).map(u64::from),
            (5, at) => {
                let bytes = self.store.get(at..at.checked_add(8)?)?;
                bytes.try_into().ok().map(u64::from_be_bytes)
            }
            _ => None,
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}
