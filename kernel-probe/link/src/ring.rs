//! The reader's end of a ring buffer (`BPF_MAP_TYPE_RINGBUF`).
//!
//! Of the data only a window is mapped, which moves: the kernel counts every page that is mapped as
//! this process's memory, read or not, and mapping the ring whole, as aya does, maps it twice.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
    sync::atomic::{Ordering, fence},
};

use crate::{
    call::{bpf, number},
    mapping::{Access, Mapping, page_size},
};

/// `BPF_OBJ_GET_INFO_BY_FD` of linux/bpf.h.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// `BPF_MAP_TYPE_RINGBUF`.
const RINGBUF: u32 = 27;

/// What stands before each record (`BPF_RINGBUF_HDR_SZ`): its length with two flags, and a number of
/// the kernel's.
const HEADER_BYTES: usize = 8;

/// `BPF_RINGBUF_BUSY_BIT`: the record is being written.
const BUSY: u32 = 1 << 31;

/// `BPF_RINGBUF_DISCARD_BIT`: the record is none.
const DISCARDED: u32 = 1 << 30;

/// What is mapped of the data, bytes; more for a longer record.
const WINDOW_BYTES: usize = 256 << 10;

/// A ring buffer, read by nobody else.
pub struct Ring {
    map: OwnedFd,
    page: usize,
    /// Bytes of data; a power of two.
    bytes: usize,
    /// How far was read, and how far had been written when that was last looked at: counted in
    /// bytes since the ring was made.
    read: usize,
    written: usize,
    /// The page where it is noted how far was read, and that where the kernel notes how far it wrote.
    reader: Mapping,
    writers: Mapping,
    window: Option<Window>,
}

/// A part of the data.
struct Window {
    /// Where in the data it begins.
    start: usize,
    mapping: Mapping,
}

/// What comes next in the ring.
enum Next {
    /// Nothing that is complete.
    Nothing,
    /// So many bytes that are no record.
    Discarded(usize),
    /// A record of so many bytes.
    Record(usize),
}

/// `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The front of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

// === impl Ring ===

impl Ring {
    /// Begins to read the ring buffer `map` where its last reader stopped. There must be no other
    /// reader: each would let the kernel write over what the other reads.
    ///
    /// # Kernel
    ///
    /// Linux 5.8.
    ///
    /// # Errors
    ///
    /// Fails if `map` is no ring buffer, or the kernel does not let it be read.
    pub fn new(map: OwnedFd) -> io::Result<Self> {
        let (page, bytes) = (page_size(), size_of_ring(map.as_fd())?);
        let reader = Mapping::new(map.as_fd(), 0, page, Access::ReadAndWrite)?;
        let writers = Mapping::new(map.as_fd(), page, page, Access::Read)?;
        let read = counted(&reader)?;
        Ok(Self {
            page,
            bytes,
            read,
            written: read,
            reader,
            writers,
            window: None,
            map,
        })
    }

    /// Returns how many bytes of records the ring holds.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands records to `take`, oldest first, at most `limit` of them; returns how many.
    ///
    /// Where that is fewer, whoever writes the next record wakes those who poll the ring, unless it
    /// asks the kernel not to.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not let more of the ring be mapped.
    pub fn take(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut taken = 0;
        let mut is_settled = false;
        while taken < limit {
            match self.look()? {
                Next::Record(length) => {
                    take(self.record(length)?);
                    self.consume(length)?;
                    taken += 1;
                    is_settled = false;
                }
                Next::Discarded(length) => {
                    self.consume(length)?;
                    is_settled = false;
                }
                // Either what comes meanwhile is seen by a second look, or its writer sees how far
                // was read, and wakes.
                Next::Nothing if !is_settled => {
                    fence(Ordering::SeqCst);
                    is_settled = true;
                }
                Next::Nothing => break,
            }
        }
        Ok(taken)
    }

    /// Looks what comes next.
    fn look(&mut self) -> io::Result<Next> {
        if self.read == self.written {
            self.written = counted(&self.writers)?;
            if self.read == self.written {
                return Ok(Next::Nothing);
            }
        }
        let (window, at) = self.window(HEADER_BYTES)?;
        let header = window.half(at).ok_or_else(torn)?.load(Ordering::Acquire);
        let length = (header & !(BUSY | DISCARDED)) as usize;
        Ok(if header & BUSY != 0 {
            Next::Nothing
        } else if header & DISCARDED != 0 {
            Next::Discarded(length)
        } else {
            Next::Record(length)
        })
    }

    /// Returns the record that is next, of `length` bytes.
    fn record(&mut self, length: usize) -> io::Result<&[u8]> {
        let (window, at) = self.window(HEADER_BYTES + length)?;
        // SAFETY: the record is complete, and the kernel writes over it only when it was consumed,
        // for which the slice must be gone: that takes `self` alone.
        unsafe { window.bytes(at + HEADER_BYTES, length) }.ok_or_else(torn)
    }

    /// Lets the kernel write over what is next, of `length` bytes.
    fn consume(&mut self, length: usize) -> io::Result<()> {
        let taken = (HEADER_BYTES + length).next_multiple_of(HEADER_BYTES);
        self.read = self.read.wrapping_add(taken);
        let read = self.reader.word(0).ok_or_else(torn)?;
        // What was read stays before this.
        read.store(self.read, Ordering::Release);
        Ok(())
    }

    /// Returns a window that shows `length` bytes of what is next, and where in it they begin.
    fn window(&mut self, length: usize) -> io::Result<(&Mapping, usize)> {
        let at = self.read & (self.bytes - 1);
        let shows = |window: &Window| {
            window.start <= at && at + length <= window.start + window.mapping.len()
        };
        let window = match self.window.take().filter(shows) {
            Some(window) => window,
            None => {
                let length = length.max(self.bytes.min(WINDOW_BYTES));
                Window::open(self.map.as_fd(), self.page, at, length)?
            }
        };
        let window = self.window.insert(window);
        Ok((&window.mapping, at - window.start))
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("bytes", &self.bytes)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.map.as_raw_fd()
    }
}

// === impl Window ===

impl Window {
    /// Maps at least `length` bytes from `at` in the data on. The kernel shows the data twice in a
    /// row, so that what goes beyond their end goes on at their beginning.
    fn open(map: BorrowedFd<'_>, page: usize, at: usize, length: usize) -> io::Result<Self> {
        let start = at & !(page - 1);
        let length = (at - start + length).next_multiple_of(page);
        // Before the data come the pages of the reader and of the writers.
        let mapping = Mapping::new(map, 2 * page + start, length, Access::Read)?;
        Ok(Self { start, mapping })
    }
}

/// Returns how many bytes of data the ring buffer `map` has.
fn size_of_ring(map: BorrowedFd<'_>) -> io::Result<usize> {
    let mut info = MapInfo::default();
    bpf(
        BPF_OBJ_GET_INFO_BY_FD,
        &mut GetInfo {
            bpf_fd: number(map.as_raw_fd())?,
            info_len: size_of::<MapInfo>() as u32,
            info: ptr::from_mut(&mut info) as u64,
        },
    )?;
    if info.kind == RINGBUF {
        Ok(info.max_entries as usize)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Reads the count that a page of the ring begins with.
fn counted(page: &Mapping) -> io::Result<usize> {
    let count = page.word(0).ok_or_else(torn)?;
    Ok(count.load(Ordering::Acquire))
}

/// The ring is not what the kernel says that rings are.
fn torn() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_no_ring_is_refused() {
        let nothing = File::open("/dev/null").unwrap();
        assert!(Ring::new(nothing.into()).is_err());
    }
}
