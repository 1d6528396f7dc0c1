//! Channels of all flavours against a queue, in both scopes.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tautline_bus::channel::{Channel, Config, Order, Receiver, Sender};
use tautline_bus::{Carries, Full, InProcess, Local, Private, ReceiveError, SendError};

/// A message that is counted.
type Token = Arc<(usize, u64)>;

/// What the users of a channel do, with numbers that pick one of them.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    SendBatch(usize, usize),
    Loan(usize, bool),
    Receive(usize),
    Take(usize),
    Drain(usize, usize),
    /// A sender goes, and another comes.
    Resend(usize),
    /// A receiver goes, and another comes.
    Rereceive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..3usize;
    prop_oneof![
        4 => who().prop_map(Step::Send),
        2 => (who(), 0..10usize).prop_map(|(who, count)| Step::SendBatch(who, count)),
        2 => (who(), any::<bool>()).prop_map(|(who, sent)| Step::Loan(who, sent)),
        4 => who().prop_map(Step::Receive),
        2 => who().prop_map(Step::Take),
        2 => (who(), 0..10usize).prop_map(|(who, count)| Step::Drain(who, count)),
        1 => who().prop_map(Step::Resend),
        1 => who().prop_map(Step::Rereceive),
    ]
}

struct Model<S: Carries<Token>> {
    channel: Channel<Token, S>,
    senders: Vec<Sender<Token, S>>,
    receivers: Vec<Receiver<Token, S>>,
    /// What is in each lane, or in the first for the one ring.
    lanes: Vec<VecDeque<Token>>,
    config: Config,
    next: u64,
    dropped: u64,
}

impl<S: Carries<Token> + InProcess> Model<S> {
    fn new(config: Config) -> Self {
        let channel = Channel::new(config).unwrap();
        let config = channel.config();
        let shared = config.receivers > 1
            || config.full == Full::Overwrite
            || (config.order == Order::Total && config.senders > 1);
        let lanes = if shared { 1 } else { config.senders };
        Self {
            senders: (0..config.senders).map(|_| channel.sender().unwrap()).collect(),
            receivers: (0..config.receivers).map(|_| channel.receiver().unwrap()).collect(),
            lanes: vec![VecDeque::new(); lanes],
            channel,
            config,
            next: 0,
            dropped: 0,
        }
    }

    fn message(&mut self, who: usize) -> Token {
        self.next += 1;
        Token::new((who, self.next))
    }

    fn lane(&mut self, who: usize) -> &mut VecDeque<Token> {
        let lane = if self.lanes.len() == 1 { 0 } else { who };
        &mut self.lanes[lane]
    }

    fn is_full(&mut self, who: usize) -> bool {
        self.lane(who).len() == self.config.capacity
    }

    fn send(&mut self, who: usize) {
        let message = self.message(who);
        let sent = self.senders[who].send(message.clone());
        if self.is_full(who) && self.config.full == Full::Refuse {
            assert_eq!(sent, Err(SendError::Full(message)));
            return;
        }
        sent.unwrap();
        if self.is_full(who) {
            self.lane(who).pop_front();
            self.dropped += 1;
        }
        self.lane(who).push_back(message);
    }

    fn send_batch(&mut self, who: usize, count: usize) {
        let messages: Vec<_> = (0..count).map(|_| self.message(who)).collect();
        let sent = self.senders[who].send_batch(messages.clone());
        let room = self.config.capacity - self.lane(who).len();
        assert_eq!(sent, count.min(room));
        self.lane(who).extend(messages.into_iter().take(sent));
    }

    fn loan(&mut self, who: usize, send: bool) {
        let (full, message) = (self.is_full(who), self.message(who));
        let draft = self.senders[who].loan();
        if full {
            assert_eq!(draft.unwrap_err(), SendError::Full(()));
        } else if send {
            draft.unwrap().send(message.clone());
            self.lane(who).push_back(message);
        } else {
            // A position of the one ring is gone until a receiver passes it.
            drop(draft.unwrap());
        }
    }

    /// Something was received: it is the oldest of its lane.
    fn check(&mut self, received: Result<Token, ReceiveError>) {
        match received {
            Ok(message) => {
                let lane = self.lane(message.0);
                assert_eq!(lane.pop_front(), Some(message));
            }
            Err(error) => {
                assert_eq!(error, ReceiveError::Empty);
                assert!(self.lanes.iter().all(VecDeque::is_empty));
            }
        }
    }

    fn drain(&mut self, who: usize, count: usize) {
        let messages: Vec<_> = self.receivers[who].drain(count).collect();
        assert!(messages.len() <= count);
        if messages.is_empty() && count > 0 {
            self.check(Err(ReceiveError::Empty));
        }
        messages.into_iter().for_each(|message| self.check(Ok(message)));
    }

    fn run(mut self, steps: &[Step]) {
        let (senders, receivers) = (self.config.senders, self.config.receivers);
        for step in steps {
            match *step {
                Step::Send(who) => self.send(who % senders),
                Step::SendBatch(who, count) => self.send_batch(who % senders, count),
                Step::Loan(who, send) => {
                    // Of one ring the reference does not know void positions: all are sent.
                    let send = send || self.lanes.len() < senders || receivers > 1;
                    let send = send || self.config.full == Full::Overwrite;
                    self.loan(who % senders, send);
                }
                Step::Receive(who) => {
                    let received = self.receivers[who % receivers].try_receive();
                    self.check(received);
                }
                Step::Take(who) => {
                    let taken = self.receivers[who % receivers].take();
                    let taken = taken.map(|message| message.clone());
                    self.check(taken);
                }
                Step::Drain(who, count) => self.drain(who % receivers, count),
                Step::Resend(who) => {
                    drop(self.senders.remove(who % senders));
                    self.senders.insert(who % senders, self.channel.sender().unwrap());
                }
                Step::Rereceive(who) => {
                    drop(self.receivers.remove(who % receivers));
                    self.receivers.insert(who % receivers, self.channel.receiver().unwrap());
                }
            }
            assert_eq!(self.channel.len(), self.lanes.iter().map(VecDeque::len).sum::<usize>());
            assert_eq!(self.receivers[0].dropped(), self.dropped);
        }
        let left: Vec<_> = std::mem::take(&mut self.lanes).into_iter().flatten().collect();
        drop(self);
        assert!(left.iter().all(|message| Arc::strong_count(message) == 1));
    }
}

fn config() -> impl Strategy<Value = Config> {
    let flavour = (1..4usize, 1..4usize, any::<bool>(), any::<bool>());
    (1..9usize, flavour).prop_map(|(capacity, (senders, receivers, total, overwrites))| Config {
        capacity,
        senders,
        receivers,
        order: if total { Order::Total } else { Order::PerSender },
        full: if overwrites { Full::Overwrite } else { Full::Refuse },
        ..Config::default()
    })
}

proptest! {
    /// Every message that was accepted arrives once and in order, or is counted as overwritten;
    /// what finds no room comes back; what is left is dropped with the channel.
    #[test]
    fn channels_behave_like_queues(config in config(), steps in vec(step(), 0..200)) {
        Model::<Private>::new(config).run(&steps);
        Model::<Local>::new(config).run(&steps);
    }
}
