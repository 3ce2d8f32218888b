//! An errno in words: the C library's sentence and the name that manual pages use.

use std::io;

use crate::Errno;

/// `no such file or directory (ENOENT)`
pub(super) fn describe(errno: Errno) -> String {
    let raw = errno.raw_os_error();
    let sentence = io::Error::from_raw_os_error(raw).to_string();
    // The standard library appends " (os error 2)".
    let sentence = sentence.split(" (os error").next().unwrap_or_default();
    let mut letters = sentence.chars();
    let lowered: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    match name(errno) {
        Some(name) => format!("{lowered} ({name})"),
        None => format!("{lowered} (errno {raw})"),
    }
}

macro_rules! names {
    ($($errno:ident => $name:literal,)*) => {
        /// The symbolic name, for those that the mechanisms of this crate produce.
        fn name(errno: Errno) -> Option<&'static str> {
            match errno {
                $(Errno::$errno => Some($name),)*
                _ => None,
            }
        }
    };
}

names! {
    PERM => "EPERM", NOENT => "ENOENT", SRCH => "ESRCH", INTR => "EINTR", IO => "EIO", NXIO => "ENXIO",
    TOOBIG => "E2BIG", NOEXEC => "ENOEXEC", BADF => "EBADF", CHILD => "ECHILD", AGAIN => "EAGAIN",
    NOMEM => "ENOMEM", ACCESS => "EACCES", FAULT => "EFAULT", BUSY => "EBUSY", EXIST => "EEXIST",
    XDEV => "EXDEV", NODEV => "ENODEV", NOTDIR => "ENOTDIR", ISDIR => "EISDIR", INVAL => "EINVAL",
    NFILE => "ENFILE", MFILE => "EMFILE", NOTTY => "ENOTTY", TXTBSY => "ETXTBSY", FBIG => "EFBIG",
    NOSPC => "ENOSPC", SPIPE => "ESPIPE", ROFS => "EROFS", MLINK => "EMLINK", PIPE => "EPIPE", DOM => "EDOM",
    RANGE => "ERANGE", DEADLK => "EDEADLK", NAMETOOLONG => "ENAMETOOLONG", NOLCK => "ENOLCK",
    NOSYS => "ENOSYS", NOTEMPTY => "ENOTEMPTY", LOOP => "ELOOP", NOMSG => "ENOMSG", IDRM => "EIDRM",
    NODATA => "ENODATA", TIME => "ETIME", PROTO => "EPROTO", BADMSG => "EBADMSG", OVERFLOW => "EOVERFLOW",
    NOTSOCK => "ENOTSOCK", DESTADDRREQ => "EDESTADDRREQ", MSGSIZE => "EMSGSIZE", PROTOTYPE => "EPROTOTYPE",
    NOPROTOOPT => "ENOPROTOOPT", PROTONOSUPPORT => "EPROTONOSUPPORT", SOCKTNOSUPPORT => "ESOCKTNOSUPPORT",
    OPNOTSUPP => "EOPNOTSUPP", PFNOSUPPORT => "EPFNOSUPPORT", AFNOSUPPORT => "EAFNOSUPPORT",
    ADDRINUSE => "EADDRINUSE", ADDRNOTAVAIL => "EADDRNOTAVAIL", NETDOWN => "ENETDOWN",
    NETUNREACH => "ENETUNREACH", NETRESET => "ENETRESET", CONNABORTED => "ECONNABORTED",
    CONNRESET => "ECONNRESET", NOBUFS => "ENOBUFS", ISCONN => "EISCONN", NOTCONN => "ENOTCONN",
    SHUTDOWN => "ESHUTDOWN", TOOMANYREFS => "ETOOMANYREFS", TIMEDOUT => "ETIMEDOUT",
    CONNREFUSED => "ECONNREFUSED", HOSTDOWN => "EHOSTDOWN", HOSTUNREACH => "EHOSTUNREACH",
    ALREADY => "EALREADY", INPROGRESS => "EINPROGRESS", STALE => "ESTALE", DQUOT => "EDQUOT",
    CANCELED => "ECANCELED", OWNERDEAD => "EOWNERDEAD", NOTRECOVERABLE => "ENOTRECOVERABLE",
}
