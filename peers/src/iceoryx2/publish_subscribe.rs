//! From publishers to all subscribers.

use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::BackpressureStrategy;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use twixt::bench::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport,
};

use super::event::{listener, notifier, notify, wait};
use super::{Service, alignment, bytes, node};

/// A party's part: a service for each direction.
pub struct PublishSubscribe {
    /// A service lives as long as a node that has opened it.
    _node: Node<Service>,
    setup: Setup,
    out: Option<Line>,
    receiver: Option<Receiver>,
}

/// A service, and that of the events of the same name.
struct Line {
    messages: publish_subscribe::PortFactory<Service, [u8], ()>,
    events: Option<event::PortFactory<Service>>,
}

/// The messages that find room in a subscriber's buffer, where nothing else is asked for: more than its default of 2, so
/// that a publisher seldom has to wait, and no more than the second-level cache has room for.
fn buffer_size(setup: &Setup) -> usize {
    let bytes = setup.capacity.map_or(1 << 18, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    (bytes / setup.workload.size.max(64)).clamp(4, 4096)
}

impl Line {
    fn open(node: &Node<Service>, setup: &Setup, index: usize) -> Result<Self> {
        let name = format!("line-{index}");
        let (size, parties) = (buffer_size(setup), setup.workload.parties());
        let messages = node
            .service_builder(&name.as_str().try_into().map_err(Failure::failed)?)
            .publish_subscribe::<[u8]>()
            .payload_alignment(alignment()?)
            // Nothing may get lost: a full buffer makes the publisher wait.
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size(size)
            .subscriber_max_borrowed_samples(1)
            .max_publishers(parties)
            .max_subscribers(parties)
            .max_nodes(parties)
            .open_or_create()
            .map_err(Failure::failed)?;
        Ok(Self { messages, events: super::event::open(node, setup, &name)? })
    }
}

impl Transport for PublishSubscribe {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        match setup.workload.pattern {
            Pattern::Rtt | Pattern::Throughput | Pattern::Fanout => Ok(()),
            Pattern::Batch => Err(Failure::Unsupported("it sends one message at a time".into())),
            Pattern::Work => {
                Err(Failure::Unsupported("whatever is sent goes to all, none of its patterns shares".into()))
            }
        }
    }

    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        crate::capacity::choices(setup, &[1 << 16, 1 << 20, 4 << 20])
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let node = node(setup)?;
        let is_round_trip = setup.workload.pattern == Pattern::Rtt;
        let (out, own) = match setup.role {
            Role::Publisher(_) => (Some(0), is_round_trip.then_some(1)),
            Role::Subscriber(_) => (is_round_trip.then_some(1), Some(0)),
        };
        let open = |index| Line::open(&node, setup, index);
        let (out, own) = (out.map(open).transpose()?, own.map(open).transpose()?);
        let receiver = own.map(|line| {
            let subscriber = line.messages.subscriber_builder().create().map_err(Failure::failed)?;
            Ok::<_, Failure>(Receiver { subscriber, listener: listener(line.events.as_ref())? })
        });
        let receiver = receiver.transpose()?;
        Ok(Self { _node: node, setup: setup.clone(), out, receiver })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        // A publisher finds the subscribers that there are: by now all of them.
        let sender = self.out.map(|line| {
            let publisher = line
                .messages
                .publisher_builder()
                .initial_max_slice_len(self.setup.workload.size)
                .max_loaned_samples(1)
                .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                .create()
                .map_err(Failure::failed)?;
            let notifier = notifier(line.events.as_ref())?;
            Ok::<_, Failure>(Sender { publisher, notifier, subscribers: self.setup.workload.subscribers })
        });
        Ok(Ends { sender: sender.transpose()?, receiver: self.receiver })
    }

    fn clean(setup: &Setup) {
        super::clean(setup);
    }
}

pub struct Sender {
    publisher: Publisher<Service, [u8], ()>,
    notifier: Option<Notifier<Service>>,
    subscribers: usize,
}

impl Send for Sender {
    /// It waits itself where a buffer is full, by giving up the CPU: there is no way to ask for room first, and a message
    /// that was sent in vain is gone.
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        let mut sample = self.publisher.loan_slice_uninit(message.len()).map_err(Failure::failed)?;
        message.fill(bytes(sample.payload_mut()));
        // SAFETY: all of it has just been written, or had a value before.
        let sample = unsafe { sample.assume_init() };
        let reached = sample.send().map_err(Failure::failed)?;
        if reached != self.subscribers {
            return Err(Failure::Failed(format!(
                "a message has reached {reached} of {} subscribers",
                self.subscribers
            )));
        }
        notify(self.notifier.as_ref())?;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.try_send(message).map(drop)
    }
}

pub struct Receiver {
    subscriber: Subscriber<Service, [u8], ()>,
    listener: Option<Listener<Service>>,
}

impl Receive for Receiver {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let Some(sample) = self.subscriber.receive().map_err(Failure::failed)? else { return Ok(false) };
        incoming.check(sample.payload());
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {
            wait(self.listener.as_ref())?;
        }
        Ok(())
    }
}
