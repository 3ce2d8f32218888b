//! `process_vm_readv(2)`: copying out of another process's memory.

use rustix::process::Pid;

use crate::Errno;
use crate::call::checked;

/// Copies from an address of another process into `buffer`, with one copy in the kernel. Says how many bytes came: fewer
/// than there is room for, if a page on the way is not there.
///
/// It is allowed to whoever may attach to that process as a debugger does (`ptrace(2)`): the same user, and what
/// `kernel.yama.ptrace_scope` leaves of that.
///
/// # Errors
/// `EPERM` if it is forbidden, `ESRCH` if there is no such process, `EFAULT` if there is nothing at the address.
#[doc(alias = "process_vm_readv")]
pub fn read_memory(of: Pid, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // The kernel looks for it in the other process: here it is a number, which nobody follows.
    let there = core::ptr::without_provenance_mut(usize::try_from(address).map_err(|_| Errno::FAULT)?);
    let remote = libc::iovec { iov_base: there, iov_len: buffer.len() };
    let pid: i32 = of.as_raw_nonzero().get();
    // SAFETY: `local` points to `buffer`, with its length and mutably borrowed here; both vectors outlive the call, which
    // writes to the buffer alone.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    Ok(checked(read as i64)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_can_be_read_and_nothing_where_there_is_nothing() {
        let there = std::hint::black_box([1u8, 2, 3, 4]);
        let own = rustix::process::getpid();
        let mut buffer = [0; 4];
        let address = there.as_ptr().expose_provenance() as u64;
        match read_memory(own, address, &mut buffer) {
            Ok(len) => assert_eq!((len, buffer), (4, there)),
            // A sandbox may forbid the call itself.
            Err(errno) => return assert!(matches!(errno, Errno::PERM | Errno::NOSYS), "{errno}"),
        }
        assert_eq!(read_memory(own, 8, &mut buffer), Err(Errno::FAULT));
        assert_eq!(buffer, there);
    }
}
