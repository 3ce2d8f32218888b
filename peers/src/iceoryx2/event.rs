//! Sleeping until there is a message.

use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::service::port_factory::event::PortFactory;
use twixt::bench::{Failure, Result, Setup};

use super::{Service, sleeps};

/// The events of the messages of that name.
pub fn open(node: &Node<Service>, setup: &Setup, name: &str) -> Result<Option<PortFactory<Service>>> {
    if !sleeps(setup) {
        return Ok(None);
    }
    let parties = setup.workload.parties();
    let service = node
        .service_builder(&name.try_into().map_err(Failure::failed)?)
        .event()
        .max_nodes(parties)
        .max_notifiers(parties)
        .max_listeners(parties)
        .open_or_create();
    service.map(Some).map_err(Failure::failed)
}

pub fn listener(service: Option<&PortFactory<Service>>) -> Result<Option<Listener<Service>>> {
    service.map(|it| it.listener_builder().create()).transpose().map_err(Failure::failed)
}

pub fn notifier(service: Option<&PortFactory<Service>>) -> Result<Option<Notifier<Service>>> {
    service.map(|it| it.notifier_builder().create()).transpose().map_err(Failure::failed)
}

/// Says that there is something.
#[inline]
pub fn notify(notifier: Option<&Notifier<Service>>) -> Result<()> {
    if let Some(notifier) = notifier {
        notifier.notify().map_err(Failure::failed)?;
    }
    Ok(())
}

/// Sleeps until there was something to say since the last time.
pub fn wait(listener: Option<&Listener<Service>>) -> Result<()> {
    let listener = listener.ok_or_else(|| Failure::failed("there is no listener, as nobody was to sleep"))?;
    listener.blocking_wait(|_| ()).map(drop).map_err(Failure::failed)
}
