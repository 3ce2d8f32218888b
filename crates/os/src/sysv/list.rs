//! Going through the kernel's table of objects.

use crate::Errno;

/// What `at` finds at the indices from 0 to `highest`, without those where nothing is.
pub(super) fn every<T>(highest: i32, at: impl Fn(i32) -> Result<T, Errno>) -> Result<Vec<T>, Errno> {
    let found = (0..=highest).map(at).filter(|found| {
        // A free place in the table, or one that became free this moment.
        !matches!(found, Err(Errno::INVAL | Errno::IDRM))
    });
    found.collect()
}
