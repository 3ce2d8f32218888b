//! Being told that a message has arrived: `mq_notify(3)`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{Builder, JoinHandle};

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use rustix::process::Resource;
use rustix::rand::{GetRandomFlags, getrandom};
use twixt_sys::mq::{self as sys, Cookie, Event};
use twixt_sys::signal::with_signals_blocked;

use super::Queue;
use crate::signal::{Signal, Value};
use crate::{Errno, Error, ErrorKind, Limit, Result};

const OPERATION: &str = "ask for notification by";

/// How a registration by [`Queue::notify_thread`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A message arrived, and the callback has run.
    Arrived,
    /// The registration was cancelled, and the callback has not run.
    Cancelled,
}

/// # Notification
///
/// One process at a time may be registered on a queue. It is told once, when a message arrives in the *empty* queue
/// and nobody is waiting in a receive; to be told again it registers again, *before* it empties the queue, or it may
/// miss a message that arrives in between. The registration goes with the process, and also when the process closes any
/// descriptor of the queue.
///
/// All forms fail with [`Busy`](ErrorKind::Busy) while a process (this one too) is registered.
///
/// To wait for several queues, or for as long as one likes, polling the descriptor is simpler.
impl Queue {
    /// Asks for a signal with a value: `mq_notify(3)` with `SIGEV_SIGNAL`.
    ///
    /// It arrives with the cause [`MessageQueue`](crate::signal::Cause::MessageQueue), which names the sender of the
    /// message.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while a process, this one too, is registered on the queue and was not told yet.
    #[doc(alias = "mq_notify")]
    #[doc(alias = "SIGEV_SIGNAL")]
    #[doc(alias = "sigevent")]
    pub fn notify_signal(&self, signal: Signal, value: impl Into<Value>) -> Result<()> {
        let event = Event::Signal { number: signal.as_raw(), value: value.into().as_usize() };
        sys::notify(self.as_fd(), Some(event)).map_err(|errno| self.notify_error(errno))
    }

    /// Starts a thread that runs `callback` when the message arrives: `mq_notify(3)` with `SIGEV_THREAD`.
    ///
    /// The thread is called `mq-notify`, runs with signals blocked, as those of the C library do, and ends when the
    /// callback returns or the registration is cancelled; joining it tells which. Dropping the handle lets it be.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twixt_os::Mode;
    /// use twixt_os::posix::mq::{Access, Notification, Priority, Queue};
    ///
    /// let name = format!("/twixt-mq-notify-{}", std::process::id());
    /// let queue = Arc::new(Queue::create(&name, Access::ReadWrite, None, Mode::OWNER)?);
    /// let guard = queue.unlink_on_drop()?;
    ///
    /// let reader = Arc::clone(&queue);
    /// let thread = queue.notify_thread(move || {
    ///     let mut buffer = vec![0; reader.message_size()];
    ///     let received = reader.receive(&mut buffer);
    ///     assert!(received.is_ok_and(|received| &buffer[..received.len] == b"wake up"));
    /// })?;
    /// queue.send(b"wake up", Priority::LOWEST)?;
    /// assert_eq!(thread.join().unwrap(), Notification::Arrived);
    /// # drop(guard);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) as [`Queue::notify_signal`]; [`LimitReached`](ErrorKind::LimitReached) when no thread
    /// (`RLIMIT_NPROC`) or descriptor (`RLIMIT_NOFILE`, 1024 by default) can be had; and
    /// [`Unsupported`](ErrorKind::Unsupported) where the process may not use netlink sockets.
    #[doc(alias = "mq_notify")]
    #[doc(alias = "SIGEV_THREAD")]
    pub fn notify_thread(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<Notification>> {
        let socket = self.notify_socket()?;
        let cookie = self.cookie()?;
        sys::notify(self.as_fd(), Some(Event::Cookie { socket: socket.as_fd(), cookie: &cookie }))
            .map_err(|errno| self.notify_error(errno))?;
        let wait = move || {
            let notification = await_cookie(&socket, &cookie);
            drop(socket);
            if notification == Notification::Arrived {
                callback();
            }
            notification
        };
        with_signals_blocked(|| Builder::new().name("mq-notify".to_owned()).spawn(wait)).map_err(|error| {
            let _ = self.cancel_notification();
            self.no_thread(&error)
        })
    }

    /// Registers for no notification at all: `mq_notify(3)` with `SIGEV_NONE`. It keeps others from registering.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) as [`Queue::notify_signal`].
    #[doc(alias = "mq_notify")]
    #[doc(alias = "SIGEV_NONE")]
    pub fn notify_silently(&self) -> Result<()> {
        sys::notify(self.as_fd(), Some(Event::Nothing)).map_err(|errno| self.notify_error(errno))
    }

    /// Cancels this process's registration, if it has one: `mq_notify(3)` with a null pointer.
    ///
    /// # Errors
    /// None that is known.
    #[doc(alias = "mq_notify")]
    pub fn cancel_notification(&self) -> Result<()> {
        sys::notify(self.as_fd(), None).map_err(|errno| self.error("cancel the notification by", errno))
    }

    /// The kernel sends a cookie over netlink. The socket is bound to no address, so nobody else can send to it.
    fn notify_socket(&self) -> Result<OwnedFd> {
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map_err(|errno| {
            let error = self.notify_error(errno);
            match errno {
                Errno::AFNOSUPPORT | Errno::ACCESS | Errno::PERM => {
                    error.with_kind(ErrorKind::Unsupported).with_advice(
                        "notification by thread needs a netlink socket; poll the descriptor instead",
                    )
                }
                _ => error.with_descriptor_limit(),
            }
        })
    }

    fn cookie(&self) -> Result<Cookie> {
        let mut cookie = Cookie::default();
        getrandom(&mut cookie[..], GetRandomFlags::empty()).map_err(|errno| self.notify_error(errno))?;
        Ok(cookie)
    }

    fn notify_error(&self, errno: Errno) -> Error {
        let error = self.error(OPERATION, errno);
        match errno {
            Errno::BUSY => error.with_advice("one process at a time can be registered, and one is"),
            _ => error,
        }
    }

    fn no_thread(&self, error: &io::Error) -> Error {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::AGAIN);
        self.error("start the notification thread of", errno)
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::rlimit("RLIMIT_NPROC", Resource::Nproc))
    }
}

/// Waits for the kernel to send the cookie back, with its last byte saying why.
fn await_cookie(socket: &OwnedFd, cookie: &Cookie) -> Notification {
    let last = cookie.len() - 1;
    loop {
        let mut arrived = Cookie::default();
        match recv(socket, &mut arrived[..], RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Ok((length, _)) if length == arrived.len() && arrived[..last] == cookie[..last] => {
                match arrived[last] {
                    sys::WOKEN_UP => return Notification::Arrived,
                    _ => return Notification::Cancelled,
                }
            }
            // Nothing else can arrive; if it does, it is not for us.
            Ok(_) => {}
            Err(_) => return Notification::Cancelled,
        }
    }
}
