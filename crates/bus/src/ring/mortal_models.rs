//! Every interleaving of small shared rings whose users die, with at most three preemptions.

use loom::thread;

use super::mortal::State;
use crate::error::Corrupt;
use crate::event::LocalEvent;
use crate::ring::Line;
use crate::ring::fan::{self, Start};
use crate::ring::lot::{Lot, Redeemed};
use crate::ring::many::{Ends, Ring, Stamped};
use crate::ring::tape::{self, Found};
use crate::scope::{Carries, Heap, InProcess, Place, Scope, Word};
use crate::sync::{Arc, AtomicU32, AtomicU64};
use crate::waker::LocalWaker;

/// Threads that play processes: what they hold when they go stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadly;

impl Scope for Deadly {
    const NAME: &'static str = "deadly";
    const OTHERS_RUN: bool = true;
    const MORTAL: bool = true;
    type Word = AtomicU64;
    type Word32 = AtomicU32;
    type Shared<T> = Arc<T>;
    type Shelf<T> = std::sync::Mutex<T>;
    type One<T> = Box<T>;
    type Array<T> = crate::aligned::Aligned<T>;
    type Store = Heap;
    type Keep = ();
    type Attention = ();
    type Event = LocalEvent;
    type Waker = LocalWaker;

    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn user() -> u64 {
        1
    }
}

impl InProcess for Deadly {}

// SAFETY: values that are `Send` may arrive on any thread.
unsafe impl<T: Send + Copy> Carries<T> for Deadly {
    unsafe fn put(place: &Place<T>, value: T) {
        // SAFETY: as promised.
        unsafe { place.write(value) };
    }

    unsafe fn get<E: From<Corrupt>>(place: &Place<T>) -> Result<T, E> {
        // SAFETY: as promised.
        Ok(unsafe { place.read() })
    }

    unsafe fn discard(_: &Place<T>) {}
}

// SAFETY: as for `Local`.
unsafe impl<T: Send> Send for Ring<T, Deadly> {}

/// The memory of a ring for two messages, and the ends that users make of it.
struct Memory {
    ends: Ends<Deadly>,
    slots: Vec<Stamped<u32, Deadly>>,
}

// SAFETY: as for `Local`.
unsafe impl Send for Memory {}
// SAFETY: as for `Local`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self { ends: Ends::new(), slots: (0..2).map(Stamped::new).collect() })
    }

    /// The ring as that user sees it; its caller keeps the memory.
    fn of(&self, seat: usize) -> Ring<u32, Deadly> {
        // SAFETY: all threads of a model are joined before the memory goes.
        unsafe { Ring::new(&self.ends, &self.slots, seat) }
    }
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 10_000;
    model.check(body);
}

fn give(ring: &Ring<u32, Deadly>, message: u32) -> bool {
    match ring.claim_to_give() {
        Some(claim) => {
            ring.give(claim, message);
            true
        }
        None => false,
    }
}

fn take(ring: &Ring<u32, Deadly>) -> Option<(u32, bool)> {
    let claim = ring.claim_to_take(|| ())?;
    let again = claim.was_lent();
    ring.take(claim).ok().map(|message| (message, again))
}

/// Two givers and a taker: what was given arrives once.
#[test]
fn loom_every_message_of_a_mortal_ring_arrives_once() {
    check(|| {
        let memory = Memory::new();
        let threads: Vec<_> = (0..2)
            .map(|id| {
                let memory = memory.clone();
                thread::spawn(move || assert!(give(&memory.of(2 + id), id as u32)))
            })
            .collect();
        let ring = memory.of(0);
        let mut got: Vec<_> = take(&ring).into_iter().collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        got.extend(std::iter::from_fn(|| take(&ring)));
        got.sort_unstable();
        assert_eq!(got, [(0, false), (1, false)]);
    });
}

/// A giver that dies with a claim does not hold up what another gives, whoever clears its seat
/// when.
#[test]
fn loom_a_dead_giver_wedges_nobody() {
    check(|| {
        let memory = Memory::new();
        drop(memory.of(2).claim_to_give().expect("room in an empty ring"));
        let clearer = {
            let memory = memory.clone();
            thread::spawn(move || assert_eq!(memory.of(2).clear(false), 0))
        };
        let giver = {
            let memory = memory.clone();
            thread::spawn(move || assert!(give(&memory.of(3), 7)))
        };
        let ring = memory.of(0);
        let early = take(&ring);
        clearer.join().unwrap();
        giver.join().unwrap();
        assert_eq!(early.or_else(|| take(&ring)), Some((7, false)));
        assert_eq!(take(&ring), None);
        // Both slots are free again.
        assert!(give(&ring, 1) && give(&ring, 2) && !give(&ring, 3));
    });
}

/// What a taker that dies has on loan comes again, marked and once, though two clear its seat and
/// another takes.
#[test]
fn loom_what_a_dead_taker_had_comes_again_once() {
    check(|| {
        let memory = Memory::new();
        assert!(give(&memory.of(2), 7));
        drop(memory.of(0).claim_to_take(|| ()).expect("a message"));
        let clearer = {
            let memory = memory.clone();
            thread::spawn(move || memory.of(0).clear(true))
        };
        let taker = {
            let memory = memory.clone();
            thread::spawn(move || take(&memory.of(1)))
        };
        memory.of(0).clear(true);
        // Not of the dead one's seat, which nobody has before it is cleared.
        let ring = memory.of(4);
        let mut got: Vec<_> = take(&ring).into_iter().collect();
        assert_eq!(clearer.join().unwrap(), 0);
        got.extend(taker.join().unwrap());
        got.extend(std::iter::from_fn(|| take(&ring)));
        assert_eq!(got, [(7, true)]);
    });
}

/// Laps are compared as they wrap around.
#[test]
fn loom_laps_wrap_around() {
    let last = State::new(u64::MAX, 0, 0);
    assert_eq!(last.freed().ahead_of(last.lap()), 1);
    assert_eq!(last.ahead_of(last.freed().lap()), -1);
}

// ------------------------------------------------------------------------------------ a lot

/// Slots that are lent, and what lies in them, as loom watches it.
struct Slots {
    words: Vec<Stamped<u32, Deadly>>,
    contents: Vec<loom::cell::UnsafeCell<u32>>,
}

// SAFETY: who has a slot touches its content alone, which loom watches.
unsafe impl Sync for Slots {}
// SAFETY: as above.
unsafe impl Send for Slots {}

impl Slots {
    fn new(count: usize) -> Arc<Self> {
        let contents = (0..count).map(|_| loom::cell::UnsafeCell::new(0)).collect();
        Arc::new(Self { words: (0..count).map(Stamped::new).collect(), contents })
    }

    fn of(&self, seat: usize) -> Lot<'_, u32, Deadly> {
        Lot::new(&self.words, seat)
    }

    fn write(&self, index: u32, value: u32) {
        // SAFETY: the caller has the slot.
        self.contents[index as usize].with_mut(|content| unsafe { *content = value });
    }

    fn read(&self, index: u32) -> u32 {
        // SAFETY: the caller has the slot.
        self.contents[index as usize].with(|content| unsafe { *content })
    }

    /// Takes the slot of a ticket, looks at it and gives it back.
    fn redeem(&self, seat: usize, (index, lap): (u32, u64)) -> Option<u32> {
        (self.of(seat).redeem(index, lap) == Redeemed::Now).then(|| self.use_up(seat, index))
    }

    /// The same for one who comes while somebody clears the dead one's seat, until that is done.
    fn redeem_or_inherit(&self, seat: usize, (index, lap): (u32, u64)) -> Option<u32> {
        let has_it = match self.of(seat).redeem(index, lap) {
            Redeemed::Now => true,
            Redeemed::By(from) => {
                self.of(seat).inherit(index, lap, from)
                    || self.of(seat).redeem(index, lap) == Redeemed::Now
            }
            Redeemed::Before => false,
        };
        has_it.then(|| self.use_up(seat, index))
    }

    fn use_up(&self, seat: usize, index: u32) -> u32 {
        let value = self.read(index);
        self.of(seat).free(index);
        value
    }
}

/// A ticket brings its slot once, with what was written, though its giver dies before it can say
/// that it is on its way and two have the ticket.
#[test]
fn loom_a_ticket_brings_its_slot_once() {
    check(|| {
        let slots = Slots::new(1);
        let index = slots.of(0).lend(&mut 0).expect("a free slot");
        slots.write(index, 7);
        let ticket = (index, slots.of(0).offer(index));
        let clearer = {
            let slots = slots.clone();
            thread::spawn(move || slots.of(0).clear())
        };
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.redeem(1, ticket))
        };
        let mine = slots.redeem(2, ticket);
        clearer.join().unwrap();
        let theirs = other.join().unwrap();
        assert!(mine.xor(theirs) == Some(7), "{mine:?} {theirs:?}");
        assert_eq!(slots.of(2).available(), 1);
    });
}

/// A slot whose ticket may have died is lent anew or redeemed, never both; who has it has it alone.
#[test]
fn loom_what_is_lent_anew_is_not_redeemed() {
    check(|| {
        let slots = Slots::new(1);
        let index = slots.of(0).lend(&mut 0).expect("a free slot");
        slots.write(index, 7);
        let ticket = (index, slots.of(0).offer(index));
        slots.of(0).clear();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.redeem(1, ticket))
        };
        if let Some(index) = slots.of(2).lend(&mut 0) {
            slots.write(index, 8);
            slots.of(2).free(index);
        }
        assert!(matches!(other.join().unwrap(), None | Some(7)));
        assert_eq!(slots.of(2).available(), 1);
        let redeemed = slots.of(2).redeem(ticket.0, ticket.1);
        assert_eq!(redeemed, Redeemed::Before, "it was redeemed before, or is stale");
    });
}

/// The ticket of a slot that a dead one has brings the slot once, while its seat is being cleared and
/// when it is.
#[test]
fn loom_what_a_dead_one_has_is_inherited_once() {
    check(|| {
        let slots = Slots::new(1);
        let index = slots.of(0).lend(&mut 0).expect("a free slot");
        slots.write(index, 7);
        let ticket = (index, slots.of(0).offer(index));
        slots.of(0).sent(index, ticket.1);
        assert_eq!(slots.of(1).redeem(index, ticket.1), Redeemed::Now);
        let clearer = {
            let slots = slots.clone();
            thread::spawn(move || slots.of(1).clear())
        };
        assert_eq!(slots.redeem_or_inherit(2, ticket), Some(7));
        clearer.join().unwrap();
        assert_eq!(slots.of(2).available(), 1);
        assert_eq!(slots.redeem_or_inherit(2, ticket), None);
    });
}

/// A taker that dies leaves its slot to whoever gets the ticket again; a giver that dies before it
/// sends leaves it free.
#[test]
fn loom_slots_of_the_dead_come_back() {
    check(|| {
        let slots = Slots::new(2);
        let index = slots.of(0).lend(&mut 0).expect("a free slot");
        slots.write(index, 7);
        let ticket = (index, slots.of(0).offer(index));
        slots.of(0).sent(index, ticket.1);
        assert_eq!(slots.of(1).redeem(index, ticket.1), Redeemed::Now);
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                slots.of(1).clear();
                slots.redeem(2, ticket)
            })
        };
        let unsent = slots.of(3).lend(&mut 0).expect("the other slot, or the dead one's");
        slots.write(unsent, 8);
        slots.of(3).clear();
        let again = other.join().unwrap();
        assert!(again == Some(7) || (again.is_none() && unsent == index));
        assert_eq!(slots.of(0).available(), 2);
    });
}

// ------------------------------------------------------------------------ a tape, and a fan

/// Two words, so that one of them may be of another message.
type Pair = [u64; 2];

struct Tape {
    tail: tape::Row<Deadly>,
    words: Vec<AtomicU64>,
}

impl Tape {
    fn new(capacity: usize) -> Arc<Self> {
        let word = |_| <AtomicU64 as Word<u64>>::new(0);
        let words = capacity * tape::slot_words::<Pair>();
        Arc::new(Self { tail: Line(word(0)), words: (0..words).map(word).collect() })
    }

    fn giver(&self) -> tape::Giver<Pair, Deadly> {
        // SAFETY: one at a time, and all threads are joined before the memory goes.
        unsafe { tape::Giver::new(&self.tail, &self.words) }
    }

    fn taker(&self) -> tape::Taker<Pair, Deadly> {
        // SAFETY: all threads are joined before the memory goes.
        unsafe { tape::Taker::new(&self.tail, &self.words, Start::Next) }
    }
}

/// Takes what is there up to `most` messages; what is got and what is missed, none torn, in order.
fn follow(taker: &mut tape::Taker<Pair, Deadly>, next: &mut u64, most: usize) {
    for _ in 0..most {
        match taker.take().unwrap() {
            Found::Message(message) => {
                assert_eq!(message, [*next, !*next]);
                *next += 1;
            }
            Found::Overtaken => *next += taker.skip(),
            Found::Nothing => return,
        }
    }
}

/// A taker, and a giver that dies as `die` has it before another gives: what is got and missed is
/// all that was given, which are `given` messages.
fn taken_over(capacity: usize, given: u64, die: fn(tape::Giver<Pair, Deadly>)) {
    check(move || {
        let tape = Tape::new(capacity);
        let comes = tape.clone();
        let (mut taker, mut next) = (tape.taker(), 0);
        let thread = thread::spawn(move || {
            die(comes.giver());
            // Its seat is cleared; the next one comes.
            let mut giver = comes.giver();
            (given - 2..given).for_each(|n| giver.give(&[n, !n]));
        });
        follow(&mut taker, &mut next, 3);
        thread.join().unwrap();
        follow(&mut taker, &mut next, 9);
        assert_eq!(next, given);
    });
}

/// A giver dies when its message is there and not yet counted: the next one gives none in its place,
/// for takers may have it already.
#[test]
fn loom_the_last_message_of_a_dead_giver_counts() {
    for capacity in [1, 2] {
        taken_over(capacity, 3, |giver| giver.write_and_die(&[0, !0]));
    }
}

/// A giver dies in the midst of a message: nobody gets it, and the next gives in its place.
#[test]
fn loom_half_a_message_is_never_taken() {
    for capacity in [1, 2] {
        taken_over(capacity, 2, tape::Giver::begin_and_die);
    }
}

struct Fan {
    rows: Vec<fan::Row<Deadly>>,
    slots: Vec<Place<u32>>,
}

impl Fan {
    fn giver(&self) -> fan::Giver<u32, Deadly> {
        // SAFETY: one at a time, and all threads are joined before the memory goes.
        unsafe { fan::Giver::new(&self.rows, &self.slots) }
    }
}

fn give_if_room(giver: &mut fan::Giver<u32, Deadly>, n: u32) -> bool {
    let room = giver.has_room();
    if room {
        // SAFETY: there is room, and nothing to be dropped in the place.
        unsafe {
            Deadly::put(giver.place(0), n);
            giver.publish(1);
        }
    }
    room
}

/// Looks at the next message twice, so that the model sees who writes meanwhile, and passes it.
fn pass_if_there(taker: &mut fan::Taker<u32, Deadly>) -> Option<u32> {
    if !taker.look().unwrap() {
        return None;
    }
    // SAFETY: the message was published, and the cursor passes it below.
    let message = unsafe { *taker.place(0).to_read() };
    taker.place(0).to_read();
    taker.advance(1);
    taker.release();
    Some(message)
}

/// A giver that dies while it raises the horizon, and with a message half made; the next one gives
/// while a taker comes at the oldest: nobody writes over what that takes, which is in one run.
#[test]
fn loom_the_next_giver_overruns_no_newcomer() {
    check(|| {
        let rows = (0..fan::rows(1)).map(fan::row::<Deadly>).collect();
        let fan = Arc::new(Fan { rows, slots: (0..2).map(|_| Place::empty()).collect() });
        let mut dead = fan.giver();
        assert!(give_if_room(&mut dead, 0) && give_if_room(&mut dead, 1));
        fan::raise_and_die::<Deadly>(&fan.rows, 1);
        let comes = fan.clone();
        let thread = thread::spawn(move || {
            // SAFETY: the one taker of the seat; all threads are joined before the memory goes.
            let mut taker = unsafe { fan::Taker::new(&comes.rows, &comes.slots, 0, Start::Oldest) };
            if let (Some(one), Some(next)) = (pass_if_there(&mut taker), pass_if_there(&mut taker))
            {
                assert_eq!(next, one + 1);
            }
            // It dies too: whoever finds it lets the giver have its place.
            fan::leave::<Deadly>(&comes.rows, 0);
        });
        let mut giver = fan.giver();
        (2..4).for_each(|n| _ = give_if_room(&mut giver, n));
        thread.join().unwrap();
        assert!(give_if_room(&mut giver, 9));
    });
}
