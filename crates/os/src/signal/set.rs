//! Sets of signals.

use core::fmt;
use core::ops::{BitAnd, BitOr, Not, Sub};

use crate::signal::Signal;

/// A set of signals: `sigset_t`.
///
/// ```
/// use twixt_os::signal::{Signal, SignalSet};
/// let set = SignalSet::from([Signal::USR1, Signal::RTMIN]);
/// assert!(set.contains(Signal::RTMIN));
/// assert_eq!((set - Signal::USR1.into()).to_string(), "{SIGRTMIN}");
/// assert_eq!((!SignalSet::EMPTY).len(), 62);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sigset_t")]
pub struct SignalSet(u64);

/// The signals 32 and 33, which no [`Signal`] stands for.
const RESERVED: u64 = 1 << 31 | 1 << 32;

impl SignalSet {
    /// No signal.
    #[doc(alias = "sigemptyset")]
    pub const EMPTY: Self = Self(0);

    /// Every signal.
    #[doc(alias = "sigfillset")]
    pub const ALL: Self = Self(!RESERVED);

    /// The set with this signal too.
    #[must_use]
    #[doc(alias = "sigaddset")]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | bit(signal))
    }

    /// The set without this signal.
    #[must_use]
    #[doc(alias = "sigdelset")]
    pub const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !bit(signal))
    }

    /// Whether the signal is in it.
    #[doc(alias = "sigismember")]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & bit(signal) != 0
    }

    /// How many signals are in it.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no signal is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signals, in the order of their numbers.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Signal> + Clone {
        Signal::all().filter(move |signal| self.contains(*signal))
    }

    /// The kernel's form: bit `n - 1` is signal `n`, as `/proc/PID/status` shows it in hexadecimal.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// From the kernel's form. The bits of 32 and 33 are left out.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & !RESERVED)
    }
}

const fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

impl From<Signal> for SignalSet {
    fn from(signal: Signal) -> Self {
        Self::EMPTY.with(signal)
    }
}

impl<const N: usize> From<[Signal; N]> for SignalSet {
    fn from(signals: [Signal; N]) -> Self {
        signals.into_iter().collect()
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl Extend<Signal> for SignalSet {
    fn extend<I: IntoIterator<Item = Signal>>(&mut self, signals: I) {
        *self = signals.into_iter().fold(*self, Self::with);
    }
}

impl BitOr for SignalSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for SignalSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for SignalSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for SignalSet {
    type Output = Self;

    fn not(self) -> Self {
        Self::ALL - self
    }
}

/// The names in braces: `{SIGINT SIGTERM}`.
impl fmt::Display for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, signal) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{signal}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalSet{self}")
    }
}
