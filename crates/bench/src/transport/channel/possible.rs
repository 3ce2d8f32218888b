//! Which workloads a kind cannot do, and why.

use twixt_address::{Endpoint, Framing, UnixKind};
use twixt_channel::Content;

use super::{Kind, capacity, link, many};
use crate::{Failure, Pattern, Result, Setup};

/// What a file may grow to in a run: nothing of it goes before the run's end.
const MOST_OF_A_FILE: u64 = 1 << 30;

pub(super) fn check(setup: &Setup) -> Result<()> {
    let kind = Kind::of(setup)?;
    nature(&kind)
        .and_then(|()| size(setup, &kind))
        .and_then(|()| pattern(setup, &kind))
        .map_err(Failure::Unsupported)?;
    if setup.capacity.is_some()
        && let Some(why) = capacity::refusal(&kind)
    {
        return Err(Failure::Unsupported(why.into()));
    }
    // Each link beside the first has to have a name.
    let last =
        if setup.workload.pattern == Pattern::Rtt { link::BACK } else { kind.links(setup).saturating_sub(1) };
    if kind.is_given && !kind.is_anonymous() && (kind.needs_way_back() || last != link::BACK) {
        link::sibling(kind.address.endpoint().clone(), last)?;
    }
    Ok(())
}

pub(super) fn most_messages(setup: &Setup) -> u64 {
    match Kind::of(setup).map(|kind| kind.address.endpoint().clone()) {
        Ok(Endpoint::File(_)) => (MOST_OF_A_FILE / (setup.workload.size as u64 + 16)).max(1),
        _ => u64::MAX,
    }
}

type Possible = core::result::Result<(), String>;

/// What it is at all.
fn nature(kind: &Kind) -> Possible {
    match kind.address.endpoint() {
        Endpoint::Exec(_) => Err("it starts a program of its own, which is no party of a measurement".into()),
        Endpoint::Fd(_) | Endpoint::Stdio => {
            Err("the parties inherit no such descriptor; give the kind that it is".into())
        }
        Endpoint::Signal { .. } if kind.is_given => {
            Err("the parties' process numbers are known when they run; give `signal` alone".into())
        }
        Endpoint::SysvMsg(twixt_address::SysvKey::Private)
        | Endpoint::SysvShm(twixt_address::SysvKey::Private)
            if kind.is_given =>
        {
            Err("with `private` each party would have its own; give a key".into())
        }
        _ => match kind.can.framing {
            _ if kind.address.options().framing().is_some_and(is_for_text) => {
                Err("its framing takes no message that has any bytes; give ?framing=len or frame".into())
            }
            Some(usual) if kind.address.options().framing().is_none() && is_for_text(usual) => Err(format!(
                "its usual framing is {usual}, which takes no message that has any bytes; give ?framing=len"
            )),
            _ => Ok(()),
        },
    }
}

/// Whether it takes no messages of any bytes, or keeps no boundaries.
fn is_for_text(framing: Framing) -> bool {
    !matches!(framing, Framing::Len | Framing::Frame)
}

fn size(setup: &Setup, kind: &Kind) -> Possible {
    let size = setup.workload.size as u64;
    let within = |most: Option<u64>, what: &str| match most {
        Some(most) if most < size => Err(format!("its messages have at most {most} bytes ({what})")),
        _ => Ok(()),
    };
    if let Content::Number { most, .. } = kind.can.content {
        let bytes = if most > u32::MAX.into() { 8 } else { 4 };
        return if size <= bytes {
            Ok(())
        } else {
            Err(format!("a message is a number of {bytes} bytes; give --size {bytes}"))
        };
    }
    match kind.address.endpoint() {
        Endpoint::PosixMq(_) => {
            let most =
                kind.address.options().message_size().or_else(|| capacity::sysctl("fs.mqueue.msgsize_max"));
            within(most, "message-size")?;
            within(capacity::sysctl("fs.mqueue.msgsize_max"), "fs.mqueue.msgsize_max")?;
            if capacity::messages(setup).is_none() {
                return Err("so many queues of such messages are more than RLIMIT_MSGQUEUE allows".into());
            }
            Ok(())
        }
        Endpoint::SysvMsg(_) => {
            within(capacity::sysctl("kernel.msgmax"), "kernel.msgmax")?;
            within(capacity::sysctl("kernel.msgmnb"), "kernel.msgmnb")
        }
        Endpoint::Unix { kind: UnixKind::Datagram | UnixKind::Seqpacket, .. } => {
            let usual = capacity::sysctl("net.core.wmem_default").unwrap_or(0);
            let most = capacity::sysctl("net.core.wmem_max").unwrap_or(0).saturating_mul(2).max(usual);
            let chosen = setup.capacity.or(kind.address.options().capacity()).filter(|&it| it > 0);
            within(Some(chosen.unwrap_or(most).saturating_sub(32)), "the socket's send buffer")
        }
        Endpoint::Mmap(_) | Endpoint::SysvShm(_) | Endpoint::PosixShm(_) => {
            let chosen = setup.capacity.or(kind.address.options().capacity()).filter(|&it| it > 0);
            within(chosen.map(|it| it.saturating_sub(64)), "the ring's capacity")
        }
        _ => within(kind.can.max_message.map(|most| most as u64), "the mechanism's own limit"),
    }
}

fn pattern(setup: &Setup, kind: &Kind) -> Possible {
    let workload = &setup.workload;
    let is_number = matches!(kind.can.content, Content::Number { .. });
    match workload.pattern {
        Pattern::Rtt => Ok(()),
        _ if matches!(kind.can.content, Content::Number { adds_up: true, .. }) => {
            Err("it adds up what nobody has read yet: only there and back are messages told apart".into())
        }
        Pattern::Throughput | Pattern::Fanout => Ok(()),
        Pattern::Batch if many::is_possible(kind) => Ok(()),
        Pattern::Batch => Err("it moves one message at a time".into()),
        Pattern::Work if kind.gives_all_to_all() => {
            Err("each that reads a file has all of it, so that none can have a part".into())
        }
        Pattern::Work if is_number => Err("its numbers are too few to say also who has sent them".into()),
        Pattern::Work if workload.publishers > 1 => match unmixed(kind) {
            Some(most) if workload.size > most => Err(format!(
                "what several write to a pipe stays in one piece up to {most} bytes of a message"
            )),
            _ => Ok(()),
        },
        Pattern::Work => Ok(()),
    }
}

/// The longest message that stays whole where several write to one pipe.
fn unmixed(kind: &Kind) -> Option<usize> {
    let overhead = match kind.address.options().framing() {
        Some(Framing::Len) => 4,
        _ => 12,
    };
    match kind.address.endpoint() {
        Endpoint::Pipe | Endpoint::Fifo(_) => Some(twixt_os::pipe::PIPE_BUF - overhead),
        _ => None,
    }
}
