//! The table of cases.

use crate::stage::{Played, Stage};

mod attributes;
mod capacities;
mod ends;
mod endurance;
mod messages;
mod readiness;
mod sharing;
mod waiting;

pub struct Case {
    pub name: &'static str,
    pub play: fn(&Stage) -> Played,
    /// Whether it keeps the machine so busy that no two such cases run at the same time.
    pub is_heavy: bool,
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // What a message is.
    case("order", messages::order),
    case("boundaries", messages::boundaries),
    case("empty-message", messages::empty),
    case("any-bytes", messages::any_bytes),
    heavy("largest", messages::largest),
    case("numbers", messages::numbers),
    // How a call waits.
    case("empty", waiting::empty),
    case("full", waiting::full),
    case("past-deadline", waiting::past_deadline),
    case("deadline-in-storm", waiting::deadline_in_storm),
    case("storm", waiting::storm),
    case("interruptible", waiting::interruptible),
    case("given-back", waiting::given_back),
    case("readiness", readiness::readiness),
    // How it begins and ends.
    case("peer-gone-before", ends::gone_before),
    case("peer-gone-during", ends::gone_during),
    case("peer-gone-after", ends::gone_after),
    case("close-with-data", ends::close_with_data),
    case("nobody-there", ends::nobody_there),
    case("persistence", ends::persistence),
    // Who takes part.
    case("many-senders", sharing::many_senders),
    case("many-receivers", sharing::many_receivers),
    case("direction", sharing::direction),
    // What goes along.
    case("priority", attributes::priority),
    case("types", attributes::types),
    case("descriptors", attributes::descriptors),
    case("credentials", attributes::credentials),
    // How much fits in.
    case("capacity-zero", capacities::zero),
    case("capacity-bounded", capacities::bounded),
    case("capacity-unbounded", capacities::unbounded),
    case("length", capacities::length),
    case("claims", capacities::claims),
    heavy("million", endurance::million),
];

const fn case(name: &'static str, play: fn(&Stage) -> Played) -> Case {
    Case { name, play, is_heavy: false }
}

const fn heavy(name: &'static str, play: fn(&Stage) -> Played) -> Case {
    Case { is_heavy: true, ..case(name, play) }
}
