//! Numbers of system calls, for [`Child::wait_until_blocked_in`](crate::Child::wait_until_blocked_in).

macro_rules! calls {
    ($($name:ident = $number:ident,)*) => {
        $(
            #[doc = concat!("`", stringify!($number), "`")]
            pub const $name: i64 = libc::$number;
        )*
    };
}

calls! {
    ACCEPT = SYS_accept4,
    CONNECT = SYS_connect,
    EPOLL_PWAIT = SYS_epoll_pwait,
    EPOLL_PWAIT2 = SYS_epoll_pwait2,
    FCNTL = SYS_fcntl,
    FLOCK = SYS_flock,
    FUTEX = SYS_futex,
    MQ_RECEIVE = SYS_mq_timedreceive,
    MQ_SEND = SYS_mq_timedsend,
    MSGRCV = SYS_msgrcv,
    MSGSND = SYS_msgsnd,
    NANOSLEEP = SYS_clock_nanosleep,
    OPENAT = SYS_openat,
    PPOLL = SYS_ppoll,
    PWRITEV2 = SYS_pwritev2,
    READ = SYS_read,
    RECVFROM = SYS_recvfrom,
    RECVMSG = SYS_recvmsg,
    SEMOP = SYS_semop,
    SEMTIMEDOP = SYS_semtimedop,
    SENDMSG = SYS_sendmsg,
    SENDTO = SYS_sendto,
    SPLICE = SYS_splice,
    TEE = SYS_tee,
    VMSPLICE = SYS_vmsplice,
    WAITID = SYS_waitid,
    WRITE = SYS_write,
    WRITEV = SYS_writev,
}

/// `SYS_open`, or what opens files on machines that lack it.
#[cfg(target_arch = "x86_64")]
pub const OPEN: i64 = libc::SYS_open;
/// `SYS_open`, or what opens files on machines that lack it.
#[cfg(not(target_arch = "x86_64"))]
pub const OPEN: i64 = libc::SYS_openat;

/// `SYS_poll`, or what polls on machines that lack it.
#[cfg(target_arch = "x86_64")]
pub const POLL: i64 = libc::SYS_poll;
/// `SYS_poll`, or what polls on machines that lack it.
#[cfg(not(target_arch = "x86_64"))]
pub const POLL: i64 = libc::SYS_ppoll;

/// Where a thread is that waits for a descriptor, or sleeps.
pub const POLLING: &[i64] = &[PPOLL, POLL];

/// Where a thread is that waits to write to a pipe.
pub const WRITING: &[i64] = &[PWRITEV2, WRITEV];

/// Where a thread is that waits to receive from a socket.
pub const RECEIVING: &[i64] = &[RECVFROM, RECVMSG];

/// Where a thread is that waits to send through a socket.
pub const SENDING: &[i64] = &[SENDTO, SENDMSG];

/// Where a thread is that waits for a System V semaphore.
pub const SEMAPHORE: &[i64] = &[SEMOP, SEMTIMEDOP];
