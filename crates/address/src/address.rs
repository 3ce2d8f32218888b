//! An endpoint and its options.

use core::fmt;
use core::str::FromStr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::{Endpoint, Options, ParseError, Scheme, ValueError, parse};

/// The name of any object that processes talk through, with options: `fifo:/run/jobs?create&mode=0600`.
///
/// The [crate's page](crate) has the grammar. Parsing and printing are each other's inverse: what prints parses back
/// to the same value, whatever the value, and equal addresses print equally.
///
/// ```
/// use twixt_address::{Address, Endpoint};
/// let address: Address = "sysv-msg:1234?create&mode=600".parse()?;
/// assert!(matches!(address.endpoint(), Endpoint::SysvMsg(_)));
/// assert_eq!(address.options().mode(), Some(0o600));
/// assert_eq!(address.to_string(), "sysv-msg:0x4d2?create&mode=0600");
/// # Ok::<(), twixt_address::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    endpoint: Endpoint,
    options: Options,
}

impl Address {
    /// An endpoint with options.
    ///
    /// # Errors
    /// An option does not apply to the endpoint, or its value is out of the endpoint's range.
    pub fn new(endpoint: Endpoint, options: Options) -> Result<Self, ValueError> {
        options.given().try_for_each(|name| endpoint.check(name, &options))?;
        Ok(Self { endpoint, options })
    }

    /// For the parser, which checks each option where it stands.
    pub(crate) fn from_checked(endpoint: Endpoint, options: Options) -> Self {
        Self { endpoint, options }
    }

    /// All schemes, with a line about each, an example and the options it takes: for a help text.
    pub const fn schemes() -> &'static [Scheme] {
        Scheme::ALL
    }

    /// What it leads to.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its options.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The same endpoint with other options.
    ///
    /// # Errors
    /// Those of [`Address::new`].
    pub fn with_options(self, options: Options) -> Result<Self, ValueError> {
        Self::new(self.endpoint, options)
    }

    /// Both parts.
    pub fn into_parts(self) -> (Endpoint, Options) {
        (self.endpoint, self.options)
    }
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, options: Options::new() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)?;
        if self.options.is_empty() { Ok(()) } else { write!(f, "?{}", self.options) }
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse::address(text).map_err(|fault| ParseError::new(text, fault))
    }
}

impl TryFrom<&str> for Address {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// An argument of a command, which may be any bytes: those that are not UTF-8 count as if they were
/// percent-encoded, and the error's text has them so.
impl TryFrom<&OsStr> for Address {
    type Error = ParseError;

    fn try_from(text: &OsStr) -> Result<Self, ParseError> {
        let mut encoded = String::with_capacity(text.len());
        for chunk in text.as_bytes().utf8_chunks() {
            encoded.push_str(chunk.valid());
            encoded.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
        }
        encoded.parse()
    }
}
