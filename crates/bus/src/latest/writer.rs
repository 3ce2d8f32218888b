//! The side that writes.

use core::fmt;
use core::ops::Range;

use rustix::fs::{FallocateFlags, fallocate};
use twixt_address::BusName;
use twixt_os::making::reserve_error;
use twixt_os::{Errno, ErrorKind, Maker, Mechanism, Result};

use crate::barrier::Light;
use crate::error::{check_maker, fault, kernel, malformed, refused};
use crate::hints::PAGE;
use crate::segment::{Making, Own, Peer, What, sweep};
use crate::site::{Options, Site};
use crate::sync::{AtomicU64, Ordering};
use crate::words::{WORD, copy_in};

use super::asking::Readers;
use super::reader::{Version, shape_of};
use super::state::{ABOUT, Keeper, Shape, control};
use super::{BUFFERS, MOST_READERS, segment};

/// Writes a state of which only the newest value counts. There is one writer at a time.
///
/// It never waits, whatever readers do. Dropping it says good-bye; the value stays, and whoever writes next goes on with the
/// versions.
///
/// ```
/// use twixt_bus::{LatestReader, LatestWriter, Options};
/// # let scratch = twixt_testkit::scratch();
/// # let place = twixt_bus::Place::at(scratch.path())?;
/// let name = twixt_address::BusName::new("position")?;
/// let options = Options::new().create(true);
/// # let options = options.place(place);
/// let mut writer = LatestWriter::open(&name, &options)?;
/// let mut reader = LatestReader::open(&name, &options)?;
/// let mut value = Vec::new();
/// assert_eq!(reader.read(&mut value)?, None);
/// writer.write(b"1.0 2.0")?;
/// let version = writer.write(b"1.5 2.5")?;
/// assert_eq!(reader.read(&mut value)?, Some(version));
/// assert_eq!(value, b"1.5 2.5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LatestWriter {
    site: Site,
    own: Own,
    keeper: Keeper,
    shape: Shape,
    readers: Readers,
    roster: u32,
    /// How often readers had asked when it was looked last.
    asked: u32,
    /// Up to which byte of each buffer there is memory.
    reserved: [usize; BUFFERS],
    light: Light,
    maker: Maker,
}

impl LatestWriter {
    /// Becomes the writer of a state.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) if another process is; [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another message
    /// size or type; [`NoSpace`](ErrorKind::NoSpace) if the file system is full.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        let site = super::reader::open_site(name, options)?;
        let shape = shape_of(&site);
        let (own, keeper) = take_segment(&site, shape)?;
        site.hints.change_roster();
        let writer = Self {
            readers: Readers::default(),
            roster: site.hints.roster(),
            asked: site.hints.asked.word().load(Ordering::Relaxed).wrapping_sub(1),
            reserved: [0; BUFFERS],
            light: Light::register(),
            maker: Maker::this(),
            shape,
            own,
            keeper,
            site,
        };
        writer.ring();
        Ok(writer)
    }

    /// Writes a value, and says which version it is.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for more than [`longest`](Self::longest) bytes; [`NoSpace`](ErrorKind::NoSpace) if it is
    /// longer than those before and the file system has no room; [`Removed`](ErrorKind::Removed) if somebody has removed the
    /// state. Then the value is what it was.
    #[inline]
    pub fn write(&mut self, value: &[u8]) -> Result<Version> {
        self.write_with(value.len(), |words| copy_in(words, value))
    }

    /// Writes a value of `len` bytes that `fill` writes in place, word by word, with relaxed stores. The last word may have bytes
    /// that are not the value's; what was there before is of no use.
    ///
    /// # Errors
    /// As [`write`](Self::write); then `fill` was not called.
    #[inline]
    pub fn write_with(&mut self, len: usize, fill: impl FnOnce(&[AtomicU64])) -> Result<Version> {
        if self.roster != self.site.hints.roster() || !self.maker.is_this() {
            self.look_around()?;
        }
        if len > self.shape.size {
            return Err(self.too_long(len));
        }
        if self.keeper.has_granted() {
            self.keeper.release(|reader| self.readers.request(reader));
        }
        let buffer = self.keeper.choose();
        if self.reserved[buffer] < len || self.reserved[buffer] == 0 {
            self.reserve(buffer, len)?;
        }
        fill(self.keeper.begin(buffer, len));
        self.keeper.publish(buffer, len);
        self.keeper.check().map_err(|why| fault("write to", &self.site.object, why))?;
        self.light.fence(|| self.site.hints.asks_for_fences());
        if self.site.hints.filled.is_awaited() {
            self.ring();
        }
        // Acquire: pairs with the Release of a reader that asks, whose request is then seen.
        let asked = self.site.hints.asked.word().load(Ordering::Acquire);
        if asked != self.asked {
            self.asked = asked;
            self.answer();
        }
        Ok(Version::of(self.keeper.version()))
    }

    /// The newest version, if there is one: another writer's at first.
    pub fn version(&self) -> Option<Version> {
        Version::some(self.keeper.version())
    }

    /// How many values all its writers have written, and how many bytes.
    pub fn written(&self) -> (u64, u64) {
        (self.keeper.version(), self.keeper.bytes())
    }

    /// The most bytes of a value.
    pub fn longest(&self) -> usize {
        self.shape.size
    }

    /// How many readers there are, as far as is known.
    ///
    /// # Errors
    /// Those of looking into the state's directory.
    pub fn readers(&mut self) -> Result<usize> {
        self.readers.refresh(&self.site)?;
        Ok(self.readers.len())
    }

    #[cold]
    fn too_long(&self, len: usize) -> twixt_os::Error {
        let why = format!("the value has {len} bytes, and {} is the most", self.shape.size);
        refused("write to", &self.site.object, ErrorKind::TooLong, why)
            .with_advice("make the state with a larger message size")
    }

    /// What is done rarely: to see whether it is still there.
    #[cold]
    fn look_around(&mut self) -> Result<()> {
        check_maker(self.maker, "write to", &self.site.object)?;
        let roster = self.site.hints.roster();
        if !self.site.has_name() {
            return Err(self.site.removed("write to"));
        }
        self.roster = roster;
        Ok(())
    }

    /// Keeps the value for those that ask.
    #[cold]
    fn answer(&mut self) {
        // Those that cannot be found get nothing, and ask again.
        let _ = self.readers.refresh(&self.site);
        // Those that want nothing any more take nothing away from others.
        self.keeper.release(|reader| self.readers.request(reader));
        for (reader, request) in self.readers.requests() {
            self.keeper.grant(reader, request);
        }
    }

    #[cold]
    fn ring(&self) {
        self.site.hints.set_rung();
        if self.site.hints.filled.ring().doorbells {
            self.site.ring_doorbells('r');
        }
    }

    /// Has the file system provide memory for a value of that length.
    #[cold]
    fn reserve(&mut self, buffer: usize, len: usize) -> Result<()> {
        let begin = WORD * (segment::BUFFERS + buffer * self.shape.stride());
        let bytes = pages(begin..begin + WORD * ABOUT + len.next_multiple_of(WORD));
        let (offset, length) =
            (bytes.start as u64, (bytes.end.min(self.own.mapping().len()) - bytes.start) as u64);
        let file = self.own.file();
        // The length stays, so that a file that somebody has truncated does not come back to life with zeros.
        let attempt = || fallocate(file, FallocateFlags::KEEP_SIZE, offset, length);
        let reserved = match attempt() {
            Err(Errno::INTR) => twixt_sys::signal::with_signals_blocked(attempt),
            reserved => reserved,
        };
        match reserved {
            // Where nothing can be reserved, what is missing is a value that is not written.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.reserved[buffer] = len.max(1);
                Ok(())
            }
            Err(errno @ (Errno::NOSPC | Errno::FBIG)) => {
                let object = self.site.object.clone();
                Err(reserve_error(Mechanism::Bus, "write to", object, errno, length))
            }
            Err(errno) => Err(kernel("write to", self.own.path(), errno)),
        }
    }
}

/// The whole pages that some bytes lie in.
fn pages(bytes: Range<usize>) -> Range<usize> {
    bytes.start / PAGE * PAGE..bytes.end.next_multiple_of(PAGE)
}

/// Becomes the writer: of what another has left, or of a fresh segment.
fn take_segment(site: &Site, shape: Shape) -> Result<(Own, Keeper)> {
    let path = site.path('w', 0);
    let making = Making {
        reserved: WORD * segment::BUFFERS,
        ..site.making(What::State, WORD * (segment::BUFFERS + shape.words()))
    };
    let nonsense = || malformed("write to", &site.object, "what another has left makes no sense");
    for _ in 0..8 {
        let taken = match Own::adopt(&path, What::State, site.number) {
            Ok(None) => Own::create(&path, making, |_| {}),
            taken => taken,
        };
        let adopted = taken.and_then(|own| {
            let Some(own) = own else { return Ok(None) };
            if own.mapping().len() != making.len {
                return Err(nonsense());
            }
            let keeper = Keeper::adopt(
                shape,
                own.words(segment::CONTROL, control::WORDS)?,
                own.words(segment::GRANTS, MOST_READERS)?,
                own.words(segment::BUFFERS, shape.words())?,
            );
            Ok(Some((own, keeper.ok_or_else(nonsense)?)))
        });
        match adopted {
            Ok(Some(taken)) => return Ok(taken),
            Ok(None) => {}
            // What belongs to nobody is in the way, and goes.
            Err(error) if matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Truncated) => {
                if !sweep(&path) {
                    return Err(error);
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        if !site.has_name() {
            return Err(site.removed("write to"));
        }
        if let Ok(Some(peer)) = Peer::open(&path, What::State, Some(site.number))
            && crate::segment::is_held(&peer)
        {
            let why = format!("process {} writes it", peer.process().pid);
            return Err(refused("write to", &site.object, ErrorKind::Busy, why));
        }
    }
    let why = "others begin and end to write it all the time";
    Err(refused("write to", &site.object, ErrorKind::Busy, why))
}

impl Drop for LatestWriter {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        self.keeper.close();
        self.site.hints.change_roster();
        self.ring();
    }
}

impl fmt::Debug for LatestWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestWriter")
            .field("site", &self.site.object)
            .field("version", &self.keeper.version())
            .finish_non_exhaustive()
    }
}
