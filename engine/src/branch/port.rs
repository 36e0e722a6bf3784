//! Ports: the outputs of an operator. A window operator has three: finals, updates and late
//! records.
//!
//! A port collects items while a batch is processed, and hands them to each of its branches at the
//! end of the batch. Without a branch it collects nothing.

use super::At;
use super::ops::Ops;
use super::outbox::Outbox;
use super::progress::Walk;
use super::terminal::Terminal;

/// Items in the order of their causes; `None` is stream time that advanced without an item.
pub(crate) type Items<T> = Vec<(At, Option<T>)>;

/// One fused chain from a port to one terminal.
pub(crate) trait PortBranch<T>: Send {
    fn run(&mut self, items: Items<T>, at: &At, out: &mut Outbox);
    fn idle(&mut self, at: &At, out: &mut Outbox);
    fn end(&mut self, at: &At, out: &mut Outbox);
    fn wants_time(&self) -> bool;
    fn walk(&mut self, walk: &mut dyn Walk);
}

/// Collects an operator's items and hands them, batch by batch, to the branches.
pub(crate) struct Port<T> {
    branches: Vec<Box<dyn PortBranch<T>>>,
    wants_time: bool,
    items: Items<T>,
}

impl<T: Clone> Port<T> {
    pub(crate) fn new(branches: Vec<Box<dyn PortBranch<T>>>) -> Self {
        Self {
            wants_time: branches.iter().any(|branch| branch.wants_time()),
            branches,
            items: Vec::new(),
        }
    }

    /// Whether any branch listens; if not, the items need not be made.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.branches.is_empty()
    }

    pub(crate) fn emit(&mut self, at: At, item: T) {
        self.items.push((at, Some(item)));
    }

    pub(crate) fn advance(&mut self, at: At) {
        if self.wants_time {
            self.items.push((at, None));
        }
    }

    pub(crate) fn flush(&mut self, at: &At, out: &mut Outbox) {
        let items = std::mem::take(&mut self.items);
        let Some((last, others)) = self.branches.split_last_mut() else {
            return;
        };
        for branch in others {
            branch.run(items.clone(), at, out);
        }
        last.run(items, at, out);
    }

    pub(crate) fn idle(&mut self, at: &At, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.idle(at, out);
        }
    }

    pub(crate) fn end(&mut self, at: &At, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.end(at, out);
        }
    }

    pub(crate) fn walk(&mut self, walk: &mut dyn Walk) {
        for branch in &mut self.branches {
            branch.walk(walk);
        }
    }
}

/// A branch from a port: steps and terminal, in one loop.
pub(crate) struct FromPort<O, Z> {
    pub(crate) ops: O,
    pub(crate) terminal: Z,
    pub(crate) wants_time: bool,
}

impl<T: Send + 'static, O: Ops<T>, Z: Terminal<O::Out>> PortBranch<T> for FromPort<O, Z> {
    fn run(&mut self, items: Items<T>, at: &At, out: &mut Outbox) {
        for (at, item) in items {
            if let Some(item) = item {
                let terminal = &mut self.terminal;
                let mut accept = |item| terminal.accept(&at, None, item, out);
                self.ops.push(item, &mut accept);
            }
            self.terminal.after(&at, out);
        }
        self.terminal.batch_end(at, out);
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        self.terminal.idle(at, out);
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        self.terminal.end(at, out);
    }

    fn wants_time(&self) -> bool {
        self.wants_time
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        self.terminal.walk(walk);
    }
}
