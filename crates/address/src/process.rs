//! What belongs to a process: its descriptors, and the signals it is sent.

use core::fmt;
use core::str::FromStr;

use crate::ValueError;
use crate::error::shown;
use crate::number::{integer, within};

/// The number of an inherited descriptor, 0 to 2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor(i32);

impl Descriptor {
    /// Checks a number.
    ///
    /// # Errors
    /// It is negative.
    pub fn new(number: i32) -> Result<Self, ValueError> {
        within("descriptor", number, 0, i32::MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a process, 1 to 2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pid(i32);

impl Pid {
    /// Checks an id.
    ///
    /// # Errors
    /// It is 0 or negative.
    pub fn new(pid: i32) -> Result<Self, ValueError> {
        within("process id", pid, 1, i32::MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a process group, 2 to 2147483647.
///
/// Group 1 cannot be sent a signal: to `kill(2)`, -1 is every process there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessGroup(i32);

impl ProcessGroup {
    /// Checks an id.
    ///
    /// # Errors
    /// It is 1, 0 or negative.
    pub fn new(group: i32) -> Result<Self, ValueError> {
        if group == 1 {
            return Err(everybody());
        }
        within("process group", group, 2, i32::MAX).map(Self)
    }

    /// The number, positive.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom a signal is for, as `kill(2)` takes it.
///
/// ```
/// use twixt_address::{Pid, ProcessGroup, SignalTarget};
/// assert_eq!("4711".parse(), Ok(SignalTarget::Process(Pid::new(4711)?)));
/// assert_eq!("-4711".parse(), Ok(SignalTarget::Group(ProcessGroup::new(4711)?)));
/// assert_eq!("0".parse(), Ok(SignalTarget::OwnGroup));
/// assert!("-1".parse::<SignalTarget>().is_err());
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalTarget {
    /// One process.
    Process(Pid),
    /// All processes of a group.
    Group(ProcessGroup),
    /// All processes of the sender's own group.
    OwnGroup,
}

impl SignalTarget {
    /// The number that `kill(2)` takes: a process id, a negated group id, or 0.
    pub const fn as_raw(self) -> i32 {
        match self {
            Self::Process(pid) => pid.0,
            Self::Group(group) => -group.0,
            Self::OwnGroup => 0,
        }
    }
}

impl FromStr for SignalTarget {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let largest = i32::MAX;
        let right = || {
            format!(
                "a target is a process id, `-` and a process group id, or 0 for the own group, to {largest}"
            )
        };
        match integer("target", text, -largest, largest) {
            Ok(0) => Ok(Self::OwnGroup),
            Ok(-1) => Err(everybody()),
            Ok(pid @ 1..) => Ok(Self::Process(Pid(pid))),
            Ok(group) => Ok(Self::Group(ProcessGroup(-group))),
            Err(error) => Err(ValueError::new(error.why(), right())),
        }
    }
}

impl fmt::Display for SignalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_raw().fmt(f)
    }
}

fn everybody() -> ValueError {
    let why = "process group 1 cannot be named: to kill(2), -1 is every process there is";
    ValueError::new(why, "a process group is 2 to 2147483647")
}

/// A signal, by its number 1 to 64; it prints as its name.
///
/// The numbers are those of x86-64 and aarch64. Real-time signals are counted from the first that the C library
/// leaves to programs: `RTMIN` is 34, as glibc has it, and `RTMAX` 64.
///
/// ```
/// use twixt_address::SignalName;
/// assert_eq!("USR1".parse(), SignalName::new(10));
/// assert_eq!("sigusr1".parse(), SignalName::new(10));
/// assert_eq!("37".parse::<SignalName>()?.to_string(), "RTMIN+3");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalName(u8);

const FIRST_REAL_TIME: u8 = 34;
const LAST: u8 = 64;

/// Signal n stands at n - 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

const ALIASES: [(&str, u8); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

impl SignalName {
    /// Checks a number.
    ///
    /// # Errors
    /// It is not 1 to 64. 0, which to `kill(2)` is a question and not a signal, is refused too.
    pub fn new(number: u8) -> Result<Self, ValueError> {
        within("signal", number, 1, LAST).map(Self)
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A name with or without `SIG`, in either case; `RTMIN`, `RTMIN+3`, `RTMAX-2`; or a number.
impl FromStr for SignalName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let right = "a signal is a name, such as USR1 or RTMIN+3, or a number from 1 to 64";
        if text.is_empty() || text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return match integer("signal", text, 1, LAST) {
                Ok(number) => Ok(Self(number)),
                Err(error) => Err(ValueError::new(error.why(), right)),
            };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            return Ok(Self(index as u8 + 1));
        }
        if let Some(&(_, number)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
            return Ok(Self(number));
        }
        let steps = |text: &str| match text {
            "" => Some(0),
            _ => integer("step", text.strip_prefix(['+', '-'])?, 0, LAST - FIRST_REAL_TIME).ok(),
        };
        if let Some(rest) = name.strip_prefix("RTMIN").filter(|rest| !rest.starts_with('-'))
            && let Some(steps) = steps(rest)
        {
            return Ok(Self(FIRST_REAL_TIME + steps));
        }
        if let Some(rest) = name.strip_prefix("RTMAX").filter(|rest| !rest.starts_with('+'))
            && let Some(steps) = steps(rest)
        {
            return Ok(Self(LAST - steps));
        }
        Err(ValueError::new(format!("signal {} is unknown", shown(text)), right))
    }
}

/// The name without `SIG`, as `kill -l` has it; the two signals that the C library keeps to itself have only numbers.
impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 1..=31 => f.write_str(NAMES[usize::from(number) - 1]),
            FIRST_REAL_TIME => f.write_str("RTMIN"),
            LAST => f.write_str("RTMAX"),
            number @ 35..=49 => write!(f, "RTMIN+{}", number - FIRST_REAL_TIME),
            number @ 50..=63 => write!(f, "RTMAX-{}", LAST - number),
            number => number.fmt(f),
        }
    }
}
