//! One row of the tour: who takes part, what they do, and what they leave to be removed.

use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;
use crate::run::Run;

/// One row of the tour.
#[derive(Debug)]
pub struct Demonstration {
    pub(crate) name: &'static str,
    pub(crate) shows: &'static str,
    /// The processes that take part, and what each does.
    pub(crate) parties: &'static [(&'static str, Play)],
    /// Starts the parties and checks what they report.
    pub(crate) conduct: fn(&mut Run<'_>) -> Result<(), Failure>,
    /// Removes whatever objects may be left, whoever made them and however far it came.
    pub(crate) remove: fn(&Names),
    /// Whether two terminals can play its `server` and its `client`: it needs a name that both can know.
    pub(crate) two_terminals: Option<TwoTerminals>,
}

/// What a party does.
pub(crate) type Play = fn(&Party) -> Result<(), Failure>;

/// How two terminals find each other.
#[derive(Debug)]
pub(crate) struct TwoTerminals {
    /// The address that both will use, for the user to see.
    pub(crate) address: fn(&Names) -> String,
}

/// A side of a conversation that a user can play in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Waits for the other and answers.
    Server,
    /// Begins.
    Client,
}

impl Side {
    /// The one it talks to.
    pub fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The party's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Demonstration {
    /// Its name: the mechanism's, and a word more where a mechanism has several.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it shows, in a few words.
    pub fn shows(&self) -> &'static str {
        self.shows
    }

    /// Whether its two sides can be played in two terminals.
    pub fn has_sides(&self) -> bool {
        self.two_terminals.is_some()
    }

    /// The address on which its sides meet under these names, if two terminals can play them.
    pub fn address(&self, names: &Names) -> Option<String> {
        self.two_terminals.as_ref().map(|two| (two.address)(names))
    }

    /// Removes whatever objects it may have left under these names.
    pub fn remove(&self, names: &Names) {
        (self.remove)(names);
    }

    pub(crate) fn party(&self, name: &str) -> Option<Play> {
        self.parties.iter().find(|(party, _)| *party == name).map(|(_, play)| *play)
    }
}
