use super::super::memory::resident;
use super::super::{FiberStack, Guards, Mappings, Stack, StackSizes, Stacks, room_for_guards};
use super::{check_guards, deep, only_small};
use crate::Error;
use corosensei::stack::Stack as _;

fn take(stacks: &mut Stacks) -> FiberStack {
    stacks.take(Stack::Small).expect("a stack")
}

/// Pages of all small stacks that are in memory.
fn pages(stacks: &Stacks) -> usize {
    let small = &stacks.pools[0];
    (0..small.count() as u32).map(|index| resident(small.span(index)).count()).sum()
}

/// The stack that came back last is the next to go: its memory is warm.
#[test]
fn the_last_returned_is_taken_first() {
    let mut stacks = Stacks::new(&only_small(4)).unwrap();
    let (one, two, three) = (take(&mut stacks), take(&mut stacks), take(&mut stacks));
    let (first, third) = (one.id(), three.id());
    for stack in [two, three, one] {
        stacks.give(stack);
    }
    let again = [take(&mut stacks), take(&mut stacks)];
    assert_eq!(again.each_ref().map(FiberStack::id), [first, third]);
    again.into_iter().for_each(|stack| stacks.give(stack));
}

/// There are as many as were asked for, not one more, and one that comes back can be had.
#[test]
fn a_class_is_exhausted_at_its_count() {
    let mut stacks = Stacks::new(&only_small(3)).unwrap();
    let mut taken: Vec<_> = std::iter::from_fn(|| stacks.take(Stack::Small)).collect();
    assert_eq!(taken.len(), 3);
    assert!(stacks.take(Stack::Medium).is_none(), "the class is not used");
    stacks.give(taken.pop().unwrap());
    taken.push(take(&mut stacks));
    assert!(stacks.take(Stack::Small).is_none());
    taken.into_iter().for_each(|stack| stacks.give(stack));
}

/// The numbers follow what is taken and given, and the highest is kept.
#[test]
fn usage_tells_now_and_the_most() {
    let mut stacks = Stacks::new(&StackSizes::default()).unwrap();
    let (one, two) = (take(&mut stacks), take(&mut stacks));
    stacks.give(one);
    let usage = stacks.usage(Stack::Small);
    assert_eq!((usage.size, usage.total), (32 << 10, 1024));
    assert_eq!((usage.in_use, usage.most_in_use), (1, 2));
    stacks.give(two);
    assert_eq!(stacks.usage(Stack::Small).in_use, 0);
    assert_eq!(stacks.usage(Stack::Large).most_in_use, 0);
}

/// A stack is not put into a pool that it is not of.
#[test]
#[should_panic(expected = "a stack of another pool")]
fn a_stranger_is_refused() {
    let mut stacks = Stacks::new(&only_small(1)).unwrap();
    let mut others = Stacks::new(&only_small(1)).unwrap();
    let _ours = take(&mut stacks);
    stacks.give(take(&mut others));
}

/// The page below each stack faults, and nothing above it, whichever way guards are made.
#[test]
fn guards_lie_below_each_stack() {
    for guards in [Guards::of_this_kernel(), Guards::Protection] {
        let mut stacks = Stacks::with_guards(&StackSizes::default(), guards).unwrap();
        Stack::ALL.into_iter().for_each(|class| check_guards(&mut stacks, class));
    }
}

/// No memory is spent before a fiber runs, then only what it uses.
#[test]
fn memory_is_spent_when_used() {
    for guards in [Guards::of_this_kernel(), Guards::Protection] {
        let mut stacks = Stacks::with_guards(&only_small(64), guards).unwrap();
        assert_eq!(pages(&stacks), 0);
        let mut fiber = deep::fiber::<100>(take(&mut stacks));
        fiber.resume(());
        assert!((1..=2).contains(&pages(&stacks)), "{}", pages(&stacks));
        fiber.resume(());
        stacks.give(fiber.into_stack());
    }
}

/// A mark tells how deep a fiber went, while it is suspended and after; cleaning takes it
/// back to zero; and neither spends memory.
#[test]
fn a_mark_tells_the_deepest_use() {
    const USED: usize = 10_000;
    let mut stacks = Stacks::new(&only_small(1)).unwrap();
    let stack = take(&mut stacks);
    let id = stack.id();
    assert_eq!(stacks.mark(id), 0);
    assert_eq!(pages(&stacks), 0);
    let mut fiber = deep::fiber::<USED>(stack);
    fiber.resume(());
    let suspended = stacks.mark(id);
    assert!((USED..USED + 4096).contains(&suspended), "{suspended}");
    fiber.resume(());
    assert!(stacks.mark(id) >= suspended);
    let mut stack = fiber.into_stack();
    let used = pages(&stacks);
    stacks.clean(&mut stack);
    assert_eq!(stacks.mark(id), 0);
    assert_eq!(pages(&stacks), used);
    stacks.give(stack);
    assert_eq!(id.class, Stack::Small);
}

/// Neighbouring stacks begin on different lines of the cache, and stay aligned.
#[test]
fn neighbours_differ_in_colour() {
    let mut stacks = Stacks::new(&only_small(16)).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| stacks.take(Stack::Small)).collect();
    let mut lines: Vec<_> = taken.iter().map(|stack| stack.base().get() % 4096 / 64).collect();
    assert!(taken.iter().all(|s| s.base().get() % corosensei::stack::STACK_ALIGNMENT == 0));
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 16);
    taken.into_iter().for_each(|stack| stacks.give(stack));
}

/// A stack that never came back keeps its memory: a fiber may still be on it.
#[test]
fn memory_outlives_what_was_not_returned() {
    let mut stacks = Stacks::new(&only_small(1)).unwrap();
    let stack = take(&mut stacks);
    drop(stacks);
    let mut fiber = deep::fiber::<100>(stack);
    fiber.resume(());
    fiber.resume(());
    assert!(fiber.done());
}

/// More stacks than mappings are refused before the first is made, with the class, the
/// numbers and what would help.
#[test]
fn too_many_protected_guards_are_refused_in_words() {
    let mappings = Mappings { used: 40, limit: 65_530 };
    room_for_guards(Stack::Small, 32_233, mappings).unwrap();
    let error = room_for_guards(Stack::Medium, 100_000, mappings).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }));
    let text = error.to_string();
    for part in ["medium", "100000", "65530", "Linux 6.13", "max_map_count=", "count` to 32233"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
