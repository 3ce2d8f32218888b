//! Who is at the other end.

use rustix::process::Pid;

/// Who a process is, as the kernel vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "ucred")]
pub struct Credentials {
    /// Its process id; `None` where that is not visible from here (another pid namespace), or was not recorded (a
    /// message sent before the receiver asked for credentials). Numbers are used again: a pidfd is safer.
    pub pid: Option<Pid>,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl Credentials {
    /// Those of this process, with its effective ids.
    pub fn own() -> Self {
        Self {
            pid: Some(rustix::process::getpid()),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    pub(crate) fn to_sys(self) -> twixt_sys::socket::Credentials {
        twixt_sys::socket::Credentials {
            pid: self.pid.map_or(0, |pid| pid.as_raw_nonzero().get()),
            uid: self.uid,
            gid: self.gid,
        }
    }
}

impl From<twixt_sys::socket::Credentials> for Credentials {
    fn from(raw: twixt_sys::socket::Credentials) -> Self {
        // A negative number would be no process, and the kernel gives none.
        Self { pid: Pid::from_raw(raw.pid.max(0)), uid: raw.uid, gid: raw.gid }
    }
}
