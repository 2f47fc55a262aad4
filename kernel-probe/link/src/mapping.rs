//! A part of a map in this process's memory.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, AtomicUsize},
};

/// Whole pages, mapped until this is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

/// What may be done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadAndWrite,
}

// SAFETY: the pages belong to the process, not to a thread.
unsafe impl Send for Mapping {}

// === impl Mapping ===

impl Mapping {
    /// Maps `length` bytes of `map` from `offset` on, both of whole pages.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses that.
    pub(crate) fn new(
        map: BorrowedFd<'_>,
        offset: usize,
        length: usize,
        access: Access,
    ) -> io::Result<Self> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::ReadAndWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let offset =
            libc::off_t::try_from(offset).map_err(|_too_large| io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a place that nothing else is at.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            Some(_) | None => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Returns the word at `offset`, which others change; `None` where it does not lie within.
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicUsize> {
        let word = self.at::<AtomicUsize>(offset)?;
        // SAFETY: aligned, within the mapping, and of a type that others may change.
        Some(unsafe { word.as_ref() })
    }

    /// Returns the half of a word at `offset`, in the same way.
    pub(crate) fn half(&self, offset: usize) -> Option<&AtomicU32> {
        let half = self.at::<AtomicU32>(offset)?;
        // SAFETY: aligned, within the mapping, and of a type that others may change.
        Some(unsafe { half.as_ref() })
    }

    /// Returns `length` bytes from `offset` on; `None` where they do not lie within.
    ///
    /// # Safety
    ///
    /// Nobody may change them while the slice lives.
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        if end > self.length {
            return None;
        }
        // SAFETY: `offset` lies within the mapping.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: mapped as long as `self` is, and unchanged as the caller promises.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
    }

    /// Returns where a `T` lies that begins at `offset`.
    fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let is_within = offset.checked_add(size_of::<T>())? <= self.length;
        // The mapping begins with a page.
        if !is_within || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` lies within the mapping.
        Some(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing that leads there outlives `self`. It cannot fail.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Returns the size of a page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes a number, and cannot fail for this one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
