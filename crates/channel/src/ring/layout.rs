//! The bytes of the object: what stands where, and what its header says.
//!
//! `docs/ring-format.md` tells the same to people.

use twixt_os::ErrorKind;

use crate::Capacity;

use super::queue::{FRAME, Queue};

/// Where the areas begin.
pub(crate) const HEADER: usize = 4096;
/// What tells a mailbox from everything else.
const MAILBOX: u64 = u64::from_le_bytes(*b"twxtring");
/// What tells a connection from everything else.
const DUPLEX: u64 = u64::from_le_bytes(*b"twxtdupl");
const VERSION: u32 = 1;
/// The bytes that say what the object is.
pub(crate) const DESCRIPTION: usize = 64;
/// The least bytes of a ring: a frame's header, and a word.
pub(crate) const LEAST: u64 = 16;
/// The bytes of a ring that nobody said anything about.
const DEFAULT: u64 = 1 << 20;
/// How many bytes an unbounded ring has at first, at most.
const FIRST_STEP: u64 = 64 << 10;

/// Where the header keeps one more than the number of the semaphore set; 0 if it has none.
pub(crate) const SET: usize = 64;
/// The words of a connection.
pub(crate) mod link {
    /// The participant that arranges who is there (the POSIX family).
    pub(crate) const GATE: usize = 128;
    /// The listening side's number (the POSIX family).
    pub(crate) const SERVER: usize = 136;
    /// The connecting side's number (the POSIX family).
    pub(crate) const CLIENT: usize = 144;
    /// Four times the number of the session, and its phase.
    pub(crate) const SESSION: usize = 152;
    /// What the listening side has closed.
    pub(crate) const SERVER_CLOSED: usize = 160;
    /// What the connecting side has closed.
    pub(crate) const CLIENT_CLOSED: usize = 168;
}

/// Where the words of ring `number` stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control(usize);

impl Control {
    pub(crate) const fn of(number: usize) -> Self {
        Self(256 + number * 256)
    }

    /// Who is in the section (the POSIX family).
    pub(crate) const fn owner(self) -> usize {
        self.0
    }

    /// How many bytes have ever been taken.
    pub(crate) const fn head(self) -> usize {
        self.0 + 8
    }

    /// How many bytes have ever been put.
    pub(crate) const fn tail(self) -> usize {
        self.0 + 16
    }

    /// How many bytes the ring has now.
    pub(crate) const fn length(self) -> usize {
        self.0 + 24
    }

    /// How many receivers sleep, or are about to.
    pub(crate) const fn receivers(self) -> usize {
        self.0 + 32
    }

    /// How many senders sleep, or are about to.
    pub(crate) const fn senders(self) -> usize {
        self.0 + 40
    }

    /// What became of the message that is offered.
    pub(crate) const fn offer(self) -> usize {
        self.0 + 48
    }

    /// Who may offer (the POSIX family).
    pub(crate) const fn slot(self) -> usize {
        self.0 + 56
    }

    /// The semaphore that receivers sleep on (the POSIX family).
    pub(crate) const fn messages(self) -> usize {
        self.0 + 64
    }

    /// The semaphore that senders sleep on (the POSIX family).
    pub(crate) const fn room(self) -> usize {
        self.0 + 96
    }

    /// The semaphore that the one who offers sleeps on (the POSIX family).
    pub(crate) const fn taken(self) -> usize {
        self.0 + 128
    }
}

/// What the object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One ring that everybody sends to and receives from.
    Mailbox,
    /// A ring there and a ring back.
    Duplex,
}

impl Purpose {
    pub(crate) const fn magic(self) -> u64 {
        match self {
            Self::Mailbox => MAILBOX,
            Self::Duplex => DUPLEX,
        }
    }

    const fn rings(self) -> usize {
        match self {
            Self::Mailbox => 1,
            Self::Duplex => 2,
        }
    }
}

/// Whose semaphores guard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Posix = 1,
    SystemV = 2,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discipline {
    /// What the ring holds.
    Bounded,
    /// Nothing: a sender waits until its message has been taken.
    Zero,
    /// Anything within a budget of bytes.
    Unbounded {
        /// The budget.
        budget: u64,
    },
}

/// The shape of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) purpose: Purpose,
    pub(crate) discipline: Discipline,
    /// The bytes of a ring when it is new.
    pub(crate) first: u64,
    /// The bytes of a ring at most: `first`, doubled some times.
    pub(crate) most: u64,
}

/// What is wrong with an address or an object, in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
}

fn unfit<T>(kind: ErrorKind, why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit { kind, why: why.into() })
}

impl Shape {
    /// The shape that the options ask for; `whole` is the size of the object where that is given.
    pub(crate) fn new(
        purpose: Purpose,
        capacity: Option<Capacity>,
        whole: Option<u64>,
    ) -> Result<Self, Unfit> {
        let rings = purpose.rings() as u64;
        let bytes = match (whole, capacity) {
            (Some(whole), None) => (whole.saturating_sub(HEADER as u64) / rings) & !7,
            (_, Some(Capacity::Bytes(bytes))) => bytes,
            (_, Some(Capacity::Unbounded { budget })) => budget,
            _ => DEFAULT,
        };
        if bytes < LEAST {
            let least = HEADER as u64 + rings * LEAST;
            return unfit(
                ErrorKind::OutOfRange,
                match whole {
                    Some(whole) => format!("the object has {whole} bytes, and {least} is the least"),
                    None => format!("a ring has at least {LEAST} bytes, not {bytes}"),
                },
            );
        }
        let discipline = match capacity {
            Some(Capacity::Zero) => Discipline::Zero,
            Some(Capacity::Unbounded { budget }) => Discipline::Unbounded { budget },
            _ => Discipline::Bounded,
        };
        // Such that doubling leads from the first step to no less than all of it.
        let doublings = match discipline {
            Discipline::Unbounded { .. } => {
                bytes.div_ceil(FIRST_STEP).checked_next_power_of_two().map_or(63, u64::trailing_zeros)
            }
            _ => 0,
        };
        let first = bytes.div_ceil(1 << doublings).next_multiple_of(8);
        let most = first.checked_mul(1 << doublings);
        let shape = Self { purpose, discipline, first, most: most.unwrap_or(u64::MAX) };
        if shape.whole(shape.most).is_none() {
            let why = format!("{bytes} bytes are more than any memory has addresses for");
            return unfit(ErrorKind::OutOfRange, why);
        }
        Ok(shape)
    }

    /// How many rings there are.
    pub(crate) const fn rings(&self) -> usize {
        self.purpose.rings()
    }

    /// Whether its rings grow.
    pub(crate) const fn grows(&self) -> bool {
        matches!(self.discipline, Discipline::Unbounded { .. })
    }

    /// Where ring `number` lies.
    pub(crate) fn queue(&self, number: usize) -> Queue {
        let area = HEADER + number * usize::try_from(self.most).unwrap_or(usize::MAX);
        Queue { control: Control::of(number), area, first: self.first, most: self.most }
    }

    /// The bytes of an object whose rings have `length` bytes each.
    pub(crate) fn whole(&self, length: u64) -> Option<u64> {
        let whole = length.checked_mul(self.purpose.rings() as u64)?.checked_add(HEADER as u64)?;
        i64::try_from(whole).is_ok().then_some(whole)
    }

    /// The most bytes of a message.
    pub(crate) fn longest(&self) -> usize {
        let ring = match self.discipline {
            Discipline::Unbounded { budget } => budget & !7,
            _ => self.most,
        };
        usize::try_from(ring.saturating_sub(FRAME).min(u32::MAX.into())).unwrap_or(usize::MAX)
    }

    /// How much may wait, as users are told.
    pub(crate) fn capacity(&self) -> Capacity {
        match self.discipline {
            Discipline::Bounded => Capacity::Bytes(self.most),
            Discipline::Zero => Capacity::Zero,
            Discipline::Unbounded { budget } => Capacity::Unbounded { budget },
        }
    }

    /// The header's description, but for the magic number, which is stored last.
    pub(crate) fn describe(&self, family: Family) -> [u8; DESCRIPTION] {
        let (discipline, budget) = match self.discipline {
            Discipline::Bounded => (1, 0),
            Discipline::Zero => (2, 0),
            Discipline::Unbounded { budget } => (3, budget),
        };
        let mut bytes = [0; DESCRIPTION];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(8, &VERSION.to_le_bytes());
        put(12, &(family as u32).to_le_bytes());
        put(16, &u32::to_le_bytes(discipline));
        put(20, &(self.purpose.rings() as u32).to_le_bytes());
        put(24, &self.first.to_le_bytes());
        put(32, &self.most.to_le_bytes());
        put(40, &budget.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[8..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a description. What it says is checked against itself and against the size of the object.
    pub(crate) fn read(
        bytes: &[u8; DESCRIPTION],
        purpose: Purpose,
        family: Family,
        size: u64,
    ) -> Result<Self, Unfit> {
        let malformed = |why: &str| unfit(ErrorKind::Malformed, why);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        match word(0) {
            magic if magic == purpose.magic() => {}
            MAILBOX => {
                let why = "it is a mailbox and no connection; open it to send or to receive";
                return unfit(ErrorKind::InvalidInput, why);
            }
            DUPLEX => {
                let why = "it is a connection and no mailbox; connect to it or listen there";
                return unfit(ErrorKind::InvalidInput, why);
            }
            0 => return malformed("it is not a ring, or one that was left half made"),
            _ => return malformed("it is not a ring"),
        }
        if half(8) != VERSION {
            let why = format!("it is a ring of version {}; version {VERSION} is the one known here", half(8));
            return unfit(ErrorKind::Unsupported, why);
        }
        if half(60) != crc32fast::hash(&bytes[8..60]) {
            return malformed("the checksum of its header is wrong");
        }
        if half(12) != family as u32 {
            return malformed("it is a ring of another family of mechanisms");
        }
        let discipline = match half(16) {
            1 => Discipline::Bounded,
            2 => Discipline::Zero,
            3 => Discipline::Unbounded { budget: word(40) },
            _ => return malformed("its header names no way of keeping messages that is known"),
        };
        let shape = Self { purpose, discipline, first: word(24), most: word(32) };
        // Who computes a checksum can lie, too.
        let grows = shape.grows();
        let doubles = shape.first > 0
            && shape.most.is_multiple_of(shape.first)
            && (shape.most / shape.first).is_power_of_two();
        let budget_fits = match discipline {
            Discipline::Unbounded { budget } => (LEAST..=shape.most).contains(&budget),
            _ => true,
        };
        let at_least = if grows && family == Family::Posix { shape.first } else { shape.most };
        let fits =
            shape.whole(shape.most).is_some() && shape.whole(at_least).is_some_and(|whole| whole <= size);
        let is_sound = half(20) as usize == purpose.rings()
            && shape.first.is_multiple_of(8)
            && shape.first >= LEAST
            && doubles
            && (grows || shape.first == shape.most)
            && budget_fits;
        match (is_sound, fits) {
            (true, true) => Ok(shape),
            (true, false) => malformed("it is shorter than its header says"),
            (false, _) => malformed("its header contradicts itself"),
        }
    }

    /// Refuses an existing object that is not what the options ask for.
    pub(crate) fn meets(&self, capacity: Option<Capacity>, whole: Option<u64>) -> Result<(), Unfit> {
        if capacity.is_none() && whole.is_none() {
            return Ok(());
        }
        let wanted = Self::new(self.purpose, capacity, whole)?;
        if wanted == *self {
            return Ok(());
        }
        let why = match whole {
            Some(_) => format!("it is there, with {} bytes in its ring and not {}", self.most, wanted.most),
            None => {
                format!("it is there, and its capacity is {}, not {}", self.capacity(), wanted.capacity())
            }
        };
        unfit(ErrorKind::InvalidInput, why)
    }
}
