//! What is known of a transport that is an address.

use twixt_address::{Address, OptionName, Scheme};
use twixt_channel::{Boundaries, Capabilities, Content, Direction, Parties, Persistence};

use crate::Need;

/// A kind of address as a transport.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its row of the table of addresses.
    pub scheme: &'static Scheme,
    /// What it can do.
    pub can: Capabilities,
    /// What stands for it: the address that was measured, or the table's example.
    address: String,
}

impl Kind {
    /// Of a transport's name or address; `None` of what is neither, or carries no messages.
    pub fn of(transport: &str) -> Option<Self> {
        let text = match transport.split_once(':') {
            Some(_) => transport,
            // The bus is measured by its own interface, and is reached by an address all the same.
            None => Scheme::of(transport.strip_prefix("bus-").unwrap_or(transport))?.example,
        };
        let scheme = Scheme::of(text.split(':').next()?)?;
        let address: Address = text.parse().ok()?;
        let can = Capabilities::of(address.endpoint())?;
        let has_framing = scheme.options.contains(&OptionName::Framing) && !text.contains("framing=");
        let address = if can.boundaries == Boundaries::Framed && has_framing {
            // Messages of any bytes, as they were measured.
            format!("{text}{}framing=len", if text.contains('?') { '&' } else { '?' })
        } else {
            text.to_owned()
        };
        Some(Self { scheme, can, address })
    }

    /// An address to begin with.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it has that.
    pub fn has(&self, need: Need) -> bool {
        let can = &self.can;
        match need {
            Need::Boundaries => can.boundaries == Boundaries::Kept,
            // On the bus it is less than half of the ring, and known when that is made.
            Need::AnyLength => {
                can.max_message.is_none() && !matches!(self.scheme.name, "topic" | "queue" | "latest" | "rpc")
            }
            Need::Bytes => can.content == Content::Bytes,
            Need::EmptyMessages => can.empty_messages,
            Need::BothWays => can.direction == Direction::BothWays,
            Need::Priority => can.priority.is_some(),
            Need::Types => can.types,
            Need::FdPassing => can.descriptors > 0,
            Need::Credentials => can.credentials,
            Need::Persistence => can.persistence != Persistence::Process,
            Need::ManySenders => can.senders == Parties::Many,
            Need::ManyReceivers => can.receivers == Parties::Many,
            Need::FanOut => can.receivers == Parties::All,
            Need::Reliable => can.reliable,
            // Where several senders share a stream of bytes, one that is killed may leave a part of a message between theirs.
            Need::CrashSafe => {
                can.boundaries == Boundaries::Kept || !matches!(self.scheme.name, "fifo" | "file")
            }
            Need::SeesEnd => can.sees_end,
            Need::Pollable => can.pollable,
            Need::Network => matches!(self.scheme.name, "tcp" | "udp" | "raw"),
        }
    }

    /// Two command lines that talk over it; none for what has no name to meet at.
    pub fn commands(&self) -> Vec<String> {
        let anonymous = ["pipe", "eventfd", "memfd", "fd", "-", "exec", "signal"];
        if anonymous.contains(&self.scheme.name) {
            return Vec::new();
        }
        let address = if self.address.contains(['?', '&', '*', '[', ' ', '\'']) {
            format!("'{}'", self.address.replace('\'', "'\\''"))
        } else {
            self.address.clone()
        };
        let creates = self.scheme.options.contains(&OptionName::Create)
            && !self.scheme.name.starts_with("unix")
            && !self.address.contains("create");
        let create = if creates { "--create " } else { "" };
        vec![format!("twixt recv {create}{address}"), format!("twixt send {address} hello")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_known_by_its_addresses() {
        let topic = Kind::of("bus-topic").unwrap();
        assert_eq!(topic.scheme.name, "topic");
        assert!(topic.has(Need::FanOut) && topic.has(Need::CrashSafe) && !topic.has(Need::ManyReceivers));
        let queue = Kind::of("bus-queue").unwrap();
        assert!(queue.has(Need::ManyReceivers) && queue.has(Need::Persistence) && !queue.has(Need::FanOut));
        let latest = Kind::of("bus-latest").unwrap();
        assert!(latest.has(Need::FanOut) && !latest.has(Need::AnyLength));
        let rpc = Kind::of("bus-rpc").unwrap();
        assert!(rpc.has(Need::BothWays) && rpc.has(Need::SeesEnd) && !rpc.has(Need::FanOut));
        assert!(topic.commands()[0].starts_with("twixt recv --create topic:"), "{:?}", topic.commands());
    }

    #[test]
    fn what_is_no_address_is_not_known() {
        assert!(Kind::of("floor-ring").is_none() && Kind::of("process-vm").is_none());
    }
}
