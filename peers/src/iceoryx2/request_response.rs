//! A client's requests, and a server's responses.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use iceoryx2::active_request::ActiveRequest;
use iceoryx2::node::Node;
use iceoryx2::pending_response::PendingResponse;
use iceoryx2::port::client::Client;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::server::Server;
use iceoryx2::prelude::BackpressureStrategy;
use iceoryx2::service::port_factory::{event, request_response};
use twixt::bench::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport,
};

use super::event::{listener, notifier, notify, wait};
use super::{Service, alignment, bytes, node};

type Factory = request_response::PortFactory<Service, [u8], (), [u8], ()>;
type Calling = Client<Service, [u8], (), [u8], ()>;
type Serving = Server<Service, [u8], (), [u8], ()>;
type Pending = PendingResponse<Service, [u8], (), [u8], ()>;
type Active = ActiveRequest<Service, [u8], (), [u8], ()>;

/// A party's part: the one that begins a round trip is the client.
pub struct RequestResponse {
    _node: Node<Service>,
    setup: Setup,
    service: Factory,
    /// Events of the requests, and of the responses.
    events: [Option<event::PortFactory<Service>>; 2],
    listener: Option<Listener<Service>>,
    server: Option<Serving>,
}

impl Transport for RequestResponse {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        match setup.workload.pattern {
            Pattern::Rtt => Ok(()),
            _ => Err(Failure::Unsupported("requests and responses are round trips".into())),
        }
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let node = node(setup)?;
        let service = node
            .service_builder(&"calls".try_into().map_err(Failure::failed)?)
            .request_response::<[u8], [u8]>()
            .request_payload_alignment(alignment()?)
            .response_payload_alignment(alignment()?)
            // Nothing may get lost. One call at a time needs no more than one of everything.
            .enable_safe_overflow_for_requests(false)
            .enable_safe_overflow_for_responses(false)
            .enable_fire_and_forget_requests(false)
            .max_active_requests_per_client(1)
            .max_loaned_requests(1)
            .max_response_buffer_size(1)
            .max_borrowed_responses_per_pending_response(1)
            .max_servers(1)
            .max_clients(1)
            .max_nodes(2)
            .open_or_create()
            .map_err(Failure::failed)?;
        let events =
            [super::event::open(&node, setup, "requests")?, super::event::open(&node, setup, "responses")?];
        let (own, server) = match setup.role {
            Role::Publisher(_) => (&events[1], None),
            Role::Subscriber(_) => {
                let server = service
                    .server_builder()
                    .initial_max_slice_len(setup.workload.size)
                    .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                    .max_loaned_responses_per_request(1)
                    .create();
                (&events[0], Some(server.map_err(Failure::failed)?))
            }
        };
        let listener = listener(own.as_ref())?;
        Ok(Self { _node: node, setup: setup.clone(), service, events, listener, server })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let [requests, responses] = &self.events;
        let listener = self.listener;
        if let Some(server) = self.server {
            let request = Rc::new(Cell::new(None));
            let notifier = notifier(responses.as_ref())?;
            let sender = Sender { side: Sending::Server { request: request.clone() }, notifier };
            let receiver = Receiver { side: Receiving::Server { server, request }, listener };
            return Ok(Ends { sender: Some(sender), receiver: Some(receiver) });
        }
        let client = self
            .service
            .client_builder()
            .initial_max_slice_len(self.setup.workload.size)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .map_err(Failure::failed)?;
        let pending = Rc::new(RefCell::new(None));
        let notifier = notifier(requests.as_ref())?;
        let sender = Sender { side: Sending::Client { client, pending: pending.clone() }, notifier };
        Ok(Ends {
            sender: Some(sender),
            receiver: Some(Receiver { side: Receiving::Client { pending }, listener }),
        })
    }

    fn clean(setup: &Setup) {
        super::clean(setup);
    }
}

/// Sends requests, or responses to the request that its receiver has had.
pub struct Sender {
    side: Sending,
    notifier: Option<Notifier<Service>>,
}

enum Sending {
    Client { client: Calling, pending: Rc<RefCell<Option<Pending>>> },
    Server { request: Rc<Cell<Option<Active>>> },
}

impl Send for Sender {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        match &self.side {
            Sending::Client { client, pending } => {
                let mut request = client.loan_slice_uninit(message.len()).map_err(Failure::failed)?;
                message.fill(bytes(request.payload_mut()));
                // SAFETY: all of it has just been written, or had a value before.
                let request = unsafe { request.assume_init() };
                pending.replace(Some(request.send().map_err(Failure::failed)?));
            }
            Sending::Server { request } => {
                let request =
                    request.take().ok_or_else(|| Failure::failed("there is no request to answer"))?;
                let mut response = request.loan_slice_uninit(message.len()).map_err(Failure::failed)?;
                message.fill(bytes(response.payload_mut()));
                // SAFETY: as above.
                let response = unsafe { response.assume_init() };
                response.send().map_err(Failure::failed)?;
            }
        }
        notify(self.notifier.as_ref())?;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.try_send(message).map(drop)
    }
}

/// Receives requests, or the response to the request that its sender has sent.
pub struct Receiver {
    side: Receiving,
    listener: Option<Listener<Service>>,
}

enum Receiving {
    Client { pending: Rc<RefCell<Option<Pending>>> },
    Server { server: Serving, request: Rc<Cell<Option<Active>>> },
}

impl Receive for Receiver {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        match &self.side {
            Receiving::Client { pending } => {
                let mut pending = pending.borrow_mut();
                let asked = pending.as_ref().ok_or_else(|| Failure::failed("nothing has been asked"))?;
                let Some(response) = asked.receive().map_err(Failure::failed)? else { return Ok(false) };
                incoming.check(response.payload());
                drop(response);
                *pending = None;
            }
            Receiving::Server { server, request } => {
                let Some(active) = server.receive().map_err(Failure::failed)? else { return Ok(false) };
                incoming.check(active.payload());
                request.set(Some(active));
            }
        }
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {
            wait(self.listener.as_ref())?;
        }
        Ok(())
    }
}
