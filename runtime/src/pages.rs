//! Large pages for memory that is about to be filled from end to end.
//!
//! The kernel gives memory page by page, when it is touched: 100 MB in pages of 4 KiB are 25,000 interruptions, which
//! take longer than the copy that they interrupt. Where the system leaves it to programs
//! (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`), asking for pages of 2 MiB makes that 50.

use rustix::mm::Advice;

/// The size of a large page, and what their addresses are multiples of.
const LARGE: usize = 2 << 20;

/// Asks for large pages where a vector will lie, if it is so large that this is worth a system call.
pub(crate) fn expect_large<T>(vector: &mut Vec<T>) {
    let room = vector.spare_capacity_mut();
    let (start, bytes) = (room.as_mut_ptr().cast::<u8>(), size_of_val(room));
    if bytes < 2 * LARGE {
        return;
    }
    // Only whole pages, so that nobody else's memory is meant.
    let before = start.align_offset(LARGE);
    let whole = bytes.saturating_sub(before) / LARGE * LARGE;
    let first = start.wrapping_add(before).cast();
    // Where the system has none, small ones do.
    // SAFETY: these pages are the vector's own. What they hold is not changed, only where the kernel keeps it.
    let _ = unsafe { rustix::mm::madvise(first, whole, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_size_are_filled_as_before() {
        for bytes in [0, 1, 4096, 2 * LARGE - 1, 2 * LARGE, 5 * LARGE + 17] {
            let mut vector = Vec::with_capacity(bytes);
            expect_large(&mut vector);
            vector.extend((0..bytes).map(|index| index as u8));
            assert!(vector.iter().enumerate().all(|(index, byte)| *byte == index as u8), "{bytes}");
        }
    }
}
