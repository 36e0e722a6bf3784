//! Aggregates that are chosen at run time, as one aggregate for the engine.
//!
//! The engine folds one value per window and key. Here that value is a small vector: for each
//! `--agg` a count, a sum, a minimum or a maximum of the numbers that were there. A field that is
//! null or absent contributes nothing, as in SQL.

use brooklet_engine::Aggregate;
use serde_json::{Number, Value};

use super::row::Row;
use super::spec::{AggregateSpec, Function};

/// One part of an aggregate: the function and which of the row's numbers it takes.
#[derive(Clone, Copy, Debug)]
struct Part {
    function: Function,
    number: Option<usize>,
}

/// All aggregates of a query.
#[derive(Clone, Debug)]
pub(super) struct Aggregates(Vec<Part>);

/// What is kept of one aggregate: how many numbers, and their sum, minimum or maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    count: u64,
    value: f64,
}

impl Aggregates {
    /// Of these specifications, over rows whose numbers are `fields`.
    pub(super) fn new(specs: &[AggregateSpec], fields: &[String]) -> Self {
        let part = |spec: &AggregateSpec| Part {
            function: spec.function,
            number: spec
                .field
                .as_ref()
                .and_then(|f| fields.iter().position(|g| f == g)),
        };
        Self(specs.iter().map(part).collect())
    }
}

impl Part {
    fn lift(self, row: &Row) -> Kept {
        match self
            .number
            .map(|index| row.numbers.get(index).copied().flatten())
        {
            None => Kept {
                count: 1,
                value: 0.0,
            },
            Some(Some(value)) => Kept { count: 1, value },
            Some(None) => Kept {
                count: 0,
                value: 0.0,
            },
        }
    }

    fn combine(self, earlier: Kept, later: Kept) -> Kept {
        if earlier.count == 0 || later.count == 0 {
            return if earlier.count == 0 { later } else { earlier };
        }
        let value = match self.function {
            Function::Count | Function::Sum | Function::Mean => earlier.value + later.value,
            Function::Min => earlier.value.min(later.value),
            Function::Max => earlier.value.max(later.value),
        };
        Kept {
            count: earlier.count + later.count,
            value,
        }
    }

    /// Null where there was no number.
    fn lower(self, kept: Kept) -> Value {
        let value = match self.function {
            Function::Count => return Value::from(kept.count),
            _ if kept.count == 0 => return Value::Null,
            Function::Mean => kept.value / kept.count as f64,
            Function::Sum | Function::Min | Function::Max => kept.value,
        };
        // JSON has no infinity; a sum can overflow to one.
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

impl Aggregate<Row> for Aggregates {
    type Acc = Vec<Kept>;
    type Out = Vec<Value>;

    fn lift(&self, row: &Row) -> Vec<Kept> {
        self.0.iter().map(|part| part.lift(row)).collect()
    }

    fn combine(&self, earlier: &mut Vec<Kept>, later: &Vec<Kept>) {
        for ((part, earlier), later) in self.0.iter().zip(earlier).zip(later) {
            *earlier = part.combine(*earlier, *later);
        }
    }

    fn lower(&self, acc: &Vec<Kept>) -> Vec<Value> {
        self.0
            .iter()
            .zip(acc)
            .map(|(part, kept)| part.lower(*kept))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aggregate_takes_its_own_field_and_skips_what_is_absent() {
        let specs = ["count", "sum:a", "mean:a", "min:b", "max:b", "mean:c"];
        let specs: Vec<AggregateSpec> = specs.iter().map(|s| s.parse().unwrap()).collect();
        let fields = ["a", "b", "c"].map(String::from);
        let aggregates = Aggregates::new(&specs, &fields);
        let row = |a, b| Row {
            time_ms: None,
            key: String::new(),
            numbers: vec![a, b, None],
            original: None,
        };
        let mut acc = aggregates.lift(&row(Some(1.0), None));
        for next in [row(Some(2.0), Some(-5.0)), row(None, Some(7.0))] {
            aggregates.add(&mut acc, &next);
        }
        let found = aggregates.lower(&acc);
        assert_eq!(
            serde_json::to_string(&found).unwrap(),
            "[3,3.0,1.5,-5.0,7.0,null]"
        );
    }
}
