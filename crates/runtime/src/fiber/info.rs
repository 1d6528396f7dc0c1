//! Which fibers there are, and where they stand.

use std::fmt;
use std::os::fd::RawFd;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::scheduler::Fibers;
use crate::fiber::slot::{Band, Cancel, Slot, State};
use crate::fiber::stack::Stack;

/// What is known of a fiber.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Its name, or the type of its work.
    pub name: String,
    /// Its place in the table of fibers; another one may have it later.
    pub number: u32,
    /// Where it stands.
    pub state: State,
    /// The class of its stack.
    pub stack: Stack,
    /// The band that it runs in.
    pub band: Band,
    /// Bytes that were used of its stack: by this fiber, or, unless `Config::measure_stacks` is
    /// set, by any that was on the same stack before. `None`: it has none. One that is over has
    /// none any more; what it has used is kept where that is measured.
    pub used: Option<usize>,
    /// The call in which it waits.
    pub waits_in: Option<&'static str>,
    /// The descriptor that it waits for.
    pub descriptor: Option<RawFd>,
    /// It was asked to end.
    pub cancelled: bool,
}

/// What is known of a class of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassInfo {
    /// The class.
    pub stack: Stack,
    /// Bytes that a fiber may use of each.
    pub size: usize,
    /// How many there are.
    pub total: usize,
    /// How many fibers are on one.
    pub in_use: usize,
    /// The most that there were at a time.
    pub most_in_use: usize,
    /// Fibers of the class that have not begun.
    pub unstarted: usize,
    /// The most bytes that any fiber has used that has ended, if `Config::measure_stacks` is
    /// set.
    pub used: Option<usize>,
}

/// All fibers of this thread's loop, in order of their numbers.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn list() -> Result<Vec<Info>, Error> {
    let core = Core::current_or_going()?;
    Ok(core.fibers.slots.iter().map(|slot| core.fibers.info(&core, slot)).collect())
}

/// The classes of stacks of this thread's loop.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn stacks() -> Result<[ClassInfo; 3], Error> {
    let core = Core::current_or_going()?;
    Ok([Stack::Small, Stack::Medium, Stack::Large].map(|class| core.fibers.class_info(class)))
}

/// All fibers and stacks of this thread's loop, as text of a line for each.
///
/// # Errors
/// [`Error::NoRuntime`].
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let idle = fiber::Builder::new(Stack::Small).name("idle").spawn(fiber::park)?;
/// runtime.poll()?;
/// assert!(fiber::overview()?.contains("idle (small stack"));
/// # Ok(())
/// # }
/// ```
pub fn overview() -> Result<String, Error> {
    let (fibers, stacks) = (list()?, stacks()?);
    let mut text = match fibers.len() {
        1 => "1 fiber\n".to_owned(),
        count => format!("{count} fibers\n"),
    };
    let lines = stacks.iter().map(ToString::to_string);
    let lines = lines.chain(fibers.iter().map(ToString::to_string));
    lines.for_each(|line| text.extend(["  ", &line, "\n"]));
    Ok(text)
}

impl Fibers {
    fn info(&self, core: &Core, slot: &Slot) -> Info {
        let fd = |operation| {
            core.with(|engine| {
                let io = engine.ops.get(operation)?.io;
                engine.ios.get(io).map(|io| io.fd)
            })
        };
        let parked = slot.state.get() == State::Parked;
        Info {
            name: slot.told_name().to_owned(),
            number: slot.index,
            state: slot.state.get(),
            stack: slot.class.get(),
            band: slot.band.get(),
            used: self.used(slot),
            waits_in: parked.then(|| slot.call.get()),
            descriptor: slot.operation.get().and_then(fd),
            cancelled: slot.cancel.get() != Cancel::No,
        }
    }

    fn used(&self, slot: &Slot) -> Option<usize> {
        match slot.stack.get() {
            Some(stack) => Some(self.stacks().mark(stack)),
            None if slot.state.get() == State::Over => self.last_mark(slot),
            None => None,
        }
    }

    fn class_info(&self, stack: Stack) -> ClassInfo {
        let usage = self.stacks().usage(stack);
        ClassInfo {
            stack,
            size: usage.size,
            total: usage.total,
            in_use: usage.in_use,
            most_in_use: usage.most_in_use,
            unstarted: self.unstarted(stack),
            used: self.highest_mark(stack),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::AwaitingStack => "awaits a stack",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Parked => "waits",
            Self::Over => "over",
        })
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ({} stack", self.number, self.name, self.stack)?;
        if let Some(used) = self.used {
            write!(f, ", {used} bytes used")?;
        }
        write!(f, "): {}", self.state)?;
        if let Some(call) = self.waits_in {
            write!(f, " in {call}")?;
        }
        if let Some(fd) = self.descriptor {
            write!(f, " on descriptor {fd}")?;
        }
        if self.cancelled {
            f.write_str(", cancelled")?;
        }
        Ok(())
    }
}

impl fmt::Display for ClassInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, size, total, in_use, most_in_use, unstarted, used } = self;
        write!(f, "{stack} stacks of {size} bytes: {in_use} of {total} in use")?;
        write!(f, ", at most {most_in_use} so far, {unstarted} fibers not begun")?;
        match used {
            Some(used) => write!(f, ", {used} bytes used by the deepest"),
            None => Ok(()),
        }
    }
}
