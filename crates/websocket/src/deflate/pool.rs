//! The memory of compression.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use zlib_rs::{Deflate, DeflateConfig, Inflate};

/// Bytes of a context that inflates, whatever the window.
pub const INFLATER_BYTES: usize = 48 * 1024;

/// Bytes of a context that deflates with such a window: 288 KiB for 15 bits, 162 KiB for 9.
pub const fn deflater_bytes(window_bits: u8) -> usize {
    (160 << 10) + (4 << window_bits)
}

/// Beside its window and its table, a context has room for 2048 repetitions, a block's worth, where it
/// could have sixteen thousand: messages are shorter than that, and for each block it is wiped.
const MEM_LEVEL: i32 = 5;

/// How many contexts there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Contexts that deflate, in use at once.
    pub deflating: usize,
    /// Contexts that inflate, in use at once.
    pub inflating: usize,
    /// Contexts of either kind that are kept while nobody uses them.
    pub idle: usize,
}

/// 256 that deflate (72 MiB), 1024 that inflate (48 MiB), 16 idle ones of each.
impl Default for PoolLimits {
    fn default() -> Self {
        Self { deflating: 256, inflating: 1024, idle: 16 }
    }
}

/// All contexts that the pool may have are in use.
///
/// Who wants to deflate sends the message as it is, which is always allowed. Who has to inflate cannot
/// go on: see [`InflateError::Exhausted`](super::InflateError::Exhausted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {limit} contexts of the compression pool are in use: raise `PoolLimits`, or agree to no \
         context takeover, so that connections share them"
)]
pub struct Exhausted {
    /// As many are allowed.
    pub limit: usize,
}

/// Contexts of compression, shared by the connections of a thread.
///
/// Without takeover a context is lent for a message; with it, from a connection's first message to its
/// end. Those that come back are kept for others.
///
/// ```
/// use tautline_websocket::deflate::{Config, Deflater, Part, Pool, PoolLimits, Terms};
/// let pool = Pool::new(PoolLimits { deflating: 1, ..PoolLimits::default() });
/// let keeps = Terms { takeover: true, window_bits: 15 };
/// let mut first = Deflater::new(&pool, keeps, &Config::default());
/// let mut second = Deflater::new(&pool, keeps, &Config::default());
/// let mut room = [0; 64];
/// first.deflate(b"one", &mut room, Part::Last)?;
/// assert!(second.deflate(b"two", &mut room, Part::Last).is_err());
/// drop(first);
/// assert_eq!((pool.deflating(), pool.idle()), (0, 1));
/// second.deflate(b"two", &mut room, Part::Last)?;
/// # Ok::<(), tautline_websocket::deflate::Exhausted>(())
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Rc<RefCell<Shared>>,
}

struct Shared {
    limits: PoolLimits,
    /// Lent, and not yet given back.
    deflating: usize,
    inflating: usize,
    /// Idle ones, which know nothing of any message. At most as many as the limit.
    deflaters: Vec<Context>,
    inflaters: Vec<Inflate>,
}

/// A compressor, and what it was made for.
pub(super) struct Context {
    pub(super) compress: Deflate,
    window_bits: u8,
    level: u8,
}

impl Pool {
    /// An empty one: contexts are made when they are first needed.
    pub fn new(limits: PoolLimits) -> Self {
        let shared = Shared {
            limits,
            deflating: 0,
            inflating: 0,
            deflaters: Vec::with_capacity(limits.idle),
            inflaters: Vec::with_capacity(limits.idle),
        };
        Self { shared: Rc::new(RefCell::new(shared)) }
    }

    /// Contexts that deflate and are in use.
    pub fn deflating(&self) -> usize {
        self.shared.borrow().deflating
    }

    /// Contexts that inflate and are in use.
    pub fn inflating(&self) -> usize {
        self.shared.borrow().inflating
    }

    /// Contexts of both kinds that nobody uses.
    pub fn idle(&self) -> usize {
        let shared = self.shared.borrow();
        shared.deflaters.len() + shared.inflaters.len()
    }

    pub(super) fn lend_deflater(&self, window_bits: u8, level: u8) -> Result<Context, Exhausted> {
        let mut shared = self.shared.borrow_mut();
        let limit = shared.limits.deflating;
        if shared.deflating >= limit {
            return Err(Exhausted { limit });
        }
        shared.deflating += 1;
        let suits = |context: &Context| context.window_bits == window_bits;
        let idle = shared.deflaters.iter().rposition(suits);
        let idle = idle.map(|at| shared.deflaters.swap_remove(at));
        Ok(idle
            .and_then(|context| context.at_level(level))
            .unwrap_or_else(|| Context::new(window_bits, level)))
    }

    pub(super) fn give_back_deflater(&self, mut context: Context) {
        let mut shared = self.shared.borrow_mut();
        shared.deflating -= 1;
        if shared.deflaters.len() < shared.limits.idle {
            context.compress.reset();
            shared.deflaters.push(context);
        }
    }

    pub(super) fn lend_inflater(&self) -> Result<Inflate, Exhausted> {
        let mut shared = self.shared.borrow_mut();
        let limit = shared.limits.inflating;
        if shared.inflating >= limit {
            return Err(Exhausted { limit });
        }
        shared.inflating += 1;
        Ok(shared.inflaters.pop().unwrap_or_else(|| Inflate::new(false, 15)))
    }

    pub(super) fn give_back_inflater(&self, mut context: Inflate) {
        let mut shared = self.shared.borrow_mut();
        shared.inflating -= 1;
        if shared.inflaters.len() < shared.limits.idle {
            context.reset(false);
            shared.inflaters.push(context);
        }
    }
}

impl Context {
    fn new(window_bits: u8, level: u8) -> Self {
        let compress = Deflate::new_with_config(DeflateConfig {
            level: i32::from(level),
            window_bits: -i32::from(window_bits), // less than zero: no header, no checksum
            mem_level: MEM_LEVEL,
            ..DeflateConfig::default()
        });
        Self { compress, window_bits, level }
    }

    /// The same, for that level. `None`: it cannot be changed.
    fn at_level(mut self, level: u8) -> Option<Self> {
        if self.level != level {
            self.compress.set_level(i32::from(level)).ok()?;
            self.level = level;
        }
        Some(self)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(PoolLimits::default())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.shared.borrow().limits)
            .field("deflating", &self.deflating())
            .field("inflating", &self.inflating())
            .field("idle", &self.idle())
            .finish()
    }
}
