//! Reading a file from its beginning, and waiting at its end for it to grow.

use core::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::fs::{OFlags, SeekFrom, Stat, fstat, lstat, seek};
use twixt_address::Framing;
use twixt_os::{Errno, Error, ErrorKind, Limit, Result, Wait};

use super::{capabilities, open_path};
use crate::framing::{Decoder, Fault, MAX_RAW};
use crate::half::ReceiveHalf;
use crate::origin::Origin;
use crate::{Capabilities, Capacity, Message, Opening, Readiness};

/// Receives what was appended to a file.
pub(crate) struct Receiver {
    file: OwnedFd,
    /// Where it stood when it was opened; none for a descriptor that was passed.
    path: Option<PathBuf>,
    /// How many bytes of the file were read.
    position: u64,
    decoder: Decoder,
    origin: Origin,
    /// What those who append keep to.
    budget: Option<u64>,
    /// What tells that the file grows; none if its present end is its end.
    watch: Option<OwnedFd>,
    /// Whether something was noted that may mean that the file is no longer what it was.
    is_suspect: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Something was wrong with a message: what stands behind it is not understood.
    Lost,
    /// The file was shortened, which the user has been told.
    Shortened,
    /// Another file has taken its name, or none, which the user has been told.
    Replaced,
    /// Its end has come, which the user is still to be told.
    Ended,
}

impl Receiver {
    pub(crate) fn new(
        file: OwnedFd,
        path: Option<PathBuf>,
        opening: &Opening,
        framing: Framing,
    ) -> Result<Self> {
        let origin = Origin::of(opening);
        let watch =
            if opening.is_to_present_end() { None } else { Some(watch(&file, path.as_deref(), &origin)?) };
        let position = rustix::fs::tell(&file)
            .map_err(|errno| Error::kernel(origin.mechanism, "open", origin.object.clone(), errno))?;
        let decoder = Decoder::new(opening.framing_or(framing));
        let budget = opening.address().options().budget();
        Ok(Self {
            file,
            path,
            position,
            decoder,
            origin,
            budget,
            watch,
            is_suspect: false,
            state: State::Open,
        })
    }

    fn kernel(&self, errno: Errno) -> Error {
        Error::kernel(self.origin.mechanism, "receive from", self.origin.object.clone(), errno)
    }

    fn refused(&self, kind: ErrorKind, why: String) -> Error {
        Error::refused(self.origin.mechanism, "receive from", self.origin.object.clone(), kind, why)
    }

    fn faulty(&self, fault: &Fault) -> Error {
        self.refused(fault.kind(), fault.to_string())
    }

    fn stat(&self) -> Result<Stat> {
        fstat(&self.file).map_err(|errno| self.kernel(errno))
    }

    /// Goes on after what the user has been told.
    fn recover(&mut self) -> Result<()> {
        match self.state {
            State::Open => return Ok(()),
            State::Lost => self.move_to(SeekFrom::End(0))?,
            State::Shortened => self.move_to(SeekFrom::Start(0))?,
            State::Replaced => {
                if let Some(path) = &self.path {
                    let file = open_path(path, OFlags::RDONLY, twixt_os::Mode::OWNER, &self.origin)?;
                    if self.watch.is_some() {
                        self.watch = Some(watch(&file, Some(path), &self.origin)?);
                    }
                    self.file = file;
                    self.position = 0;
                    self.is_suspect = false;
                }
            }
            State::Ended => {
                self.state = State::Open;
                let why = "this is the present end of the file";
                return Err(self.origin.refused("receive from", ErrorKind::PeerGone, why));
            }
        }
        self.decoder.reset();
        self.state = State::Open;
        Ok(())
    }

    fn move_to(&mut self, to: SeekFrom) -> Result<()> {
        self.position = seek(&self.file, to).map_err(|errno| self.kernel(errno))?;
        Ok(())
    }

    fn read(&mut self, message: &mut Message) -> Result<usize> {
        let raw = self.decoder.framing() == Framing::Raw;
        let room = if raw { &mut message.room(MAX_RAW)[..MAX_RAW] } else { self.decoder.room() };
        let read = Wait::forever().with_timeout(|_| rustix::io::read(&self.file, &mut *room));
        let read = read.map_err(|errno| self.kernel(errno))?;
        self.position += read as u64;
        if raw {
            message.set_len(read);
        } else {
            self.decoder.filled(read);
        }
        Ok(read)
    }

    /// At the end of the file: returns once there may be more, and fails if the file is no longer what it was.
    fn wait(&mut self, wait: Wait) -> Result<()> {
        let Some(watch) = &self.watch else {
            self.state = State::Ended;
            return Ok(());
        };
        // What was noted before the last read may be news no longer, and what came since is.
        let has_changed = drain(watch).map_err(|errno| self.kernel(errno))?;
        if has_changed || self.is_suspect {
            return self.look();
        }
        wait.until_readable(watch).map_err(|errno| self.kernel(errno))
    }

    /// Sees whether the file is what it was.
    fn look(&mut self) -> Result<()> {
        let stat = self.stat()?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < self.position {
            self.state = State::Shortened;
            let why = format!("it was shortened to {size} bytes when {} had been received", self.position);
            return Err(self.refused(ErrorKind::Truncated, why).with_advice(
                "the next message is its first one again; what was appended and not received is lost",
            ));
        }
        self.is_suspect = !self.has_its_name(&stat);
        // What is there of the file is received before its being replaced matters.
        if self.is_suspect && size == self.position {
            self.state = State::Replaced;
            let why = match self.decoder.buffered() {
                0 => "it was renamed or removed, and everything in it was received".to_owned(),
                rest => format!(
                    "it was renamed or removed, with {rest} bytes of an unfinished message at its end"
                ),
            };
            return Err(self
                .refused(ErrorKind::Removed, why)
                .with_advice("the next message is the first one of the file that has its name then"));
        }
        Ok(())
    }

    fn has_its_name(&self, stat: &Stat) -> bool {
        match self.path.as_deref().map(lstat) {
            Some(Ok(named)) => (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino),
            Some(Err(Errno::NOENT | Errno::NOTDIR)) => false,
            // It cannot be told; a file without any name is gone for sure.
            _ => stat.st_nlink > 0,
        }
    }
}

/// Asks to be told of every change to the file, whatever its path leads to by now.
fn watch(file: &OwnedFd, path: Option<&Path>, origin: &Origin) -> Result<OwnedFd> {
    let fail = |errno| Error::kernel(origin.mechanism, "watch", origin.object.clone(), errno);
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| match errno {
        Errno::MFILE => fail(errno).with_limit(Limit::sysctl("fs.inotify.max_user_instances", 0)),
        _ => fail(errno),
    })?;
    let events = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
    let of_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let added = match (inotify::add_watch(&watch, of_descriptor, events), path) {
        // Without /proc.
        (Err(Errno::NOENT), Some(path)) => inotify::add_watch(&watch, path, events),
        (added, _) => added,
    };
    added.map_err(|errno| match errno {
        Errno::NOSPC => fail(errno)
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::sysctl("fs.inotify.max_user_watches", 0)),
        _ => fail(errno),
    })?;
    Ok(watch)
}

/// Takes the events that wait. Whether there were any.
fn drain(watch: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = Reader::new(watch, &mut buffer);
    let mut any = false;
    loop {
        match events.next() {
            Ok(_) => any = true,
            Err(Errno::AGAIN) => return Ok(any),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        self.recover()?;
        loop {
            match self.decoder.next_into(message) {
                Ok(Some(0)) => return Ok(()),
                Ok(Some(_)) => {
                    message.clear();
                    self.state = State::Lost;
                    let why = "a message says that descriptors belong to it, which no file holds".to_owned();
                    return Err(self.refused(ErrorKind::Malformed, why));
                }
                Ok(None) => {}
                Err(fault) => {
                    self.state = State::Lost;
                    return Err(self.faulty(&fault));
                }
            }
            if self.read(message)? > 0 {
                if self.decoder.framing() == Framing::Raw {
                    return Ok(());
                }
                continue;
            }
            self.wait(wait)?;
            if self.state == State::Ended {
                // A last line without its end is a message, and a message that was cut short an error.
                match self.decoder.finish_into(message) {
                    Ok(true) => return Ok(()),
                    Ok(false) => return self.recover(),
                    Err(fault) => return Err(self.faulty(&fault)),
                }
            }
        }
    }

    fn has_buffered(&self) -> bool {
        self.decoder.has_message()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.decoder.framing(), self.watch.is_none())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(self.budget.map(|budget| Capacity::Unbounded { budget }))
    }

    fn len(&self) -> Result<Option<u64>> {
        let size = u64::try_from(self.stat()?.st_size).unwrap_or(0);
        Ok(Some(size.saturating_sub(self.position) + self.decoder.buffered() as u64))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.watch.as_ref().map(|watch| Readiness::to_read(watch.as_fd()))
    }
}
