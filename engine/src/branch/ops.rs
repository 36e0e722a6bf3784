//! The steps of a branch, nested as types so that the compiler fuses them into one loop.
//!
//! `stream.map(f).filter(g)` is `Filter<Map<Identity, F>, G>`; pushing an item through it inlines
//! to `let y = f(x); if g(&y) { sink(y) }`.

/// Steps that make any number of outputs from an input of type `T`.
pub trait Ops<T>: Clone + Send + 'static {
    /// What comes out.
    type Out: 'static;
    /// Pushes one input through; `sink` takes what comes out, in order.
    fn push<S: FnMut(Self::Out)>(&mut self, item: T, sink: &mut S);
    /// Their names, in order, for a plan.
    fn names(&self) -> Vec<&'static str>;
}

/// No step.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl<T: 'static> Ops<T> for Identity {
    type Out = T;
    fn push<S: FnMut(T)>(&mut self, item: T, sink: &mut S) {
        sink(item);
    }
    fn names(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Defines a step: the steps before it and a closure.
macro_rules! step {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name<O, F> {
            pub(crate) before: O,
            pub(crate) f: F,
        }

        impl<O: std::fmt::Debug, F> std::fmt::Debug for $name<O, F> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.before).finish()
            }
        }
    };
}

step! {
    /// One output per input.
    Map
}
step! {
    /// The inputs that pass a test.
    Filter
}
step! {
    /// Any number of outputs per input.
    FlatMap
}

impl<T, O, F, U> Ops<T> for Map<O, F>
where
    O: Ops<T>,
    F: FnMut(O::Out) -> U + Clone + Send + 'static,
    U: 'static,
{
    type Out = U;
    fn push<S: FnMut(U)>(&mut self, item: T, sink: &mut S) {
        let f = &mut self.f;
        self.before.push(item, &mut |item| sink(f(item)));
    }
    fn names(&self) -> Vec<&'static str> {
        named(self.before.names(), "map")
    }
}

impl<T, O, F> Ops<T> for Filter<O, F>
where
    O: Ops<T>,
    F: FnMut(&O::Out) -> bool + Clone + Send + 'static,
{
    type Out = O::Out;
    fn push<S: FnMut(O::Out)>(&mut self, item: T, sink: &mut S) {
        let f = &mut self.f;
        self.before.push(item, &mut |item| {
            if f(&item) {
                sink(item);
            }
        });
    }
    fn names(&self) -> Vec<&'static str> {
        named(self.before.names(), "filter")
    }
}

impl<T, O, F, I> Ops<T> for FlatMap<O, F>
where
    O: Ops<T>,
    F: FnMut(O::Out) -> I + Clone + Send + 'static,
    I: IntoIterator,
    I::Item: 'static,
{
    type Out = I::Item;
    fn push<S: FnMut(I::Item)>(&mut self, item: T, sink: &mut S) {
        let f = &mut self.f;
        self.before
            .push(item, &mut |item| f(item).into_iter().for_each(&mut *sink));
    }
    fn names(&self) -> Vec<&'static str> {
        named(self.before.names(), "flat_map")
    }
}

fn named(mut before: Vec<&'static str>, name: &'static str) -> Vec<&'static str> {
    before.push(name);
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_the_order_in_which_they_were_written() {
        let doubled = Map {
            before: Identity,
            f: |x: i32| x * 2,
        };
        let small = Filter {
            before: doubled,
            f: |x: &i32| *x < 6,
        };
        let mut twice = FlatMap {
            before: small,
            f: |x: i32| [x, x + 1],
        };
        let mut found = Vec::new();
        (1..=3).for_each(|x| twice.push(x, &mut |y| found.push(y)));
        assert_eq!(found, [2, 3, 4, 5]);
        assert_eq!(twice.names(), ["map", "filter", "flat_map"]);
    }
}
