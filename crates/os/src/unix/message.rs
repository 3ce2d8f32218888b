//! What travels beside the bytes: descriptors and credentials.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::ReturnFlags;
use twixt_sys::socket::{Control, Incoming, MAX_DESCRIPTORS, Received as Part};

use crate::unix::{Address, Credentials};
use crate::{Error, ErrorKind, Limit, Mechanism, Object, Result};

/// What to send along with a message.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::fd::AsFd;
/// use twixt_os::unix::{Attachments, Stream};
///
/// let (one, other) = Stream::pair()?;
/// let (mut read, write) = std::io::pipe()?;
/// one.send_with(b"!", &Attachments::descriptors(&[write.as_fd()]))?;
/// drop(write);
///
/// let mut buffer = [0; 16];
/// let mut received = other.receive_with(&mut buffer)?;
/// let end = received.descriptors.remove(0);
/// std::fs::File::from(end).write_all(b"through the passed end")?;
/// let mut text = String::new();
/// read.read_to_string(&mut text)?;
/// assert_eq!(text, "through the passed end");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Attachments<'a> {
    descriptors: &'a [BorrowedFd<'a>],
    credentials: Option<Credentials>,
}

impl<'a> Attachments<'a> {
    /// The most descriptors that one message can carry: 253, a constant of the kernel.
    #[doc(alias = "SCM_MAX_FD")]
    pub const MAX_DESCRIPTORS: usize = MAX_DESCRIPTORS;

    /// Nothing.
    pub const fn none() -> Self {
        Self { descriptors: &[], credentials: None }
    }

    /// Open descriptors, which the receiver gets as copies: `SCM_RIGHTS`.
    #[doc(alias = "SCM_RIGHTS")]
    pub const fn descriptors(descriptors: &'a [BorrowedFd<'a>]) -> Self {
        Self { descriptors, credentials: None }
    }

    /// Credentials in place of those that the kernel would fill in: `SCM_CREDENTIALS`.
    ///
    /// A process may claim its own pid and its real, effective or saved user and group ids; a privileged one any
    /// (`CAP_SYS_ADMIN`, `CAP_SETUID`, `CAP_SETGID`).
    #[must_use]
    #[doc(alias = "SCM_CREDENTIALS")]
    pub const fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// Whether there is nothing to attach.
    pub const fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.credentials.is_none()
    }

    /// As control messages, or why that cannot be.
    pub(super) fn to_control(self, mechanism: Mechanism, object: &Object) -> Result<Control> {
        let count = self.descriptors.len();
        let mut control = Control::new();
        let refuse = |kind, why: String| Error::refused(mechanism, "send to", object.clone(), kind, why);
        if count > MAX_DESCRIPTORS {
            let limit = Limit {
                name: "SCM_MAX_FD",
                current: Some(MAX_DESCRIPTORS as u64),
                needed: Some(count as u64),
            };
            let why = format!("one message cannot carry {count} descriptors");
            return Err(refuse(ErrorKind::LimitReached, why)
                .with_limit(limit)
                .with_advice("send them in several messages"));
        }
        // Both fit by the size of the buffer and the check above.
        let pushed = match self.credentials {
            Some(credentials) => control.push_credentials(credentials.to_sys()),
            None => Ok(()),
        };
        pushed
            .and_then(|()| if count > 0 { control.push_descriptors(self.descriptors) } else { Ok(()) })
            .map_err(|errno| Error::kernel(mechanism, "send to", object.clone(), errno))?;
        Ok(control)
    }
}

/// A message with all that came along with it; its bytes are in the buffer that was given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// How many bytes there are.
    pub len: usize,
    /// The descriptors that the sender attached, in its order, close-on-exec. They are closed when this is dropped.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent it: with `set_pass_credentials`, and always on seqpacket sockets.
    pub credentials: Option<Credentials>,
    /// A descriptor of the process that sent it: with `set_pass_pidfd`. It is readable once that process has ended.
    pub pidfd: Option<OwnedFd>,
    /// Who sent it, where the sender's socket has a name. Always unnamed on streams.
    pub from: Address,
}

impl Received {
    /// An empty one, to receive into.
    pub const fn new() -> Self {
        Self { len: 0, descriptors: Vec::new(), credentials: None, pidfd: None, from: Address::UNNAMED }
    }

    /// Empties it, and closes what descriptors it has.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.descriptors.clear();
        self.credentials = None;
        self.pidfd = None;
        self.from.set_unnamed();
    }

    /// Reads the control messages.
    ///
    /// If the kernel had to leave descriptors out, the others are closed: an array with holes helps nobody.
    pub(super) fn read(
        &mut self,
        mechanism: Mechanism,
        object: &Object,
        incoming: &Incoming,
        control: &mut Control,
    ) -> Result<()> {
        while let Some(part) = control.next() {
            match part {
                Part::Descriptors(descriptors) => self.descriptors.extend(descriptors),
                Part::Credentials(credentials) => self.credentials = Some(credentials.into()),
                Part::Pidfd(pidfd) => self.pidfd = Some(pidfd),
                _ => {}
            }
        }
        if incoming.flags.contains(ReturnFlags::CTRUNC) {
            let why = format!(
                "the kernel could install only {} of the descriptors that came with {} bytes; they were closed again",
                self.descriptors.len(),
                incoming.len
            );
            self.clear();
            let kind = ErrorKind::LimitReached;
            return Err(Error::refused(mechanism, "receive from", object.clone(), kind, why)
                .with_limit(Limit::descriptors())
                .with_advice("raise it with `ulimit -n`, or close descriptors"));
        }
        self.len = incoming.len;
        Ok(())
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}
