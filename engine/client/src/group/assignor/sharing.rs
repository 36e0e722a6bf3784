//! Sharing units out among members: as evenly as possible, and with few moves.
//!
//! A unit goes to one member as a whole: a partition (`sticky`), or the partitions of one number of
//! several topics (`copartitioned`). Units that the same members may have make a class.
//!
//! ```text
//!  keep      each unit stays with the member that had it, if that may still have it
//!  assign    each other unit goes to the member with the fewest of those that may have it
//!  balance   as long as a member has two more than another to whom it can pass one on, it does:
//!
//!              A: 4 ──t──▶ B: 3 ──u──▶ C: 2        A and C share no class; B passes on another
//! ```
//!
//! When no such path is left, no other sharing out is more even (Harvey, Ladner, Lovász and Tamir,
//! *Semi-matchings for bipartite graphs and load balancing*, 2003). If all members may have every
//! unit, a path has one step and as few units move as possible.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

/// What goes to one member as a whole: a number in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Unit {
    /// The index of the class.
    pub(super) class: usize,
    pub(super) number: i32,
}

/// Units that the same members may have.
#[derive(Debug)]
pub(super) struct Class {
    /// Members by their index, in order; not empty.
    pub(super) takers: Vec<usize>,
    pub(super) numbers: Range<i32>,
}

/// Shares the units of all classes out among `member_count` members. `had` says which member has
/// had a unit so far.
pub(super) fn share_out(
    classes: &[Class],
    member_count: usize,
    had: &BTreeMap<Unit, usize>,
) -> Vec<BTreeSet<Unit>> {
    let mut sharing = Sharing::new(classes, member_count);
    sharing.keep(had);
    sharing.assign_rest();
    sharing.balance();
    sharing.holdings
}

/// The assignment while it is being worked out.
#[derive(Debug)]
struct Sharing<'a> {
    classes: &'a [Class],
    /// Units that nobody has.
    unassigned: BTreeSet<Unit>,
    /// The units of each member.
    holdings: Vec<BTreeSet<Unit>>,
    /// Who has had a unit before, and may have it still.
    kept: HashMap<Unit, usize>,
}

/// A unit that goes from one member to another.
#[derive(Debug)]
struct Step {
    from: usize,
    unit: Unit,
}

impl<'a> Sharing<'a> {
    fn new(classes: &'a [Class], member_count: usize) -> Self {
        let of_class = |(class, of): (usize, &Class)| {
            let numbers = of.numbers.clone();
            numbers.map(move |number| Unit { class, number })
        };
        Self {
            unassigned: classes.iter().enumerate().flat_map(of_class).collect(),
            classes,
            holdings: vec![BTreeSet::new(); member_count],
            kept: HashMap::new(),
        }
    }

    fn keep(&mut self, had: &BTreeMap<Unit, usize>) {
        for (unit, member) in had {
            let may_have = |class: &Class| class.takers.contains(member);
            if self.classes.get(unit.class).is_some_and(may_have) && self.unassigned.remove(unit) {
                self.holdings[*member].insert(*unit);
                self.kept.insert(*unit, *member);
            }
        }
    }

    /// First those that few can take.
    fn assign_rest(&mut self) {
        let unassigned = std::mem::take(&mut self.unassigned).into_iter();
        let choices = |unit: Unit| self.classes[unit.class].takers.len();
        let mut unassigned: Vec<_> = unassigned.map(|unit| (choices(unit), unit)).collect();
        unassigned.sort();
        for (_, unit) in unassigned {
            let takers = self.classes[unit.class].takers.iter().copied();
            let fewest = takers.min_by_key(|member| (self.holdings[*member].len(), *member));
            let fewest = fewest.expect("a class has takers");
            self.holdings[fewest].insert(unit);
        }
    }

    fn balance(&mut self) {
        while let Some(path) = self.path() {
            let (steps, mut to) = path;
            for Step { from, unit } in steps {
                self.holdings[from].remove(&unit);
                self.holdings[to].insert(unit);
                to = from;
            }
        }
    }

    /// A path from the member with most units to one that has two fewer, backwards: the last step
    /// first, and where it ends.
    fn path(&self) -> Option<(Vec<Step>, usize)> {
        let mut by_load: Vec<_> = (0..self.holdings.len()).collect();
        by_load.sort_by_key(|member| std::cmp::Reverse(self.holdings[*member].len()));
        by_load.into_iter().find_map(|start| self.path_from(start))
    }

    fn path_from(&self, start: usize) -> Option<(Vec<Step>, usize)> {
        let goal_max = self.holdings[start].len().checked_sub(2)?;
        let mut reached = HashMap::<usize, Step>::new();
        let mut queue = VecDeque::from([start]);
        while let Some(from) = queue.pop_front() {
            let mut found = None;
            for unit in self.offers(from) {
                for &to in &self.classes[unit.class].takers {
                    if to == start || reached.contains_key(&to) {
                        continue;
                    }
                    reached.insert(to, Step { from, unit });
                    queue.push_back(to);
                    let load = self.holdings[to].len();
                    // Among those that are as far away the one that has the fewest.
                    if load <= goal_max && found.is_none_or(|(least, _)| load < least) {
                        found = Some((load, to));
                    }
                }
            }
            if let Some((_, end)) = found {
                return Some((back_to(start, end, reached), end));
            }
        }
        None
    }

    /// One unit of each class that a member could pass on; first those that it had not before.
    fn offers(&self, member: usize) -> Vec<Unit> {
        let is_kept = |unit: &Unit| self.kept.get(unit) == Some(&member);
        let mut offers = BTreeMap::<usize, Unit>::new();
        for unit in &self.holdings[member] {
            let offer = offers.entry(unit.class).or_insert(*unit);
            if is_kept(offer) && !is_kept(unit) {
                *offer = *unit;
            }
        }
        let mut offers: Vec<_> = offers.into_values().collect();
        offers.sort_by_key(is_kept);
        offers
    }
}

fn back_to(start: usize, end: usize, mut reached: HashMap<usize, Step>) -> Vec<Step> {
    let (mut steps, mut at) = (Vec::new(), end);
    while at != start {
        let step = reached.remove(&at).expect("a member was reached by a step");
        at = step.from;
        steps.push(step);
    }
    steps
}
