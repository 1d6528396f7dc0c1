//! Sites of events. `tracing` has one call site for a macro, whatever fields an event has; here each
//! set of fields has one, for the format string depends on them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};

use tracing_core::callsite::Identifier;
use tracing_core::{Metadata, field::FieldSet};

use crate::site::Site;
use crate::sync::{Mutex, lock};

/// Fields of an event that are kept. One argument is left for the spans.
pub(super) const MOST: usize = crate::record::MOST - 1;
/// So many sets of fields of one call site have sites. Beyond that, lines show all fields, and
/// those that an event lacks are empty.
const SETS: usize = 32;

/// Which fields an event has, and whether there are spans around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Set {
    /// By the index of the field.
    pub(super) fields: u32,
    pub(super) spans: bool,
}

impl Set {
    /// The indices of the fields, ascending.
    pub(super) fn indices(self) -> impl Iterator<Item = usize> {
        let mut rest = self.fields;
        std::iter::from_fn(move || {
            let index = rest.trailing_zeros();
            rest &= rest.checked_sub(1)?; // without its lowest bit
            Some(index as usize)
        })
    }
}

/// Sites of a call site, with the sets that they are for.
type Sites = Vec<(Set, &'static Site)>;
type Table = HashMap<Identifier, Sites, BuildHasherDefault<Mix>>;

/// All that there are. They stay for as long as the process lives, as the call sites do.
static ALL: Mutex<Table> = Mutex::new(HashMap::with_hasher(BuildHasherDefault::new()));

thread_local! {
    /// Those that this thread has used.
    static OWN: RefCell<Table> = const {
        RefCell::new(HashMap::with_hasher(BuildHasherDefault::new()))
    };
}

/// The site of events of a call site with these fields, and the set that it is for: another one, if
/// there were too many.
pub(super) fn of(metadata: &'static Metadata<'static>, set: Set) -> (Set, &'static Site) {
    let id = metadata.callsite();
    let own = OWN.try_with(|own| {
        let own = own.borrow();
        find(own.get(&id)?, set)
    });
    match own {
        Ok(Some(site)) => (set, site),
        Ok(None) => learn(metadata, set),
        Err(_) => shared(metadata, set), // the thread has put its variables away
    }
}

fn find(sites: &Sites, set: Set) -> Option<&'static Site> {
    sites.iter().find(|(other, _)| *other == set).map(|(_, site)| *site)
}

#[cold]
fn learn(metadata: &'static Metadata<'static>, set: Set) -> (Set, &'static Site) {
    let found = shared(metadata, set);
    OWN.with_borrow_mut(|own| {
        let sites = own.entry(metadata.callsite()).or_default();
        if find(sites, found.0).is_none() {
            sites.push(found);
        }
    });
    found
}

/// Looks among those of all threads, and makes the site if there is none.
fn shared(metadata: &'static Metadata<'static>, mut set: Set) -> (Set, &'static Site) {
    let mut all = lock(&ALL);
    let sites = all.entry(metadata.callsite()).or_default();
    let full = Set { fields: full(metadata.fields()), ..set };
    if find(sites, set).is_none() && sites.len() >= SETS {
        set = full;
    }
    if let Some(site) = find(sites, set) {
        return (set, site);
    }
    let site: &'static Site = Box::leak(Box::new(make(metadata, set)));
    sites.push((set, site));
    (set, site)
}

/// All fields of a call site, or as many as are kept.
fn full(fields: &FieldSet) -> u32 {
    let count = fields.len().min(MOST) as u32;
    (1 << count) - 1
}

fn make(metadata: &'static Metadata<'static>, set: Set) -> Site {
    let mut template = String::from(if set.spans { "{0}: " } else { "" });
    let mut names = Vec::new();
    if set.spans {
        names.push((0, "span"));
    }
    let first = names.len();
    let mut rest = String::new();
    for (place, index) in set.indices().enumerate() {
        let place = first + place;
        let Some(field) = metadata.fields().iter().nth(index) else { continue };
        // A text takes everything.
        let _ = match field.name() {
            "message" => write!(template, "{{{place}}}"),
            name => write!(rest, " {}={{{place}:?}}", Braces(name)),
        };
        if field.name() != "message" {
            names.push((place as u8, field.name()));
        }
    }
    let begun = !template.is_empty() && !template.ends_with(": ");
    template.push_str(if begun { &rest } else { rest.trim_start() });
    Site::new(
        super::level(metadata),
        metadata.target(),
        metadata.file().unwrap_or_default(),
        metadata.line().unwrap_or_default(),
        template.leak(),
        names.leak(),
    )
}

/// A name in a format string.
struct Braces<'a>(&'a str);

impl std::fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '{' => f.write_str("{{"),
            '}' => f.write_str("}}"),
            c => f.write_char(c),
        })
    }
}

/// Spreads addresses: call sites are known by theirs.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        // The golden ratio: neighbours end up far from each other, the upper bits too.
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
