//! What is wrong with an address or a part of one, where, and what would be right.

use core::fmt;
use core::ops::Range;

/// A value that no address can hold: what a checked constructor refuses.
///
/// It prints as what is wrong and what would be right:
///
/// ```
/// use twixt_address::BusName;
/// assert_eq!(
///     BusName::new("jobs/../secret").unwrap_err().to_string(),
///     "name jobs/../secret has the part \"..\"; \
///      a bus name has 1 to 200 letters, digits, `.`, `_`, `-`, in parts joined by `/`",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    why: String,
    right: String,
}

impl ValueError {
    pub(crate) fn new(why: impl Into<String>, right: impl Into<String>) -> Self {
        Self { why: why.into(), right: right.into() }
    }

    /// What is wrong, as a phrase.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What would be right, as a phrase.
    pub fn right(&self) -> &str {
        &self.right
    }

    /// The same, at a place in a text. `example` is a correct address.
    pub(crate) fn at(self, span: Range<usize>, example: &'static str) -> Fault {
        Fault { span, why: self.why, right: self.right, like: None, example }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.why, self.right)
    }
}

impl std::error::Error for ValueError {}

/// A text that is not an address: which part is wrong, why, and what would be right.
///
/// It prints as one sentence, made to be read as it stands:
///
/// ```
/// use twixt_address::Address;
/// let error = "sysv-msg:0x1ffffffff".parse::<Address>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "bad address \"sysv-msg:0x1ffffffff\": key 0x1ffffffff has more than 32 bits; \
///      a key is 0x1 to 0xffffffff, like sysv-msg:0x7477",
/// );
/// assert_eq!(error.span(), 9..20);
/// assert_eq!(error.part(), "0x1ffffffff");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    input: String,
    span: Range<usize>,
    why: String,
    right: String,
    example: String,
}

/// An error that does not know the whole text yet.
pub(crate) struct Fault {
    pub span: Range<usize>,
    pub why: String,
    pub right: String,
    /// What the user may have meant. It is made of the user's own text and only as good as that: not sure to parse.
    pub like: Option<String>,
    /// What is correct in any case.
    pub example: &'static str,
}

impl Fault {
    /// The same with an example that is nearer to what the user wrote, if that turns out to be correct.
    pub fn like(self, address: impl Into<String>) -> Self {
        Self { like: Some(address.into()), ..self }
    }
}

impl ParseError {
    pub(crate) fn new(input: &str, fault: Fault) -> Self {
        let Fault { span, why, right, like, example } = fault;
        debug_assert!(input.get(span.clone()).is_some(), "the span cuts the text");
        // Printing it again takes out what a terminal should not be sent. An example as long as a long path explains
        // nothing.
        let like =
            like.and_then(|address| crate::parse::address(&address).ok()).map(|address| address.to_string());
        let example = like.filter(|address| address.len() <= 120).unwrap_or_else(|| example.to_owned());
        Self(Box::new(Detail { input: input.to_owned(), span, why, right, example }))
    }

    /// The text that was parsed.
    pub fn input(&self) -> &str {
        &self.0.input
    }

    /// Which bytes of [`ParseError::input`] are wrong. Empty where something is missing; always on the boundaries
    /// of characters.
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// The wrong part itself; empty where something is missing.
    pub fn part(&self) -> &str {
        self.0.input.get(self.span()).unwrap_or_default()
    }

    /// What is wrong, as a phrase.
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// What would be right, as a phrase.
    pub fn right(&self) -> &str {
        &self.0.right
    }

    /// An address in the correct form: it parses.
    pub fn example(&self) -> &str {
        &self.0.example
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { input, why, right, example, .. } = &*self.0;
        write!(f, "bad address {}: {why}; {right}, like {example}", quoted(input, 200))
    }
}

impl std::error::Error for ParseError {}

/// A piece of input for a message: bare if it is a plain word, else in quotes with everything odd escaped, so that
/// no input can move the cursor or hide itself. Never long.
pub(crate) fn shown(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=/@,".contains(&byte);
    if !text.is_empty() && text.len() <= 40 && text.bytes().all(plain) {
        text.to_owned()
    } else {
        quoted(text, 40)
    }
}

/// In quotes, at most `longest` characters of it.
fn quoted(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
