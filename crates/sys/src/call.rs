//! From a C return value to a `Result`.

use crate::Errno;

/// The calling thread's `errno`, as the last failed C call left it.
pub(crate) fn last_errno() -> Errno {
    let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Errno::from_raw_os_error(raw)
}

/// The C convention "-1 and `errno`" as a `Result`.
pub(crate) fn checked<T: Into<i64> + Copy>(returned: T) -> Result<T, Errno> {
    if returned.into() == -1 { Err(last_errno()) } else { Ok(returned) }
}
