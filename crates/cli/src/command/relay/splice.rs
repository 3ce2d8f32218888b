//! Moving bytes from stream to stream: within the kernel where it can (`splice(2)`), otherwise through a buffer.
//!
//! `splice` needs a pipe on one side. If neither end is one, a pipe of ours stands between them, and so it does for
//! `tee(2)`, which copies from pipe to pipe. What is in it has been taken: it is passed on before anything else is taken,
//! and if that fails it is saved, as is what was read ahead.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::ioctl_fionread;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};
use twixt::os::{Deadline, Errno, Error, Mechanism, Object};

use super::pace::Pace;
use super::{Failure, Way};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::undelivered::{Form, Undelivered};

mod ahead;

use ahead::Flow;

/// What a pipe of ours holds, and what is moved at once where there is none: as much as a plain user's pipe may have.
const CHUNK: usize = 1 << 20;
/// Room for what the kernel cannot move, which stays in the processor's cache.
const ROOM: usize = 256 << 10;
/// The same for what comes from TCP, which is in many pieces and no cache anyway: it moves some 10 % more with fewer reads.
const ROOM_FROM_TCP: usize = 1 << 20;
/// How long what was taken may take to be passed on, once the user wants to end.
pub(super) const LAST_CHANCE: Duration = Duration::from_secs(1);

impl Way<'_> {
    /// Moves bytes until the end; `false`, and nothing has been moved, if the ends are no streams of bytes.
    pub(super) fn splice(&mut self, pace: Pace) -> Result<bool, Failure> {
        let (Some(source), Some(target)) = (self.ends.receiver.stream(), self.ends.sender.stream()) else {
            return Ok(false);
        };
        let moved = |count| self.moved(0, count);
        // The kernel splices a page at a time into TCP, which is slower there than a copy.
        let is_tcp = self.ends.sender.mechanism() == Mechanism::Tcp;
        let is_from_tcp = self.ends.receiver.mechanism() == Mechanism::Tcp;
        let (tee, interrupt) = (self.tee.as_ref(), self.interrupt);
        let line = Line {
            source,
            target,
            splices: !is_tcp,
            room: if is_from_tcp { ROOM_FROM_TCP } else { ROOM },
            // From TCP to TCP it is no faster: most of the work is the kernel's, which shares it out as it is.
            reads_ahead: is_tcp && !is_from_tcp && tee.is_none() && self.arguments.rate.is_none(),
            tee,
            interrupt,
            moved: &moved,
        };
        let ended = line.run(pace);
        let (end, errno, rest) = match ended {
            Ended::Well => return Ok(true),
            // With two ways, whoever has said all may hang up before it is told that there is no more.
            Ended::Failed { end: End::Target, errno: Errno::PIPE | Errno::CONNRESET, rest }
                if self.arguments.both && rest.is_empty() && ioctl_fionread(source) == Ok(0) =>
            {
                return Ok(true);
            }
            Ended::Failed { end, errno, rest } => (end, errno, rest),
        };
        let (from, to) = (self.from(), self.to());
        let error = |mechanism: Mechanism, operation, address: &twixt::address::Address| {
            Error::kernel(mechanism, operation, Object::name(address.endpoint().to_string()), errno)
        };
        let text = match end {
            End::Source => return Err(error(self.ends.receiver.mechanism(), "receive from", from).into()),
            End::Target if rest.is_empty() => {
                return Err(error(self.ends.sender.mechanism(), "send to", to).into());
            }
            End::Target if errno == Errno::CANCELED => {
                format!("cannot send to {}: it takes nothing", to.endpoint())
            }
            End::Target => error(self.ends.sender.mechanism(), "send to", to).to_string(),
            End::Tee => format!("{COPY}: {}", io::Error::from(errno)),
        };
        let exit = match errno {
            Errno::PIPE | Errno::CONNRESET => Exit::PeerGone,
            _ => Exit::Refused,
        };
        Err(Failure::Undelivered(Box::new(Undelivered {
            error: text,
            first: 1,
            count: 0,
            written: 0,
            form: Form::Bytes,
            bytes: rest,
            exit,
        })))
    }

    /// Writes what is passed on into the file of --tee.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(tee) = &mut self.tee else { return Ok(()) };
        Ok(tee.write_all(bytes).context(COPY)?)
    }
}

const COPY: &str = "what is passed on cannot be written into the file of --tee as well";

/// Where bytes come from, where they go, and who is to hear of it.
struct Line<'a> {
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    /// Whether bytes are better moved within the kernel.
    splices: bool,
    /// How much is copied at once.
    room: usize,
    /// Whether what is copied may be taken by another thread.
    reads_ahead: bool,
    tee: Option<&'a File>,
    interrupt: &'a Interrupt,
    moved: &'a dyn Fn(usize),
}

/// Why no more is moved.
enum Ended {
    /// The source has ended, or the user wants no more.
    Well,
    /// One end has failed. These bytes were taken and not passed on.
    Failed { end: End, errno: Errno, rest: Vec<u8> },
}

impl Ended {
    fn failed(end: End, errno: Errno, rest: impl Into<Vec<u8>>) -> Self {
        Self::Failed { end, errno, rest: rest.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Target,
    Tee,
}

/// What came of moving in the kernel.
enum Attempt {
    Ended(Ended),
    /// One of the two cannot be spliced; these bytes were taken.
    Impossible(Vec<u8>),
}

impl Line<'_> {
    fn run(&self, mut pace: Pace) -> Ended {
        self.widen();
        let has_pipe = is_pipe(self.source) || is_pipe(self.target);
        let attempt = match (self.splices, has_pipe && self.tee.is_none()) {
            (false, _) => Attempt::Impossible(Vec::new()),
            (true, true) => self.direct(&mut pace),
            (true, false) => self.through_pipe(&mut pace),
        };
        match attempt {
            Attempt::Ended(ended) => ended,
            Attempt::Impossible(taken) => self.through_buffer(&taken, &mut pace),
        }
    }

    /// Gives the pipes at both ends as much room as a plain user's may have, if that can be had: whenever one is full, or
    /// empty, somebody sleeps and has to be woken, which takes as long as moving hundreds of kilobytes.
    fn widen(&self) {
        for end in [self.source, self.target] {
            if fcntl_getpipe_size(end).is_ok_and(|size| size < CHUNK) {
                let _ = fcntl_setpipe_size(end, CHUNK);
            }
        }
    }

    /// From one to the other at once: nothing is ever in between.
    fn direct(&self, pace: &mut Pace) -> Attempt {
        loop {
            if let Err(ended) = self.wait(pace) {
                return Attempt::Ended(ended);
            }
            match splice(self.source, None, self.target, None, pace.most(CHUNK), flags()) {
                Ok(0) => return Attempt::Ended(Ended::Well),
                Ok(count) => {
                    pace.moved(count);
                    (self.moved)(count);
                }
                // There was something to take, so it may be the target that has no room.
                Err(Errno::AGAIN) => self.wait_for_room(),
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) => return Attempt::Impossible(Vec::new()),
                Err(errno) => return Attempt::Ended(Ended::failed(self.whose(errno), errno, [])),
            }
        }
    }

    fn through_pipe(&self, pace: &mut Pace) -> Attempt {
        let Some(between) = Pipe::of(CHUNK) else { return Attempt::Impossible(Vec::new()) };
        let copy = self.tee.map(|file| (file, Pipe::of(between.capacity)));
        let copy = match &copy {
            Some((_, None)) => return Attempt::Impossible(Vec::new()),
            Some((file, Some(pipe))) => Some((*file, pipe)),
            None => None,
        };
        loop {
            if let Err(ended) = self.wait(pace) {
                return Attempt::Ended(ended);
            }
            let most = pace.most(between.capacity);
            let count = match splice(self.source, None, &between.write, None, most, flags()) {
                Ok(0) => return Attempt::Ended(Ended::Well),
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(Errno::INVAL) => return Attempt::Impossible(Vec::new()),
                Err(errno) => return Attempt::Ended(Ended::failed(End::Source, errno, [])),
            };
            if let Some((file, pipe)) = copy
                && let Err(errno) = pipe.write_copy_of(&between, count, file)
            {
                return Attempt::Ended(Ended::failed(End::Tee, errno, between.drain()));
            }
            pace.moved(count);
            if let Err(errno) = self.pass_on(&between, count) {
                let rest = between.drain();
                return match errno {
                    // Nothing of it has gone out.
                    Errno::INVAL if rest.len() == count => Attempt::Impossible(rest),
                    errno => Attempt::Ended(Ended::failed(End::Target, errno, rest)),
                };
            }
        }
    }

    /// Passes on what the pipe holds.
    fn pass_on(&self, between: &Pipe, mut count: usize) -> Result<(), Errno> {
        let mut patience = Patience::default();
        while count > 0 {
            match splice(&between.read, None, self.target, None, count, flags()) {
                Ok(moved) => {
                    count -= moved;
                    (self.moved)(moved);
                }
                Err(Errno::AGAIN) => self.wait_for_room(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if count > 0 {
                patience.last(self.interrupt)?;
            }
        }
        Ok(())
    }

    /// Begins with what was taken before, of which there is a copy already.
    fn through_buffer(&self, taken: &[u8], pace: &mut Pace) -> Ended {
        if let Err(ended) = self.write(taken, &mut Patience::default()) {
            return ended;
        }
        let mut room = vec![0; self.room];
        let mut flow = Flow::default();
        loop {
            if self.reads_ahead && flow.is_thick() {
                if let Some(ended) = ahead::relay(self) {
                    return ended;
                }
                flow = Flow::default();
            }
            if let Err(ended) = self.wait(pace) {
                return ended;
            }
            let most = pace.most(room.len());
            let bytes = match rustix::io::read(self.source, &mut room[..most]) {
                Ok(0) => return Ended::Well,
                Ok(count) => &room[..count],
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(errno) => return Ended::failed(End::Source, errno, []),
            };
            if let Some(mut file) = self.tee
                && let Err(error) = file.write_all(bytes)
            {
                return Ended::failed(End::Tee, errno_of(&error), bytes);
            }
            pace.moved(bytes.len());
            flow.read(bytes.len());
            if let Err(ended) = self.write(bytes, &mut Patience::default()) {
                return ended;
            }
        }
    }

    fn write(&self, mut bytes: &[u8], patience: &mut Patience) -> Result<(), Ended> {
        while !bytes.is_empty() {
            match rustix::io::write(self.target, bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    (self.moved)(count);
                }
                Err(Errno::AGAIN) => self.wait_for_room(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Ended::failed(End::Target, errno, bytes)),
            }
            if !bytes.is_empty() {
                patience.last(self.interrupt).map_err(|errno| Ended::failed(End::Target, errno, bytes))?;
            }
        }
        Ok(())
    }

    /// Waits until there is something to take; fails if there is a reason to take nothing more.
    fn wait(&self, pace: &mut Pace) -> Result<(), Ended> {
        if !pace.wait(self.interrupt) {
            return Err(Ended::Well);
        }
        wait_for_bytes(self.source, self.target, None, self.interrupt).map(drop)
    }

    fn wait_for_room(&self) {
        let _ = poll(&mut [PollFd::from_borrowed_fd(self.target, PollFlags::OUT)], None);
    }

    /// Whose fault an error of a move between the two is.
    fn whose(&self, errno: Errno) -> End {
        let mut polled = [PollFd::from_borrowed_fd(self.target, PollFlags::empty())];
        let is_broken = matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..));
        // A pipe has nothing that could fail.
        if errno == Errno::PIPE || is_broken || is_pipe(self.source) { End::Target } else { End::Source }
    }
}

/// Waits until there is something to take; fails if there is a reason to take nothing more. That the target has gone is such:
/// what is taken afterwards could not be passed on. `false`, and nothing is to be taken, if `stop` is readable.
fn wait_for_bytes(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    stop: Option<BorrowedFd<'_>>,
    interrupt: &Interrupt,
) -> Result<bool, Ended> {
    let (told, interest) = stop.map_or((target, PollFlags::empty()), |stop| (stop, PollFlags::IN));
    let mut polled = [
        PollFd::from_borrowed_fd(source, PollFlags::IN),
        // Nothing is asked of it: that it is broken is told unasked.
        PollFd::from_borrowed_fd(target, PollFlags::empty()),
        PollFd::from_borrowed_fd(told, interest),
    ];
    let asked = if stop.is_some() { 3 } else { 2 };
    loop {
        if interrupt.is_due() {
            return Err(Ended::Well);
        }
        // The error is that a handler ran.
        if poll(&mut polled[..asked], None).is_err() {
            continue;
        }
        if asked == 3 && !polled[2].revents().is_empty() {
            return Ok(false);
        }
        if polled[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(Ended::failed(End::Target, Errno::PIPE, []));
        }
        return Ok(true);
    }
}

/// Once the user wants to end, what was taken has a while to go, and no longer.
#[derive(Default)]
struct Patience(Option<Deadline>);

impl Patience {
    fn last(&mut self, interrupt: &Interrupt) -> Result<(), Errno> {
        if !interrupt.is_due() {
            return Ok(());
        }
        let last = self.0.get_or_insert_with(|| Deadline::after(LAST_CHANCE));
        if last.has_passed() { Err(Errno::CANCELED) } else { Ok(()) }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// A pipe of ours.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    /// With room for so much, or as much as can be had.
    fn of(capacity: usize) -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        // A user who has used up what all pipes may have gets the usual size.
        let _ = fcntl_setpipe_size(&write, capacity);
        let capacity = fcntl_getpipe_size(&write).ok()?;
        Some(Self { read, write, capacity })
    }

    /// Writes a copy of what another pipe holds into a file, by way of this one.
    fn write_copy_of(&self, other: &Self, count: usize, mut file: &File) -> Result<(), Errno> {
        let mut left = tee(&other.read, &self.write, count, SpliceFlags::NONBLOCK)?;
        if left < count {
            // Both have as many places, and this one is empty.
            return Err(Errno::NOBUFS);
        }
        while left > 0 {
            match splice(&self.read, None, file.as_fd(), None, left, SpliceFlags::MOVE) {
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                // What the kernel does not splice to.
                Err(Errno::INVAL) => return file.write_all(&self.drain()).map_err(|error| errno_of(&error)),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// All that is in it.
    fn drain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut room = vec![0; ROOM];
        loop {
            let mut polled = [PollFd::new(&self.read, PollFlags::IN)];
            match poll(&mut polled, Some(&Timespec::default())) {
                Ok(1..) => {}
                Err(Errno::INTR) => continue,
                _ => return bytes,
            }
            match rustix::io::read(&self.read, &mut room) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&room[..count]),
                Err(Errno::INTR) => {}
                _ => return bytes,
            }
        }
    }
}
