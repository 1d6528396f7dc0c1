//! iceoryx2: publish and subscribe, a service each way, payloads written and read in place; its
//! events where a reader sleeps.

use std::{fmt, io};

use iceoryx2::{
    node::{Node, NodeBuilder},
    port::{
        backpressure_strategy::BackpressureStrategy, listener::Listener, notifier::Notifier,
        publisher::Publisher, subscriber::Subscriber,
    },
    prelude::{LogLevel, SignalHandlingMode, ZeroCopySend, set_log_level},
    service::ipc::Service,
};

use super::way::{Pass, Way};
use crate::bus::ends::{Give, Message, Take};

/// Services with so many places; the reader polls, or sleeps.
pub(super) struct Services<const SLEEPS: bool, const N: usize>;

/// A publisher, and who is told of it where the reader sleeps.
pub(super) struct Giver<M: Message + fmt::Debug + ZeroCopySend> {
    publisher: Publisher<Service, M, ()>,
    notifier: Option<Notifier<Service>>,
    _node: Node<Service>,
}

/// A subscriber, and where it sleeps if it does.
pub(super) struct Taker<M: Message + fmt::Debug + ZeroCopySend> {
    subscriber: Subscriber<Service, M, ()>,
    listener: Option<Listener<Service>>,
    _node: Node<Service>,
}

fn other(error: impl fmt::Debug) -> io::Error {
    io::Error::other(format!("iceoryx2: {error:?}"))
}

fn node() -> io::Result<Node<Service>> {
    set_log_level(LogLevel::Fatal);
    let builder = NodeBuilder::new().signal_handling_mode(SignalHandlingMode::Disabled);
    builder.create().map_err(other)
}

impl<M: Message + fmt::Debug + ZeroCopySend> Give<M> for Giver<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.give_number(message.number())
    }

    #[inline(always)]
    fn give_number(&mut self, number: u64) -> bool {
        let Ok(mut sample) = self.publisher.loan_uninit() else { return false };
        M::fill(sample.payload_mut(), number);
        // SAFETY: it was written as a whole.
        let sent = unsafe { sample.assume_init() }.send();
        let told = self.notifier.as_ref().is_none_or(|notifier| notifier.notify().is_ok());
        told && sent.is_ok_and(|receivers| receivers > 0)
    }
}

impl<M: Message + fmt::Debug + ZeroCopySend> Take<M> for Taker<M> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        loop {
            match (self.subscriber.receive(), &self.listener) {
                (Ok(Some(sample)), _) => {
                    each(sample.payload());
                    return true;
                }
                (Ok(None), Some(listener)) => {
                    if listener.blocking_wait(|_| ()).is_err() {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }
}

type Ends<M> = (Giver<M>, Taker<M>);

fn ends<M, const SLEEPS: bool, const N: usize>(
    pass: &Pass,
    [out, into]: [&str; 2],
) -> io::Result<Ends<M>>
where
    M: Message + fmt::Debug + ZeroCopySend,
{
    let (giving, taking) = (node()?, node()?);
    let named = |way: &str| format!("{}/{way}", pass.text).as_str().try_into().map_err(other);
    let service = |node: &Node<Service>, way: &str| {
        let builder = node.service_builder(&named(way)?).publish_subscribe::<M>();
        let builder = builder.subscriber_max_buffer_size(N).enable_safe_overflow(false);
        builder.history_size(0).max_nodes(4).open_or_create().map_err(other)
    };
    let event = |node: &Node<Service>, way: &str| {
        let builder = node.service_builder(&named(way)?).event();
        builder.open_or_create().map_err(other)
    };
    let outgoing = service(&giving, out)?;
    let publisher =
        outgoing.publisher_builder().backpressure_strategy(BackpressureStrategy::DiscardData);
    let publisher = publisher.create().map_err(other)?;
    let subscriber = service(&taking, into)?.subscriber_builder().create().map_err(other)?;
    let (mut notifier, mut listener) = (None, None);
    if SLEEPS {
        let (out, into) = (event(&giving, out)?, event(&taking, into)?);
        notifier = Some(out.notifier_builder().create().map_err(other)?);
        listener = Some(into.listener_builder().create().map_err(other)?);
    }
    let giver = Giver { publisher, notifier, _node: giving };
    Ok((giver, Taker { subscriber, listener, _node: taking }))
}

impl<M, const SLEEPS: bool, const N: usize> Way<M> for Services<SLEEPS, N>
where
    M: Message + fmt::Debug + ZeroCopySend,
{
    type Giver = Giver<M>;
    type Taker = Taker<M>;

    fn first() -> io::Result<(Giver<M>, Taker<M>, Pass)> {
        let pass = Pass::of_name();
        let (giver, taker) = ends::<M, SLEEPS, N>(&pass, ["there", "back"])?;
        Ok((giver, taker, pass))
    }

    fn second(pass: &Pass) -> io::Result<Ends<M>> {
        ends::<M, SLEEPS, N>(pass, ["back", "there"])
    }
}
