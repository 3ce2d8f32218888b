//! The POSIX family: a file or a shared memory object, semaphores in its memory, and locks as evidence of life.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::rand::{GetRandomFlags, getrandom};
use twixt_address::Endpoint;
use twixt_os::lock::{File, Kind};
use twixt_os::mmap::{Memory, Options};
use twixt_os::posix::sem::Semaphore;
use twixt_os::posix::shm::{Access, SharedMemory};
use twixt_os::{Errno, Error, ErrorKind, Wait};

use crate::Opening;
use crate::mechanism::create;
use crate::origin::Origin;

use super::duplex::{Party, Places};
use super::fault::{Fault, Result};
use super::guard::{Bell, Bells, Guard, Nap, impatience, nap, patience};
use super::layout::{Control, DESCRIPTION, Family, HEADER, Purpose, Shape, link};
use super::owner;
use super::space::Space;
use super::step::step;

/// Participant `n` holds a lock on byte `LIFE + n`, far beyond the end of every file.
const LIFE: u64 = 1 << 62;
/// Whoever makes a ring of an object that is there holds this byte meanwhile.
const MAKING: u64 = LIFE - 1;
/// How many numbers to draw. That as many as two are taken already happens to nobody, unless somebody has taken them all.
const MOST_DRAWN: u32 = 16;
/// How often to look whether somebody has left, before asking whether he lives.
const SPINS: u32 = 200;

/// A participant of a ring.
pub(crate) struct Posix {
    /// The first page, with the semaphores and the owner words. It never moves, and can be used when the rest was found
    /// cut off: the section must be left even then.
    control: Arc<Memory>,
    /// All of it, as far as it was mapped.
    whole: Arc<Memory>,
    shared: SharedMemory,
    /// The same open file, whose lock says that this participant lives. It is kept to the end.
    life: File,
    number: u64,
    spins: u32,
    bells: Vec<[Semaphore; 3]>,
}

/// Opens the object that the address names, or makes it.
pub(crate) fn open(opening: &Opening, purpose: Purpose) -> twixt_os::Result<(Posix, Shape)> {
    let origin = Origin::of(opening);
    let options = opening.address().options();
    let (capacity, size) = (opening.capacity(), options.size());
    super::refuse_without_create(opening)?;
    // What is asked for is judged before anything is touched.
    let wanted = super::unfit(Shape::new(purpose, capacity, size), "open", &origin)?;
    // Somebody may make and remove it all the time, but hardly this often without ill will.
    for _ in 0..100 {
        match find(opening.endpoint()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !options.create() {
                    return Err(create::or_advise(error));
                }
            }
            found => {
                let shared = found?;
                let shape = match recognise(&shared, purpose, &origin)? {
                    Some(shape) => shape,
                    None => convert(&shared, purpose, opening, &origin)?,
                };
                super::unfit(shape.meets(capacity, size), "open", &origin)?;
                return Ok((Posix::new(shared, shape, &origin)?, shape));
            }
        }
        match make(opening, &wanted) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok((Posix::new(made?, wanted, &origin)?, wanted)),
        }
    }
    Err(origin.refused("open", ErrorKind::Busy, "other processes make and remove it all the time"))
}

fn find(endpoint: &Endpoint) -> twixt_os::Result<SharedMemory> {
    match endpoint {
        Endpoint::PosixShm(name) => SharedMemory::open(name, Access::ReadWrite),
        Endpoint::Mmap(path) => {
            // A part is mapped for a moment: what is wanted is the file.
            let file = Options::new().len(1).open(path)?;
            SharedMemory::from_fd(OwnedFd::from(file))
        }
        _ => unreachable!("the mechanisms of this family"),
    }
}

fn make(opening: &Opening, shape: &Shape) -> twixt_os::Result<SharedMemory> {
    // Only the first step of a ring that grows is reserved now.
    let size = shape.whole(shape.first).unwrap_or(u64::MAX);
    let fill = |memory: Arc<Memory>| {
        prepare(&memory, shape).map_err(|fault| fault.of("create", &Origin::of(opening)))
    };
    match opening.endpoint() {
        Endpoint::PosixShm(name) => SharedMemory::create_with(name, size, opening.mode(), fill),
        Endpoint::Mmap(path) => {
            let len = usize::try_from(size).unwrap_or(usize::MAX);
            let file = Options::new().mode(opening.mode()).create_with(path, len, fill)?;
            SharedMemory::from_fd(OwnedFd::from(file))
        }
        _ => unreachable!("the mechanisms of this family"),
    }
}

/// Makes a ring of zeroed memory that nobody else uses. The magic number comes last.
fn prepare(memory: &Arc<Memory>, shape: &Shape) -> Result<()> {
    memory.write(0, &shape.describe(Family::Posix))?;
    for number in 0..shape.rings() {
        shape.queue(number).initialise(&**memory)?;
        for offset in bells_of(number) {
            Semaphore::initialise(Arc::clone(memory), offset, 0)?;
        }
    }
    memory.store(0, shape.purpose.magic())
}

fn bells_of(number: usize) -> [usize; 3] {
    let control = Control::of(number);
    [control.messages(), control.room(), control.taken()]
}

/// The shape of a ring that is there; `None` if all of its header is zero.
fn recognise(shared: &SharedMemory, purpose: Purpose, origin: &Origin) -> twixt_os::Result<Option<Shape>> {
    let size = shared.size()?;
    if size < HEADER as u64 {
        let why = "it is too short to be a ring";
        return Err(origin.refused("open", ErrorKind::Malformed, why));
    }
    let header = super::in_terms_of(shared.map_range(0, HEADER, Access::ReadWrite), origin)?;
    let mut bytes = [0; HEADER];
    header.read(0, &mut bytes)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut description = [0; DESCRIPTION];
    description.copy_from_slice(&bytes[..DESCRIPTION]);
    super::unfit(Shape::read(&description, purpose, Family::Posix, size), "open", origin).map(Some)
}

/// Makes a ring of an object of nothing but zeros, as `twixt mk` makes them; one process at a time does it.
fn convert(
    shared: &SharedMemory,
    purpose: Purpose,
    opening: &Opening,
    origin: &Origin,
) -> twixt_os::Result<Shape> {
    if !opening.address().options().create() {
        let why = "it is not a ring: it holds nothing but zeros";
        return Err(origin
            .refused("open", ErrorKind::Malformed, why)
            .with_advice("add ?create to make a ring of it, if nobody else uses it"));
    }
    let making = File::from_fd(super::duplicate(shared.as_fd(), origin)?);
    let _alone = making.lock_range_wait(Kind::Exclusive, MAKING..=MAKING, opening.opening_wait())?;
    if let Some(shape) = recognise(shared, purpose, origin)? {
        return Ok(shape);
    }
    let size = shared.size()?;
    let memory = Arc::new(super::in_terms_of(shared.map(Access::ReadWrite), origin)?);
    if !is_zero(&memory)? {
        let why = "it is not a ring";
        return Err(origin.refused("open", ErrorKind::Malformed, why));
    }
    // It may be as sparse as `ftruncate(2)` makes files.
    fallocate(shared, FallocateFlags::empty(), 0, size).or_else(|errno| match errno {
        Errno::OPNOTSUPP => Ok(()),
        _ => Err(Error::kernel(origin.mechanism, "reserve", origin.object.clone(), errno)),
    })?;
    let whole = if opening.capacity().is_none() { Some(size) } else { None };
    let shape = super::unfit(Shape::new(purpose, opening.capacity(), whole), "open", origin)?;
    if shape.whole(shape.first).is_none_or(|needed| needed > size) {
        let why = "it is there, and too short for that capacity";
        return Err(origin.refused("open", ErrorKind::InvalidInput, why));
    }
    prepare(&memory, &shape).map_err(|fault| fault.of("open", origin))?;
    Ok(shape)
}

fn is_zero(memory: &Memory) -> twixt_os::Result<bool> {
    let mut block = [0; 1 << 16];
    let mut at = 0;
    while at < memory.len() {
        let len = block.len().min(memory.len() - at);
        memory.read(at, &mut block[..len])?;
        if block[..len].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

impl Posix {
    fn new(shared: SharedMemory, shape: Shape, origin: &Origin) -> twixt_os::Result<Self> {
        let size = shared.size()?;
        let len = shape.whole(if shape.grows() { shape.first } else { shape.most }).unwrap_or(u64::MAX);
        if size < len {
            return Err(origin.refused("open", ErrorKind::Truncated, "another process cut it off"));
        }
        let map = |len: u64| {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            super::in_terms_of(shared.map_range(0, len, Access::ReadWrite), origin).map(Arc::new)
        };
        let (control, whole) = (map(HEADER as u64)?, map(len)?);
        let life = File::from_fd(super::duplicate(shared.as_fd(), origin)?);
        let number = begin_to_live(&life, origin)?;
        let mut bells = Vec::new();
        for ring in 0..shape.rings() {
            let [messages, room, taken] = bells_of(ring);
            let attach = |offset| Semaphore::attach(Arc::clone(&control), offset);
            bells.push([attach(messages)?, attach(room)?, attach(taken)?]);
        }
        // Whoever spins on the only processor keeps off it the one that he waits for.
        let spins = if available_parallelism().is_ok_and(|cpus| cpus.get() > 1) { SPINS } else { 0 };
        Ok(Self { control, whole, shared, life, number, spins, bells })
    }

    /// Whether the participant of this number lives.
    fn is_alive(&self, number: u64) -> twixt_os::Result<bool> {
        // The kernel does not tell one of one's own locks.
        if number == self.number {
            return Ok(true);
        }
        let byte = LIFE + number % LIFE;
        Ok(number < LIFE && self.life.range_conflict(Kind::Exclusive, byte..=byte)?.is_some())
    }

    /// Takes an owner word of the header, waiting as told.
    fn take_word(&self, at: usize, wait: Wait) -> Result<()> {
        let word = self.control.atomic_u64(at)?;
        if owner::try_take(word, self.number).is_ok() {
            return self.still_there(());
        }
        self.take_word_slowly(at, wait)
    }

    #[cold]
    fn take_word_slowly(&self, at: usize, wait: Wait) -> Result<()> {
        let word = self.control.atomic_u64(at)?;
        for _ in 0..self.spins {
            core::hint::spin_loop();
            if owner::Word::load(word) == 0 && owner::try_take(word, self.number).is_ok() {
                return self.still_there(());
            }
        }
        let mut failure = None;
        let taken = patience(wait).with_backoff(|| {
            let outcome = self
                .control
                .check()
                .and_then(|()| owner::take_or_inherit(word, self.number, |owner| self.is_alive(owner)));
            match outcome {
                Ok(true) => Ok(()),
                Ok(false) => Err(Errno::AGAIN),
                Err(error) => {
                    failure = Some(error);
                    Err(Errno::IO)
                }
            }
        });
        match (taken, failure) {
            (_, Some(error)) => Err(error.into()),
            (Ok(()), None) => self.still_there(()),
            (Err(errno), None) => Err(impatience(wait, errno)),
        }
    }

    fn give_word_back(&self, at: usize) -> Result<()> {
        owner::give_back(self.control.atomic_u64(at)?, self.number);
        Ok(())
    }

    /// Missing memory reads as zeros, and every word in it can be had.
    fn still_there<T>(&self, value: T) -> Result<T> {
        self.control.check()?;
        Ok(value)
    }

    fn bell(&self, ring: usize, bell: Bell) -> &Semaphore {
        &self.bells[ring][bell as usize]
    }
}

/// Draws a number that nobody has or had, and locks its byte for as long as the file is open.
fn begin_to_live(life: &File, origin: &Origin) -> twixt_os::Result<u64> {
    for _ in 0..MOST_DRAWN {
        let mut bytes = [0; 8];
        getrandom(&mut bytes[..], GetRandomFlags::empty())
            .map_err(|errno| Error::kernel(origin.mechanism, "open", origin.object.clone(), errno))?;
        let number = u64::from_ne_bytes(bytes) % LIFE;
        if number == 0 {
            continue;
        }
        let byte = LIFE + number;
        match life.try_lock_range(Kind::Exclusive, byte..=byte) {
            Ok(lock) => {
                // It goes when the file is closed, and not before: also if this process is killed.
                core::mem::forget(lock);
                return Ok(number);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let why = "another process has locked what tells the participants apart";
    Err(origin.refused("open", ErrorKind::Busy, why))
}

impl Guard for Posix {
    fn memory(&self) -> &Memory {
        &self.whole
    }

    fn map(&mut self, whole: u64) -> Result<()> {
        let len = usize::try_from(whole).unwrap_or(usize::MAX);
        if len > self.whole.len() {
            self.whole = match self.shared.map_range(0, len, Access::ReadWrite) {
                Ok(memory) => Arc::new(memory),
                Err(error) if error.kind() == ErrorKind::OutOfRange => return Err(Fault::Truncated),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(())
    }

    fn reserve(&mut self, whole: u64) -> Result<()> {
        if self.shared.size()? < whole {
            self.shared.resize(whole)?;
        }
        self.map(whole)
    }

    fn enter(&self, ring: usize, wait: Wait) -> Result<()> {
        self.take_word(Control::of(ring).owner(), wait)
    }

    fn leave(&self, ring: usize, bells: Bells) -> Result<()> {
        self.give_word_back(Control::of(ring).owner())?;
        for bell in bells.each() {
            step();
            self.ring(ring, bell)?;
        }
        Ok(())
    }

    fn sleep(&self, ring: usize, bell: Bell, wait: Wait) -> Result<Nap> {
        nap(wait, |wait| self.bell(ring, bell).acquire_wait(wait))
    }

    fn silence(&self, ring: usize, bell: Bell) -> Result<()> {
        let offset = bells_of(ring)[bell as usize];
        Semaphore::initialise(Arc::clone(&self.control), offset, 0)?;
        Ok(())
    }

    fn try_take_slot(&self, ring: usize) -> Result<bool> {
        let word = self.control.atomic_u64(Control::of(ring).slot())?;
        let taken = owner::take_or_inherit(word, self.number, |owner| self.is_alive(owner))?;
        self.still_there(taken)
    }

    fn free_slot(&self, ring: usize) -> Result<()> {
        self.give_word_back(Control::of(ring).slot())
    }

    fn slot_is_held(&self, ring: usize) -> Result<bool> {
        let holder = owner::Word::load(self.control.atomic_u64(Control::of(ring).slot())?);
        Ok(holder != 0 && self.is_alive(holder)?)
    }

    fn spins(&self) -> u32 {
        self.spins
    }
}

impl Places for Posix {
    fn enter_gate(&self, wait: Wait) -> Result<()> {
        self.take_word(link::GATE, wait)
    }

    fn leave_gate(&self) -> Result<()> {
        self.give_word_back(link::GATE)
    }

    fn try_take_place(&self, party: Party) -> Result<bool> {
        let word = self.control.atomic_u64(place(party))?;
        let taken = owner::take_or_inherit(word, self.number, |owner| self.is_alive(owner))?;
        self.still_there(taken)
    }

    fn leave_place(&self, party: Party) -> Result<()> {
        self.give_word_back(place(party))
    }

    fn is_present(&self, party: Party) -> Result<bool> {
        let holder = owner::Word::load(self.control.atomic_u64(place(party))?);
        self.still_there(())?;
        Ok(holder != 0 && self.is_alive(holder)?)
    }

    fn evict_client(&self) -> Result<()> {
        self.control.store(link::CLIENT, 0)
    }

    fn ring(&self, ring: usize, bell: Bell) -> Result<()> {
        match self.bell(ring, bell).release() {
            // Otherwise it rings already, as often as a semaphore can.
            Err(error) if error.kind() != ErrorKind::OutOfRange => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Where the number of a side stands.
const fn place(party: Party) -> usize {
    match party {
        Party::Server => link::SERVER,
        Party::Client => link::CLIENT,
    }
}
