//! Which flag applies to which mechanism, as the mechanisms themselves say it.

use std::fmt::Write;

use anyhow::bail;
use twixt::address::{Address, Endpoint, OptionName, Scheme};
use twixt::channel::{Capabilities, Direction};

/// A flag that not every mechanism has a use for.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// As it is typed.
    pub flag: &'static str,
    has_use: fn(&Kind) -> bool,
    /// Whether some descriptors that can be passed have one.
    may_depend: bool,
    /// Why there is none, as a phrase that follows a colon.
    why: &'static str,
}

/// A mechanism.
struct Kind {
    scheme: &'static Scheme,
    can: Capabilities,
    is_socket: bool,
    /// Whether it is a descriptor, of which only the open one can tell.
    is_descriptor: bool,
}

/// Whether a mechanism has a use for a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Has,
    Lacks,
    /// It turns out when it is opened, and is refused then.
    Depends,
}

/// The flags of `send`.
pub const SEND: &[Rule] = &[
    Rule { flag: "--type", has_use: |kind| kind.can.types, may_depend: false, why: TYPES },
    Rule {
        flag: "--prio",
        has_use: |kind| kind.can.priority.is_some(),
        may_depend: true,
        why: "its messages have no priorities",
    },
    Rule { flag: "--fd", has_use: PASSES, may_depend: true, why: NO_DESCRIPTORS },
    Rule { flag: "--create", has_use: Kind::creates, may_depend: false, why: CREATE },
    LISTEN,
    CONNECT,
];

/// The flags of `recv`.
pub const RECV: &[Rule] = &[
    Rule { flag: "--type", has_use: |kind| kind.can.types, may_depend: false, why: TYPES },
    Rule { flag: "--create", has_use: Kind::creates, may_depend: false, why: CREATE },
    LISTEN,
    CONNECT,
];

/// The flags of `relay`; --connect is about A, --listen about B.
pub const RELAY: &[Rule] = &[
    Rule {
        flag: "--both",
        has_use: |kind| kind.can.direction == Direction::BothWays,
        may_depend: true,
        why: "it has one direction",
    },
    Rule { flag: "--pass-fds", has_use: PASSES, may_depend: true, why: NO_DESCRIPTORS },
    CONNECT,
    LISTEN,
];

const LISTEN: Rule =
    Rule { flag: "--listen", has_use: |kind| kind.can.listens, may_depend: false, why: SIDES };
const CONNECT: Rule =
    Rule { flag: "--connect", has_use: |kind| kind.can.listens, may_depend: false, why: SIDES };

const PASSES: fn(&Kind) -> bool = |kind| kind.can.descriptors > 0;
const NO_DESCRIPTORS: &str = "it passes no descriptors";
const TYPES: &str = "its messages have no types";
const CREATE: &str = "it has no object that stays when its users have gone";
const SIDES: &str = "none of its two sides listens";

impl Rule {
    fn use_of(&self, kind: &Kind) -> Use {
        if (self.has_use)(kind) {
            Use::Has
        } else if self.may_depend && kind.is_descriptor {
            Use::Depends
        } else {
            Use::Lacks
        }
    }
}

impl Kind {
    /// The mechanism that an address of this scheme leads to, if it carries messages and can be opened by a name.
    fn of(scheme: &'static Scheme) -> Option<Self> {
        let example: Address = scheme.example.parse().ok()?;
        match example.endpoint() {
            Endpoint::Pipe | Endpoint::Eventfd => None,
            endpoint => Self::leading_to(endpoint),
        }
    }

    fn leading_to(endpoint: &Endpoint) -> Option<Self> {
        Some(Self {
            scheme: Scheme::of(endpoint.scheme())?,
            can: Capabilities::of(endpoint)?,
            is_socket: matches!(endpoint, Endpoint::Unix { .. } | Endpoint::Tcp(_) | Endpoint::Udp(_)),
            is_descriptor: matches!(endpoint, Endpoint::Fd(_)),
        })
    }

    /// Whether there is an object that stays when those who use it have gone. A socket is made by who listens there.
    fn creates(&self) -> bool {
        self.scheme.options.contains(&OptionName::Create) && !self.is_socket
    }

    fn all() -> impl Iterator<Item = Self> {
        Scheme::ALL.iter().filter_map(Self::of)
    }
}

/// Refuses the flags that were given and that the address has no use for. `action` is what could not be done: "send to".
pub fn check(
    rules: &[Rule],
    action: &str,
    address: &Address,
    given: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let endpoint = address.endpoint();
    let scheme = endpoint.scheme();
    let Some(kind) = Kind::leading_to(endpoint) else {
        let others = names(Kind::all());
        bail!("cannot {action} {endpoint}: it carries no messages; what does is {others}");
    };
    if let Some(rule) = rules.iter().find(|rule| given(rule.flag) && rule.use_of(&kind) == Use::Lacks) {
        let others = names(Kind::all().filter(|kind| rule.use_of(kind) != Use::Lacks));
        bail!(
            "cannot {action} {endpoint}: {} does not apply to {scheme}: {}; it applies to {others}",
            rule.flag,
            rule.why,
        );
    }
    Ok(())
}

/// The table of flags, for a help text; and what else is to be said of each mechanism in a last column.
pub fn table(rules: &[Rule], heading: &str, last: fn(&Capabilities) -> &'static str) -> String {
    const NAME: usize = 16;
    let mut text = format!("  {:NAME$}", "");
    for rule in rules {
        let _ = write!(text, "{}  ", rule.flag);
    }
    text += heading;
    for kind in Kind::all() {
        let _ = write!(text, "\n  {:NAME$}", kind.scheme.name);
        for rule in rules {
            let mark = match rule.use_of(&kind) {
                Use::Has => "yes",
                Use::Lacks => "-",
                Use::Depends => "?",
            };
            let _ = write!(text, "{mark:width$}  ", width = rule.flag.len());
        }
        text += last(&kind.can);
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn names(kinds: impl Iterator<Item = Kind>) -> String {
    let names: Vec<&str> = kinds.map(|kind| kind.scheme.name).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}
