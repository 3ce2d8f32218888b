//! The messages of a conversation, byte by byte. Pure: what goes in comes out, and nothing else happens.
//!
//! All numbers are little-endian. Every message begins with the same eight bytes:
//!
//! ```text
//! 0    1    2      4          8
//! | kind | 0 | code | call     | what the kind has ...
//! ```
//!
//! `docs/rpc-format.md` draws each kind.

use core::time::Duration;

/// The version of the format, which the first message of a conversation carries as its code.
pub(crate) const VERSION: u16 = 1;

/// How long the part is that every message begins with.
const HEADER: usize = 8;
/// How long a request is without its payload: the longest of all headers that stand before a payload.
const REQUEST_HEADER: usize = 24;
/// How long a greeting is without its texts.
const GREETING: usize = 40;
/// How long a failure is without its text.
pub(crate) const FAILURE: usize = 24;
/// How long the part of a greeting is that says which process it is.
const WHO: usize = 24;
/// The most bytes of a service's name that are sent.
const LONGEST_NAME: usize = 255;
/// The most bytes of the reason of a failure that are sent.
const LONGEST_REASON: usize = 1024;
/// The most bytes of a service's signature that are sent.
const LONGEST_SIGNATURE: usize = 16 * 1024;

/// Tells the format from others. The newline and the zero make a channel that tells messages apart by either of them
/// refuse the first message, rather than garble some later one.
pub(crate) const MAGIC: [u8; 8] = *b"twxrpc\n\0";

/// No deadline.
const NO_TIMEOUT: u64 = u64::MAX;

/// One message, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// Client: begins a conversation, and ends the one before it.
    Open(Greeting<'a>),
    /// Server: the conversation has begun.
    Welcome(Greeting<'a>),
    /// Server: there will be none.
    Refuse(Refusal, Greeting<'a>),
    /// Client: a call.
    Request(Request<'a>),
    /// Server: its result.
    Reply { call: u32, payload: &'a [u8] },
    /// Server: why there is no result, or no further item.
    Failure { call: u32, failure: Failure<'a> },
    /// Server: the next of a stream.
    Item { call: u32, payload: &'a [u8] },
    /// Server: there are no more.
    End { call: u32 },
    /// Client: so many items more may be sent.
    Credit { call: u32, items: u32 },
    /// Client: the result is no longer wanted.
    Cancel { call: u32 },
    /// Either: the conversation is over.
    Goodbye,
}

/// Who one is, at the beginning of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting<'a> {
    /// Chosen by the client and repeated by the server: what comes before it belongs to an earlier conversation.
    pub(crate) nonce: u64,
    /// The hash of the service's signature; 0 if it is not to be compared.
    pub(crate) hash: u64,
    /// The longest message that the one who greets takes.
    pub(crate) max_message: u32,
    /// The name of the service.
    pub(crate) name: &'a str,
    /// Which process greets, where the channel does not see it go.
    pub(crate) who: Option<Who>,
    /// What the hash was made of, to say what differs.
    pub(crate) signature: &'a str,
}

/// A process, as others know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// Where the other two mean something.
    pub(crate) place: u64,
    /// When it was started, in the clock ticks of `/proc/PID/stat`.
    pub(crate) started: u64,
    pub(crate) pid: u32,
}

/// Why a server does not begin a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not speak the version.
    Version,
    /// It serves another service.
    Service,
    /// It serves the service with other methods or types.
    Types,
    /// A reason that this version does not know.
    Unknown(u16),
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) call: u32,
    /// The hash of the method's name.
    pub(crate) method: u32,
    /// How many items of a stream may be sent to begin with.
    pub(crate) credit: u32,
    /// The time that remained when it was sent.
    pub(crate) timeout: Option<Duration>,
    pub(crate) payload: &'a [u8],
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure<'a> {
    pub(crate) reason: Reason,
    /// How many bytes there would have been, if there were too many.
    pub(crate) len: u64,
    /// And how many there may be.
    pub(crate) limit: u64,
    /// The details, in words.
    pub(crate) text: &'a str,
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    UnknownMethod,
    RequestUndecodable,
    RequestTooLong,
    ReplyUnencodable,
    ReplyTooLong,
    Overloaded,
    TimedOut,
    Panicked,
    /// The handler of a stream gave up.
    Stopped,
    /// A reason that this version does not know.
    Unknown(u16),
}

/// Bytes that are no message of this format: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

mod kind {
    pub(super) const OPEN: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSE: u8 = 3;
    pub(super) const REQUEST: u8 = 4;
    pub(super) const REPLY: u8 = 5;
    pub(super) const FAILURE: u8 = 6;
    pub(super) const ITEM: u8 = 7;
    pub(super) const END: u8 = 8;
    pub(super) const CREDIT: u8 = 9;
    pub(super) const CANCEL: u8 = 10;
    pub(super) const GOODBYE: u8 = 11;
}

impl<'a> Packet<'a> {
    /// Reads a message.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let Some((&[kind, reserved, code_low, code_high, ref call @ ..], body)) =
            bytes.split_first_chunk::<HEADER>()
        else {
            return Err(Malformed("a message is shorter than its header"));
        };
        let code = u16::from_le_bytes([code_low, code_high]);
        let call = u32::from_le_bytes(*call);
        if reserved != 0 {
            return Err(Malformed("a reserved byte is not zero"));
        }
        let has_code = matches!(kind, kind::OPEN | kind::REFUSE | kind::FAILURE);
        if code != 0 && !has_code {
            return Err(Malformed("a message that has no code bears one"));
        }
        let has_call = !matches!(kind, kind::OPEN | kind::WELCOME | kind::REFUSE | kind::GOODBYE);
        if call != 0 && !has_call {
            return Err(Malformed("a message that belongs to no call bears the number of one"));
        }
        let nothing = |packet| if body.is_empty() { Ok(packet) } else { Err(OVERLONG) };
        match kind {
            // What another version says after its greeting is not for this one to judge.
            kind::OPEN if code != VERSION => Ok(Self::Open(Greeting::of_another_version(body)?)),
            kind::OPEN => Ok(Self::Open(Greeting::decode(body)?)),
            kind::WELCOME => Ok(Self::Welcome(Greeting::decode(body)?)),
            kind::REFUSE => Ok(Self::Refuse(Refusal::from_code(code), Greeting::decode(body)?)),
            kind::REQUEST => Request::decode(call, body).map(Self::Request),
            kind::REPLY => Ok(Self::Reply { call, payload: body }),
            kind::FAILURE => Ok(Self::Failure { call, failure: Failure::decode(code, body)? }),
            kind::ITEM => Ok(Self::Item { call, payload: body }),
            kind::END => nothing(Self::End { call }),
            kind::CREDIT => {
                let items =
                    body.try_into().map_err(|_| Malformed("a grant of credit is not 12 bytes long"))?;
                Ok(Self::Credit { call, items: u32::from_le_bytes(items) })
            }
            kind::CANCEL => nothing(Self::Cancel { call }),
            kind::GOODBYE => nothing(Self::Goodbye),
            _ => Err(Malformed("a message is of an unknown kind")),
        }
    }

    /// Writes the message behind what `out` holds. What is too long of a text is cut off.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Open(greeting) => greeting.encode(kind::OPEN, VERSION, out),
            Self::Welcome(greeting) => greeting.encode(kind::WELCOME, 0, out),
            Self::Refuse(refusal, greeting) => greeting.encode(kind::REFUSE, refusal.code(), out),
            Self::Request(request) => {
                header(kind::REQUEST, 0, request.call, out);
                out.extend(request.method.to_le_bytes());
                out.extend(request.credit.to_le_bytes());
                out.extend(nanoseconds(request.timeout).to_le_bytes());
                out.extend(request.payload);
            }
            Self::Reply { call, payload } => {
                header(kind::REPLY, 0, call, out);
                out.extend(payload);
            }
            Self::Failure { call, failure } => {
                header(kind::FAILURE, failure.reason.code(), call, out);
                out.extend(failure.len.to_le_bytes());
                out.extend(failure.limit.to_le_bytes());
                out.extend(cut(failure.text, LONGEST_REASON).as_bytes());
            }
            Self::Item { call, payload } => {
                header(kind::ITEM, 0, call, out);
                out.extend(payload);
            }
            Self::End { call } => header(kind::END, 0, call, out),
            Self::Credit { call, items } => {
                header(kind::CREDIT, 0, call, out);
                out.extend(items.to_le_bytes());
            }
            Self::Cancel { call } => header(kind::CANCEL, 0, call, out),
            Self::Goodbye => header(kind::GOODBYE, 0, 0, out),
        }
    }
}

const OVERLONG: Malformed = Malformed("a message that has no payload bears one");

fn header(kind: u8, code: u16, call: u32, out: &mut Vec<u8>) {
    let [code_low, code_high] = code.to_le_bytes();
    out.extend([kind, 0, code_low, code_high]);
    out.extend(call.to_le_bytes());
}

/// A time in the format's unit. What does not fit is no deadline: it is more than five centuries.
fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.and_then(|timeout| timeout.as_nanos().try_into().ok()).unwrap_or(NO_TIMEOUT)
}

/// The beginning of a text, at most `most` bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl<'a> Greeting<'a> {
    fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        const FIXED: usize = GREETING - HEADER;
        if !body.starts_with(&MAGIC) {
            return Err(Malformed("a greeting does not bear the mark of the format"));
        }
        let Some((fixed, texts)) = body.split_at_checked(FIXED) else {
            return Err(Malformed("a greeting is cut short"));
        };
        let (name, who) = (usize::from(u16_at(fixed, 28)), usize::from(u16_at(fixed, 30)));
        let Some((name, rest)) = texts.split_at_checked(name) else {
            return Err(Malformed("a greeting is shorter than the name in it"));
        };
        let Some((who, signature)) = rest.split_at_checked(who) else {
            return Err(Malformed("a greeting is shorter than what it says of its process"));
        };
        let who = Who::decode(who)?;
        let text = |bytes| core::str::from_utf8(bytes).map_err(|_| Malformed("a name is not UTF-8"));
        let (name, signature) = (text(name)?, text(signature)?);
        if name.len() > LONGEST_NAME || signature.len() > LONGEST_SIGNATURE {
            return Err(Malformed("a name or a signature is too long"));
        }
        Ok(Self {
            nonce: u64_at(fixed, 8),
            hash: u64_at(fixed, 16),
            max_message: u32_at(fixed, 24),
            name,
            who,
            signature,
        })
    }

    /// The part that all versions have in common.
    fn of_another_version(body: &'a [u8]) -> Result<Self, Malformed> {
        if !body.starts_with(&MAGIC) || body.len() < 16 {
            return Err(Malformed("a greeting does not bear the mark of the format"));
        }
        // No version has a message that is longer than nothing.
        Ok(Self { nonce: u64_at(body, 8), hash: 0, max_message: 0, name: "", who: None, signature: "" })
    }

    /// Whether it came from a version that this one does not speak.
    pub(crate) fn is_of_another_version(&self) -> bool {
        self.max_message == 0
    }

    fn encode(&self, kind: u8, code: u16, out: &mut Vec<u8>) {
        let name = cut(self.name, LONGEST_NAME);
        header(kind, code, 0, out);
        out.extend(MAGIC);
        out.extend(self.nonce.to_le_bytes());
        out.extend(self.hash.to_le_bytes());
        out.extend(self.max_message.to_le_bytes());
        out.extend(u16::try_from(name.len()).unwrap_or_default().to_le_bytes());
        out.extend((if self.who.is_some() { WHO as u16 } else { 0 }).to_le_bytes());
        out.extend(name.as_bytes());
        if let Some(who) = self.who {
            who.encode(out);
        }
        out.extend(cut(self.signature, LONGEST_SIGNATURE).as_bytes());
    }
}

impl Who {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() != WHO || u32_at(bytes, 20) != 0 {
            return Err(Malformed("what a greeting says of its process is not 24 bytes, the last four zero"));
        }
        Ok(Some(Self { place: u64_at(bytes, 0), started: u64_at(bytes, 8), pid: u32_at(bytes, 16) }))
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend(self.place.to_le_bytes());
        out.extend(self.started.to_le_bytes());
        out.extend(self.pid.to_le_bytes());
        out.extend([0; 4]);
    }

    /// Whether a greeting by this name that says it is no longer than `most` bytes.
    pub(crate) fn fits(name: &str, most: u64) -> bool {
        let len = GREETING + cut(name, LONGEST_NAME).len() + WHO;
        u64::try_from(len).is_ok_and(|len| len <= most)
    }
}

impl<'a> Request<'a> {
    fn decode(call: u32, body: &'a [u8]) -> Result<Self, Malformed> {
        let Some((fixed, payload)) = body.split_at_checked(REQUEST_HEADER - HEADER) else {
            return Err(Malformed("a request is cut short"));
        };
        let timeout = match u64_at(fixed, 8) {
            NO_TIMEOUT => None,
            nanoseconds => Some(Duration::from_nanos(nanoseconds)),
        };
        Ok(Self { call, method: u32_at(fixed, 0), credit: u32_at(fixed, 4), timeout, payload })
    }
}

impl<'a> Failure<'a> {
    fn decode(code: u16, body: &'a [u8]) -> Result<Self, Malformed> {
        let Some((fixed, text)) = body.split_at_checked(FAILURE - HEADER) else {
            return Err(Malformed("a failure is cut short"));
        };
        if text.len() > LONGEST_REASON {
            return Err(Malformed("the reason of a failure is too long"));
        }
        let text =
            core::str::from_utf8(text).map_err(|_| Malformed("the reason of a failure is not UTF-8"))?;
        Ok(Self { reason: Reason::from_code(code), len: u64_at(fixed, 0), limit: u64_at(fixed, 8), text })
    }
}

impl Refusal {
    fn code(self) -> u16 {
        match self {
            Self::Version => 1,
            Self::Service => 2,
            Self::Types => 3,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Version,
            2 => Self::Service,
            3 => Self::Types,
            code => Self::Unknown(code),
        }
    }
}

impl Reason {
    fn code(self) -> u16 {
        match self {
            Self::UnknownMethod => 1,
            Self::RequestUndecodable => 2,
            Self::RequestTooLong => 3,
            Self::ReplyUnencodable => 4,
            Self::ReplyTooLong => 5,
            Self::Overloaded => 6,
            Self::TimedOut => 7,
            Self::Panicked => 8,
            Self::Stopped => 9,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            1 => Self::UnknownMethod,
            2 => Self::RequestUndecodable,
            3 => Self::RequestTooLong,
            4 => Self::ReplyUnencodable,
            5 => Self::ReplyTooLong,
            6 => Self::Overloaded,
            7 => Self::TimedOut,
            8 => Self::Panicked,
            9 => Self::Stopped,
            code => Self::Unknown(code),
        }
    }
}

#[cfg(test)]
mod tests;
