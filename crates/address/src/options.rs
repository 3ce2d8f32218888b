//! What follows the question mark.

use core::time::Duration;

use crate::number::within;
use crate::{Framing, Slow, ValueError};

mod name;
pub(crate) mod text;

pub use name::OptionName;
pub use text::{parse_duration, parse_size};

/// The options of an address: each given or not, each in its range.
///
/// Which of them apply, and what `value` may be, depends on the endpoint; [`Address::new`](crate::Address::new)
/// checks that.
///
/// ```
/// use std::time::Duration;
/// use twixt_address::Options;
/// let options = Options::new().with_create().with_mode(0o640)?.with_timeout(Duration::from_millis(1500));
/// assert_eq!(options.to_string(), "create&mode=0640&timeout=1500ms");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    create: bool,
    mode: Option<u16>,
    capacity: Option<u64>,
    budget: Option<u64>,
    size: Option<u64>,
    message_size: Option<u64>,
    count: Option<u32>,
    value: Option<i64>,
    message_type: Option<i64>,
    priority: Option<u16>,
    history: Option<u64>,
    slow: Option<Slow>,
    retries: Option<u32>,
    visibility: Option<Duration>,
    framing: Option<Framing>,
    timeout: Option<Duration>,
}

impl Options {
    /// The most bytes or messages: what a file can have, so that the number fits every type that counts them.
    pub const MOST_BYTES: u64 = i64::MAX as u64;

    /// No option.
    pub const fn new() -> Self {
        Self {
            create: false,
            mode: None,
            capacity: None,
            budget: None,
            size: None,
            message_size: None,
            count: None,
            value: None,
            message_type: None,
            priority: None,
            history: None,
            slow: None,
            retries: None,
            visibility: None,
            framing: None,
            timeout: None,
        }
    }

    /// Whether no option is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::new()
    }

    /// Whether an option is given.
    pub const fn has(&self, name: OptionName) -> bool {
        match name {
            OptionName::Create => self.create,
            OptionName::Mode => self.mode.is_some(),
            OptionName::Capacity => self.capacity.is_some(),
            OptionName::Budget => self.budget.is_some(),
            OptionName::Size => self.size.is_some(),
            OptionName::MessageSize => self.message_size.is_some(),
            OptionName::Count => self.count.is_some(),
            OptionName::Value => self.value.is_some(),
            OptionName::Type => self.message_type.is_some(),
            OptionName::Prio => self.priority.is_some(),
            OptionName::History => self.history.is_some(),
            OptionName::Slow => self.slow.is_some(),
            OptionName::Retries => self.retries.is_some(),
            OptionName::Visibility => self.visibility.is_some(),
            OptionName::Framing => self.framing.is_some(),
            OptionName::Timeout => self.timeout.is_some(),
        }
    }

    /// The names of the options that are given, in the order in which they print.
    pub fn given(&self) -> impl Iterator<Item = OptionName> + '_ {
        OptionName::ALL.into_iter().filter(|&name| self.has(name))
    }

    /// `create`: make the object if there is none.
    pub const fn create(&self) -> bool {
        self.create
    }

    /// `mode`: the permission bits of a new object, 0 to 0777.
    pub fn mode(&self) -> Option<u32> {
        self.mode.map(u32::from)
    }

    /// `capacity`: how much may wait in it; bytes or messages, as the mechanism counts ([`OptionName::Capacity`]).
    pub const fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    /// `budget`: how many bytes may wait in it, where a send is never to wait for room.
    pub const fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// `size`: the bytes of a memory or file.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// `message-size`: the most bytes of one message.
    pub const fn message_size(&self) -> Option<u64> {
        self.message_size
    }

    /// `count`: how many semaphores a new set has, 1 to 65536.
    pub const fn count(&self) -> Option<u32> {
        self.count
    }

    /// `value`: the initial value of a semaphore or counter, or the value that goes with a signal.
    pub const fn value(&self) -> Option<i64> {
        self.value
    }

    /// `type`: the type of System V messages, 1 or more.
    pub const fn message_type(&self) -> Option<i64> {
        self.message_type
    }

    /// `prio`: the priority of POSIX messages, 0 to 32767.
    pub fn priority(&self) -> Option<u32> {
        self.priority.map(u32::from)
    }

    /// `history`: with how many earlier messages of each publisher a subscriber begins.
    pub const fn history(&self) -> Option<u64> {
        self.history
    }

    /// `slow`: what becomes of a subscriber that is slower than the publishers.
    pub const fn slow(&self) -> Option<Slow> {
        self.slow
    }

    /// `retries`: how often a job is handed out before it is put aside; 0 for any number of times.
    pub const fn retries(&self) -> Option<u32> {
        self.retries
    }

    /// `visibility`: for how long a job may be worked on before somebody else may have it; more than 0.
    pub const fn visibility(&self) -> Option<Duration> {
        self.visibility
    }

    /// `framing`: how messages are told apart in a stream of bytes.
    pub const fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// `timeout`: how long to wait at most.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// With `create`.
    #[must_use]
    pub fn with_create(mut self) -> Self {
        self.create = true;
        self
    }

    /// With `mode`.
    ///
    /// # Errors
    /// The mode has other bits than the nine of 0777.
    pub fn with_mode(mut self, mode: u32) -> Result<Self, ValueError> {
        match u16::try_from(mode) {
            Ok(mode @ 0..=0o777) => self.mode = Some(mode),
            _ => return Err(text::not_a_mode(format!("mode {mode:#o} has more than the permission bits"))),
        }
        Ok(self)
    }

    /// With `capacity`, in bytes or messages.
    ///
    /// # Errors
    /// It is above [`Options::MOST_BYTES`].
    pub fn with_capacity(mut self, capacity: u64) -> Result<Self, ValueError> {
        self.capacity = Some(within("capacity", capacity, 0, Self::MOST_BYTES)?);
        Ok(self)
    }

    /// With `budget`, in bytes.
    ///
    /// # Errors
    /// It is 0 or above [`Options::MOST_BYTES`].
    pub fn with_budget(mut self, budget: u64) -> Result<Self, ValueError> {
        self.budget = Some(within("budget", budget, 1, Self::MOST_BYTES)?);
        Ok(self)
    }

    /// With `size`, in bytes.
    ///
    /// # Errors
    /// It is 0 or above [`Options::MOST_BYTES`].
    pub fn with_size(mut self, size: u64) -> Result<Self, ValueError> {
        self.size = Some(within("size", size, 1, Self::MOST_BYTES)?);
        Ok(self)
    }

    /// With `message-size`, in bytes.
    ///
    /// # Errors
    /// It is 0 or above [`Options::MOST_BYTES`].
    pub fn with_message_size(mut self, size: u64) -> Result<Self, ValueError> {
        self.message_size = Some(within("message-size", size, 1, Self::MOST_BYTES)?);
        Ok(self)
    }

    /// With `count`.
    ///
    /// # Errors
    /// It is not 1 to 65536: semaphores of a set are numbered with 16 bits.
    pub fn with_count(mut self, count: u32) -> Result<Self, ValueError> {
        self.count = Some(within("count", count, 1, 65_536)?);
        Ok(self)
    }

    /// With `value`. What range it has depends on the endpoint.
    #[must_use]
    pub fn with_value(mut self, value: i64) -> Self {
        self.value = Some(value);
        self
    }

    /// With `type`.
    ///
    /// # Errors
    /// It is not positive.
    pub fn with_message_type(mut self, message_type: i64) -> Result<Self, ValueError> {
        self.message_type = Some(within("type", message_type, 1, i64::MAX)?);
        Ok(self)
    }

    /// With `prio`.
    ///
    /// # Errors
    /// It is above 32767 (`MQ_PRIO_MAX` less 1).
    pub fn with_priority(mut self, priority: u32) -> Result<Self, ValueError> {
        self.priority = Some(within("prio", priority, 0, 32_767)? as u16);
        Ok(self)
    }

    /// With `history`, in messages.
    #[must_use]
    pub fn with_history(mut self, messages: u64) -> Self {
        self.history = Some(messages);
        self
    }

    /// With `slow`.
    #[must_use]
    pub fn with_slow(mut self, slow: Slow) -> Self {
        self.slow = Some(slow);
        self
    }

    /// With `retries`.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// With `visibility`.
    ///
    /// # Errors
    /// It is 0: nobody could work on anything.
    pub fn with_visibility(mut self, visibility: Duration) -> Result<Self, ValueError> {
        if visibility.is_zero() {
            let why = "visibility 0 leaves no time to work";
            return Err(ValueError::new(why, "a visibility is longer than 0; without one it has no end"));
        }
        self.visibility = Some(visibility);
        Ok(self)
    }

    /// With `framing`.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = Some(framing);
        self
    }

    /// With `timeout`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}
