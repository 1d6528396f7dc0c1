//! A pending receive gets another buffer. Where the kernel holds the old one, the
//! operation is taken back first; what arrives in between is delivered in the old one.

use std::os::fd::RawFd;

use crate::driver::{Driver, Op};
use crate::engine::ops::{Kind, Phase, Side};
use crate::engine::{Engine, Trash, token};
use crate::parcel::Parcel;
use crate::slab::Key;

/// A receive that waits for its old buffer to be released.
pub(super) struct Reaim {
    op: Key,
    /// The new kind.
    parcel: Parcel,
    /// What the kernel is to do with it.
    make: fn(&mut Parcel, RawFd) -> Op,
}

impl Engine {
    /// Aims a pending receive at the buffer of `kind`. Gives the old one back if it is
    /// free at once; else it is dropped when the kernel lets go of it.
    ///
    /// # Errors
    /// Gives `kind` back when the operation is over, has moved bytes already, or is of
    /// another sort.
    pub(crate) fn reaim<K: Kind>(&mut self, key: Key, kind: K) -> Result<Option<K>, K> {
        let Some(slot) = self.ops.get_mut(key) else { return Err(kind) };
        if slot.side != Side::Read || slot.done > 0 || !slot.parcel.holds::<K>() {
            return Err(kind);
        }
        match slot.phase {
            Phase::Finished(_) | Phase::Offloaded => Err(kind),
            Phase::Armed => {
                let mut parcel = Parcel::empty();
                parcel.put(kind);
                self.forget_reaim(key);
                self.reaims.push(Reaim { op: key, parcel, make: make::<K> });
                self.driver.cancel(token(key));
                Ok(None)
            }
            _ => {
                let fd = self.ios.get(slot.io).map_or(-1, |io| io.fd);
                let old = slot.parcel.move_out().take::<K>();
                slot.op = slot.parcel.put(kind).op(fd, 0);
                Ok(Some(old))
            }
        }
    }

    /// The driver gave a receive back: if it waits for that, it gets its new buffer.
    pub(super) fn take_aim(&mut self, key: Key) -> bool {
        let Some(at) = self.reaims.iter().position(|reaim| reaim.op == key) else { return false };
        let mut reaim = self.reaims.swap_remove(at);
        let Some(slot) = self.ops.get_mut(key) else { return false };
        let fd = self.ios.get(slot.io).map_or(-1, |io| io.fd);
        self.trash.push(Trash::Parcel(std::mem::replace(&mut slot.parcel, Parcel::empty())));
        slot.parcel = reaim.parcel.move_out();
        slot.op = (reaim.make)(&mut slot.parcel, fd);
        true
    }

    /// The operation is over, or has got bytes: the new buffer is not needed.
    pub(super) fn forget_reaim(&mut self, key: Key) {
        if self.reaims.is_empty() {
            return;
        }
        if let Some(at) = self.reaims.iter().position(|reaim| reaim.op == key) {
            let reaim = self.reaims.swap_remove(at);
            self.trash.push(Trash::Parcel(reaim.parcel));
        }
    }
}

fn make<K: Kind>(parcel: &mut Parcel, fd: RawFd) -> Op {
    parcel.get_mut::<K>().op(fd, 0)
}
