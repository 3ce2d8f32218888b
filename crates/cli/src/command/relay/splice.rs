//! Moving bytes from stream to stream: within the kernel (`splice(2)`) or through a buffer, whichever is faster.
//!
//! What was taken is passed on before anything else is taken. If that fails it is saved, as is what was read ahead.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::ioctl_fionread;
use rustix::net::{AddressFamily, sockopt};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use twixt::os::{Deadline, Errno, Error, Mechanism, Object, Room};

use super::pace::Pace;
use super::{Failure, Way};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::undelivered::{Form, Undelivered};

mod ahead;
mod choice;
mod kernel;

use choice::{Choice, Means, Tally};

/// What a pipe of ours holds, and what is moved at once where there is none: as much as a plain user's pipe may have.
const CHUNK: usize = 1 << 20;
/// Room for what is copied, which stays in the processor's cache.
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
        let (tee, interrupt) = (self.tee.as_ref(), self.interrupt);
        let (usual, rivals) = means(source, target);
        let line = Line {
            source,
            target,
            usual,
            // Who wants a copy, or no more than so much a second, does not want it to be as fast as can be.
            rivals: rivals.filter(|_| tee.is_none() && self.arguments.rate.is_none()),
            room: if is_internet(source) { ROOM_FROM_TCP } else { ROOM },
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
    /// How bytes are moved while few come at a time.
    usual: Means,
    /// Between which ways to choose while many do.
    rivals: Option<[Means; 2]>,
    /// How much is copied at once.
    room: usize,
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

/// What came of a stint.
enum Moved {
    /// As much as it was to move, or as little as is better moved in another way.
    Enough,
    /// Nothing more can be moved.
    Last(Ended),
    /// One of the two cannot be spliced. These bytes were taken, and copied for --tee.
    Impossible(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Target,
    Tee,
}

impl Line<'_> {
    fn run(&self, mut pace: Pace) -> Ended {
        self.widen();
        let mut choice = Choice::new(self.usual, self.rivals);
        loop {
            let stint = choice.next();
            let mut tally = Tally::of(stint);
            let moved = match stint.means {
                Means::Splice => self.in_kernel(&mut tally, &mut pace),
                Means::Copy => self.through_buffer(&mut tally, &mut pace),
                Means::Ahead => self.read_ahead(&mut tally),
            };
            match moved {
                Moved::Enough => choice.learn(&tally),
                Moved::Last(ended) => return ended,
                Moved::Impossible(taken) => {
                    choice.rule_out_splicing();
                    if let Err(ended) = self.write(&taken, &mut Patience::default()) {
                        return ended;
                    }
                }
            }
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

    /// Moves bytes through a buffer until the tally is full.
    fn through_buffer(&self, tally: &mut Tally, pace: &mut Pace) -> Moved {
        let mut room = Room::with_len(self.room);
        while !tally.is_done() {
            if let Err(ended) = self.wait(pace) {
                return Moved::Last(ended);
            }
            let most = pace.most(room.len());
            let bytes = match rustix::io::read(self.source, &mut room[..most]) {
                Ok(0) => return Moved::Last(Ended::Well),
                Ok(count) => &room[..count],
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(errno) => return Moved::Last(Ended::failed(End::Source, errno, [])),
            };
            if let Some(mut file) = self.tee
                && let Err(error) = file.write_all(bytes)
            {
                return Moved::Last(Ended::failed(End::Tee, errno_of(&error), bytes));
            }
            pace.moved(bytes.len());
            if let Err(ended) = self.write(bytes, &mut Patience::default()) {
                return Moved::Last(ended);
            }
            tally.moved(bytes.len());
        }
        Moved::Enough
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

/// How bytes are usually moved between two, and which ways are worth a trial.
///
/// Out of sockets and between pipes the kernel moves what it has as it is. Into sockets it takes it a page at a time, which
/// may cost more than a copy, or not.
fn means(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> (Means, Option<[Means; 2]>) {
    if is_internet(target) {
        // From TCP to TCP another thread gains nothing: most of the work is the kernel's, which shares it out as it is.
        let copying = if is_internet(source) { Means::Copy } else { Means::Ahead };
        (Means::Copy, Some([copying, Means::Splice]))
    } else if is_pipe(source) && sockopt::socket_domain(target).is_ok() {
        (Means::Splice, Some([Means::Splice, Means::Ahead]))
    } else {
        (Means::Splice, None)
    }
}

/// Whether it is a connection of TCP.
fn is_internet(descriptor: BorrowedFd<'_>) -> bool {
    sockopt::socket_domain(descriptor)
        .is_ok_and(|domain| matches!(domain, AddressFamily::INET | AddressFamily::INET6))
}

fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
