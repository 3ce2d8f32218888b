//! The signals by number and name.

use core::fmt;
use core::num::NonZeroU8;
use core::str::FromStr;

use crate::Object;

/// A signal: its number, 1 to 64, without the two that the C library keeps for itself.
///
/// Names are those that `kill -l` prints. Parsing takes them in any case, with or without `SIG`, real-time signals
/// counted from either end, and plain numbers.
///
/// ```
/// use twixt_os::signal::{DefaultAction, Signal};
/// let signal: Signal = "usr1".parse()?;
/// assert_eq!(signal, Signal::USR1);
/// assert_eq!(signal.name(), "SIGUSR1");
/// assert_eq!("SIGRTMIN+2".parse(), Ok(Signal::real_time(2).unwrap()));
/// assert_eq!("36".parse(), Ok(Signal::real_time(2).unwrap()));
/// assert_eq!(Signal::RTMAX.default_action(), DefaultAction::Terminate);
/// assert_eq!(Signal::all().count(), 62);
/// assert!("33".parse::<Signal>().unwrap_err().to_string().contains("C library"));
/// # Ok::<(), twixt_os::signal::NotASignal>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(NonZeroU8);

/// What the kernel does with a signal that the process has not asked to treat otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends, and leaves a core file where it may.
    DumpCore,
    /// Nothing.
    Ignore,
    /// The process stops until SIGCONT.
    Stop,
    /// The process goes on if it was stopped.
    Continue,
}

impl fmt::Display for DefaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Terminate => "terminate",
            Self::DumpCore => "core",
            Self::Ignore => "ignore",
            Self::Stop => "stop",
            Self::Continue => "continue",
        })
    }
}

/// What is known about one number.
struct Row {
    name: &'static str,
    action: DefaultAction,
    description: &'static str,
}

macro_rules! standard {
    ($($constant:ident = $number:literal, $name:literal, $action:ident, $description:literal;)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", $name, "` (", $number, "): ", $description)]
                pub const $constant: Self = Self(NonZeroU8::new($number).unwrap());
            )*
        }

        /// The standard signals, in the order of their numbers.
        const STANDARD: [Row; 31] = [
            $(Row { name: $name, action: DefaultAction::$action, description: $description },)*
        ];
    };
}

standard! {
    HUP = 1, "SIGHUP", Terminate, "the terminal was closed, or its controlling process has ended";
    INT = 2, "SIGINT", Terminate, "interrupt from the keyboard (Ctrl-C)";
    QUIT = 3, "SIGQUIT", DumpCore, "quit from the keyboard (Ctrl-\\)";
    ILL = 4, "SIGILL", DumpCore, "illegal instruction";
    TRAP = 5, "SIGTRAP", DumpCore, "breakpoint or trace trap";
    ABRT = 6, "SIGABRT", DumpCore, "abort(3)";
    BUS = 7, "SIGBUS", DumpCore, "access to memory that has nothing behind it";
    FPE = 8, "SIGFPE", DumpCore, "arithmetic error, such as an integer divided by zero";
    KILL = 9, "SIGKILL", Terminate, "ends the process, and cannot be refused";
    USR1 = 10, "SIGUSR1", Terminate, "for the program's own use";
    SEGV = 11, "SIGSEGV", DumpCore, "invalid access to memory";
    USR2 = 12, "SIGUSR2", Terminate, "for the program's own use";
    PIPE = 13, "SIGPIPE", Terminate, "write to a pipe or socket that nobody reads";
    ALRM = 14, "SIGALRM", Terminate, "alarm(2) or the real interval timer";
    TERM = 15, "SIGTERM", Terminate, "request to end, which kill(1) sends by default";
    STKFLT = 16, "SIGSTKFLT", Terminate, "fault of the coprocessor's stack; no longer used by the kernel";
    CHLD = 17, "SIGCHLD", Ignore, "a child has ended, stopped or continued";
    CONT = 18, "SIGCONT", Continue, "goes on after a stop";
    STOP = 19, "SIGSTOP", Stop, "stops the process, and cannot be refused";
    TSTP = 20, "SIGTSTP", Stop, "stop from the keyboard (Ctrl-Z)";
    TTIN = 21, "SIGTTIN", Stop, "read from the terminal by a background process";
    TTOU = 22, "SIGTTOU", Stop, "write to the terminal by a background process";
    URG = 23, "SIGURG", Ignore, "urgent data on a socket";
    XCPU = 24, "SIGXCPU", DumpCore, "processor time beyond RLIMIT_CPU";
    XFSZ = 25, "SIGXFSZ", DumpCore, "file larger than RLIMIT_FSIZE";
    VTALRM = 26, "SIGVTALRM", Terminate, "the virtual interval timer";
    PROF = 27, "SIGPROF", Terminate, "the profiling interval timer";
    WINCH = 28, "SIGWINCH", Ignore, "the terminal's window has another size";
    IO = 29, "SIGIO", Terminate, "a descriptor is ready (O_ASYNC)";
    PWR = 30, "SIGPWR", Terminate, "the power supply is failing";
    SYS = 31, "SIGSYS", DumpCore, "system call that seccomp or the kernel refuses";
}

/// The names of the real-time signals, from SIGRTMIN on.
const REAL_TIME: [&str; 31] = [
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMAX-14",
    "SIGRTMAX-13",
    "SIGRTMAX-12",
    "SIGRTMAX-11",
    "SIGRTMAX-10",
    "SIGRTMAX-9",
    "SIGRTMAX-8",
    "SIGRTMAX-7",
    "SIGRTMAX-6",
    "SIGRTMAX-5",
    "SIGRTMAX-4",
    "SIGRTMAX-3",
    "SIGRTMAX-2",
    "SIGRTMAX-1",
    "SIGRTMAX",
];

const FIRST_REAL_TIME: u8 = 34;
const LAST: u8 = 64;

impl Signal {
    /// The first real-time signal: 34 with glibc, which keeps 32 and 33 for itself.
    #[doc(alias = "SIGRTMIN")]
    pub const RTMIN: Self = Self(NonZeroU8::new(FIRST_REAL_TIME).unwrap());
    /// The last real-time signal: 64.
    #[doc(alias = "SIGRTMAX")]
    pub const RTMAX: Self = Self(NonZeroU8::new(LAST).unwrap());

    /// The signal of this number; nothing for a number that is none, and for 32 and 33. The conversion with
    /// [`TryFrom`] says why.
    pub const fn new(number: i32) -> Option<Self> {
        match number {
            1..=31 | 34..=64 => match NonZeroU8::new(number as u8) {
                Some(number) => Some(Self(number)),
                None => None,
            },
            _ => None,
        }
    }

    /// `SIGRTMIN + offset`, for an offset of 0 to 30.
    pub const fn real_time(offset: u8) -> Option<Self> {
        if offset > LAST - FIRST_REAL_TIME { None } else { Self::new((FIRST_REAL_TIME + offset) as i32) }
    }

    /// All of them, in the order of their numbers, which is the order in which the kernel delivers pending ones.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        (1..=i32::from(LAST)).filter_map(Self::new)
    }

    /// The number, as C has it.
    pub const fn as_raw(self) -> i32 {
        self.0.get() as i32
    }

    /// The name that `kill -l` prints: `SIGUSR1`, `SIGRTMIN+3`.
    pub fn name(self) -> &'static str {
        match self.real_time_offset() {
            Some(offset) => REAL_TIME[usize::from(offset)],
            None => self.row().name,
        }
    }

    /// The name without `SIG`: `USR1`, `RTMIN+3`.
    pub fn short_name(self) -> &'static str {
        &self.name()[3..]
    }

    /// What it is for.
    pub fn description(self) -> &'static str {
        if self.is_real_time() {
            "real-time signal, for the program's own use"
        } else {
            self.row().description
        }
    }

    /// What happens when the process has not asked otherwise.
    pub fn default_action(self) -> DefaultAction {
        if self.is_real_time() { DefaultAction::Terminate } else { self.row().action }
    }

    /// Whether it can be handled, ignored and blocked: SIGKILL and SIGSTOP cannot.
    pub const fn is_catchable(self) -> bool {
        !matches!(self, Self::KILL | Self::STOP)
    }

    /// Whether each one sent is kept, with its value, rather than merged with one that is pending already.
    pub const fn is_real_time(self) -> bool {
        self.0.get() >= FIRST_REAL_TIME
    }

    /// The distance from SIGRTMIN.
    fn real_time_offset(self) -> Option<u8> {
        self.0.get().checked_sub(FIRST_REAL_TIME)
    }

    /// The row of a standard signal.
    fn row(self) -> &'static Row {
        &STANDARD[usize::from(self.0.get()) - 1]
    }

    pub(super) fn object(self) -> Object {
        Object::name(self.name())
    }
}

/// A number or name that is no signal, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASignal {
    given: String,
    why: &'static str,
}

impl NotASignal {
    fn number(number: i64) -> Self {
        let why = match number {
            0 => "signal 0 is none; it only asks whether a process exists",
            32 | 33 => "the C library keeps it for itself, to cancel threads and to change user ids",
            _ => "signals are 1 to 64",
        };
        Self { given: number.to_string(), why }
    }

    fn name(name: &str) -> Self {
        Self { given: name.escape_debug().collect(), why: "no signal has this name; `kill -l` lists them" }
    }
}

impl fmt::Display for NotASignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.given, self.why)
    }
}

impl std::error::Error for NotASignal {}

impl TryFrom<i32> for Signal {
    type Error = NotASignal;

    fn try_from(number: i32) -> Result<Self, NotASignal> {
        Self::new(number).ok_or_else(|| NotASignal::number(number.into()))
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.as_raw()
    }
}

impl FromStr for Signal {
    type Err = NotASignal;

    fn from_str(text: &str) -> Result<Self, NotASignal> {
        if let Ok(number) = text.parse::<i64>() {
            let signal = i32::try_from(number).ok().and_then(Self::new);
            return signal.ok_or_else(|| NotASignal::number(number));
        }
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        parse_name(short).ok_or_else(|| NotASignal::name(text))
    }
}

fn parse_name(short: &str) -> Option<Signal> {
    match short {
        "IOT" => return Some(Signal::ABRT),
        "POLL" => return Some(Signal::IO),
        "CLD" => return Some(Signal::CHLD),
        "RTMIN" => return Some(Signal::RTMIN),
        "RTMAX" => return Some(Signal::RTMAX),
        _ => {}
    }
    if let Some(offset) = short.strip_prefix("RTMIN+") {
        return Signal::real_time(digits(offset)?);
    }
    if let Some(offset) = short.strip_prefix("RTMAX-") {
        return Signal::real_time((LAST - FIRST_REAL_TIME).checked_sub(digits(offset)?)?);
    }
    Signal::all().take_while(|signal| !signal.is_real_time()).find(|signal| signal.short_name() == short)
}

/// A number without a sign.
fn digits(text: &str) -> Option<u8> {
    if text.bytes().all(|digit| digit.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
