//! An `--agg`: `count`, or `sum`, `mean`, `min`, `max` of a field.

use std::fmt;
use std::str::FromStr;

/// One aggregate of a query; displays as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AggregateSpec {
    pub(super) function: Function,
    /// The field; `count` has none.
    pub(super) field: Option<String>,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Mean,
    Min,
    Max,
}

impl Function {
    const ALL: [(&'static str, Self); 5] = [
        ("count", Self::Count),
        ("sum", Self::Sum),
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, f)| *f == self)
            .expect("every function has a name")
            .0
    }
}

impl FromStr for AggregateSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, field) = match text.split_once(':') {
            Some((name, field)) => (name, Some(field.to_owned())),
            None => (text, None),
        };
        let function = Function::ALL
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, f)| *f);
        let function = function
            .ok_or_else(|| format!("expected count, sum, mean, min or max, found {name:?}"))?;
        match (function, &field) {
            (Function::Count, Some(_)) => Err("count takes no field: write count".into()),
            (Function::Count, None) => Ok(Self { function, field }),
            (_, Some(field_name)) if !field_name.is_empty() => Ok(Self { function, field }),
            _ => Err(format!(
                "{name} needs a field, for example {name}:/delay_min"
            )),
        }
    }
}

impl fmt::Display for AggregateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name())?;
        self.field
            .as_ref()
            .map_or(Ok(()), |field| write!(f, ":{field}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_displays_as_it_was_written() {
        for text in [
            "count",
            "sum:/n",
            "mean:/delay_min",
            "min:/a/b",
            "max:price",
        ] {
            assert_eq!(text.parse::<AggregateSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_specification_says_what_is_expected() {
        let error = |text: &str| text.parse::<AggregateSpec>().unwrap_err();
        assert_eq!(
            error("median:/n"),
            "expected count, sum, mean, min or max, found \"median\""
        );
        assert_eq!(
            error("mean"),
            "mean needs a field, for example mean:/delay_min"
        );
        assert_eq!(
            error("sum:"),
            "sum needs a field, for example sum:/delay_min"
        );
        assert_eq!(error("count:/n"), "count takes no field: write count");
    }
}
