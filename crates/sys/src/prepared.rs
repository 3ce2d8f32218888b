//! A system call that is made ready in one place and made in another.
//!
//! Processors predict where a function returns to by a stack of their own of the calls that were made. After a system call the
//! kernel's calls are what is left there: the first return of a function that was called before goes, for a moment, to where
//! the kernel would have gone on. On an AMD EPYC of the third generation that takes 100 to 600 ns of a round of two system calls;
//! `cargo bench -p twixt-os --bench first_return` shows it. Two things are done about it.
//!
//! - A call is [made](Prepared::make) as part of the function that wants it made, which another has made it ready for. So a
//!   loop that sends or receives through many layers returns from none of them after the call.
//! - Whoever does return finds a prediction that leads nowhere, and costs as much as any that fails: a few calls are made behind
//!   the system call that are never returned from.

use core::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, SendFlags};

use crate::Errno;
use crate::socket::InetName;

/// A system call with all that it takes, which it borrows.
///
/// [`make`](Self::make) becomes part of its caller, so that nothing is returned from after the call, which some processors take
/// long for.
///
/// ```
/// use std::os::fd::AsFd;
/// use twixt_sys::Prepared;
/// let (one, other) = std::os::unix::net::UnixStream::pair()?;
/// let call = Prepared::send(one.as_fd(), b"hello", rustix::net::SendFlags::NOSIGNAL);
/// assert_eq!(call.make()?, 5);
/// let mut room = [0; 8];
/// assert_eq!(Prepared::receive(other.as_fd(), &mut room, rustix::net::RecvFlags::empty()).make()?, 5);
/// assert_eq!(&room[..5], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it is not made unless `make` is called"]
pub struct Prepared<'a> {
    number: usize,
    arguments: [usize; 6],
    /// What the call reads and writes: the pointers among the arguments lead there, with the lengths that stand beside them.
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a> Prepared<'a> {
    /// For the modules of this crate, each of which says why making the call is sound while `'a` lasts.
    #[inline(always)]
    pub(crate) const fn new(number: libc::c_long, arguments: [usize; 6]) -> Self {
        Self { number: number as usize, arguments, borrowed: PhantomData }
    }

    /// `read(2)`: how many bytes were read.
    #[inline(always)]
    pub fn read(fd: BorrowedFd<'a>, buffer: &'a mut [u8]) -> Self {
        // The kernel writes to the buffer, which is mutably borrowed, no more than its length.
        Self::new(libc::SYS_read, [number(fd), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
    }

    /// `write(2)`: how many bytes were written. To a pipe without readers it raises SIGPIPE.
    #[inline(always)]
    pub fn write(fd: BorrowedFd<'a>, bytes: &'a [u8]) -> Self {
        // The kernel reads the bytes, which are borrowed.
        Self::new(libc::SYS_write, [number(fd), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
    }

    /// `send(2)`: how many bytes went.
    #[inline(always)]
    pub fn send(fd: BorrowedFd<'a>, bytes: &'a [u8], flags: SendFlags) -> Self {
        let flags = flags.bits() as usize;
        // The kernel reads the bytes, which are borrowed. Without an address none is read.
        Self::new(libc::SYS_sendto, [number(fd), bytes.as_ptr() as usize, bytes.len(), flags, 0, 0])
    }

    /// `recv(2)`: how many bytes came, or were to come with `MSG_TRUNC`.
    #[inline(always)]
    pub fn receive(fd: BorrowedFd<'a>, buffer: &'a mut [u8], flags: RecvFlags) -> Self {
        let flags = flags.bits() as usize;
        // The kernel writes to the buffer, which is mutably borrowed, no more than its length, and no address without room.
        let arguments = [number(fd), buffer.as_mut_ptr() as usize, buffer.len(), flags, 0, 0];
        Self::new(libc::SYS_recvfrom, arguments)
    }

    /// `recvfrom(2)`: how many bytes came, or were to come with `MSG_TRUNC`; and from whom, which `from` tells afterwards.
    #[inline(always)]
    pub fn receive_from(
        fd: BorrowedFd<'a>,
        buffer: &'a mut [u8],
        from: &'a mut InetName,
        flags: RecvFlags,
    ) -> Self {
        let flags = flags.bits() as usize;
        let (address, len) = from.room();
        // The kernel writes to the buffer and to the address, both of them mutably borrowed, no more than their lengths.
        let arguments = [number(fd), buffer.as_mut_ptr() as usize, buffer.len(), flags, address, len];
        Self::new(libc::SYS_recvfrom, arguments)
    }

    /// Makes the call.
    ///
    /// # Errors
    /// Those of the call.
    #[inline(always)]
    pub fn make(self) -> Outcome {
        // SAFETY: whoever has made it ready has seen to it that the call touches nothing but what is borrowed while `'a` lasts.
        let returned = unsafe { call(self.number, self.arguments) };
        if returned > usize::MAX - MOST_ERRNO {
            return Err(Errno::from_raw_os_error(returned.wrapping_neg() as i32));
        }
        Ok(returned)
    }
}

/// What a system call has come to: what it returned, mostly a number of bytes, or why it failed.
pub type Outcome = Result<usize, Errno>;

/// The kernel returns errors as the 4095 numbers below zero.
const MOST_ERRNO: usize = 4095;

/// The number of a descriptor, as an argument.
#[inline(always)]
pub(crate) fn number(fd: BorrowedFd<'_>) -> usize {
    fd.as_raw_fd() as usize
}

/// The system call of that number, as the kernel returns it; and four calls that are never returned from, for the processor's
/// predictions of four returns.
///
/// # Safety
/// As the call wants it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let returned;
    // SAFETY: these are the registers of the calling convention, of which the kernel changes `rax`, `rcx` and `r11`; what the
    // call does to memory is for the caller to vouch for. The four words that the calls push are below the stack pointer, where
    // nothing is kept as `nostack` is not said, and are taken away again: also from the shadow stack, in a process that has one,
    // which `rdsspq` tells by changing `rcx`.
    unsafe {
        core::arch::asm!(
            "syscall",
            "call 2f",
            "int3",
            "2: call 3f",
            "int3",
            "3: call 4f",
            "int3",
            "4: call 5f",
            "int3",
            "5: xor ecx, ecx",
            "rdsspq rcx",
            "test rcx, rcx",
            "jz 6f",
            "mov ecx, 4",
            "incsspq rcx",
            "6: lea rsp, [rsp + 32]",
            inlateout("rax") number => returned,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    returned
}

/// The same by the C library, where its instruction is not written out here: nothing is gained then, and nothing lost.
///
/// # Safety
/// As the call wants it.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    // SAFETY: for the caller to vouch for.
    let returned = unsafe { libc::syscall(number as libc::c_long, a, b, c, d, e, f) };
    if returned == -1 {
        return (crate::call::last_errno().raw_os_error() as usize).wrapping_neg();
    }
    returned as usize
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_error_of_the_kernel_is_one() {
        let (reader, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        assert_eq!(Prepared::read(reader.as_fd(), &mut [0; 4]).make(), Err(Errno::AGAIN));
        assert_eq!(Prepared::send(reader.as_fd(), b"x", SendFlags::empty()).make(), Err(Errno::NOTSOCK));
    }

    #[test]
    fn no_more_is_written_than_there_is_room_for() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"abcdef").unwrap();
        let mut room = [0; 8];
        assert_eq!(Prepared::read(reader.as_fd(), &mut room[..4]).make(), Ok(4));
        assert_eq!(&room, b"abcd\0\0\0\0");
    }
}
