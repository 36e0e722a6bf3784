//! A program's plan, as text and as a drawing.
//!
//! Both follow from what the program declares, in the order in which it declares it: the same
//! program has the same text in every build. So the text also shows whether state belongs to this
//! program: it is compared when an application goes on.
//!
//! ```text
//! program delays
//!   flights, event time from the value
//!     key_by by-origin, through delays-by-origin-repartition
//!       mean-delay: tumbling 1h, grace 45m; mean; changelog delays-mean-delay-changelog
//!         finals: map, to delays-per-hour
//!         late: map, to too-late
//! ```

use std::fmt::{self, Write as _};

use brooklet_protocol::TopicName;

/// A step of the plan, by its place in the order of declaration.
pub(crate) type NodeId = usize;

/// A step of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The step before, and the name of its output if it has several.
    pub(crate) parent: Option<(NodeId, &'static str)>,
    /// `map`, `filter` and the like, between the parent and this.
    pub(crate) steps: Vec<&'static str>,
    pub(crate) what: What,
}

/// What a step is.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Reads a topic.
    Source {
        topic: TopicName,
        time: &'static str,
    },
    /// Groups by the records' own keys.
    RecordKey,
    /// Groups by a new key, through a topic.
    KeyBy { name: String, topic: TopicName },
    /// Keeps state.
    Operator {
        name: String,
        does: String,
        changelog: TopicName,
    },
    /// Writes a topic.
    To(TopicName),
    /// Calls a closure.
    ForEach,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { topic, time } => write!(f, "{topic}, event time from {time}"),
            Self::RecordKey => f.write_str("keyed by the record's key"),
            Self::KeyBy { name, topic } => write!(f, "key_by {name}, through {topic}"),
            Self::Operator {
                name,
                does,
                changelog,
            } => write!(f, "{name}: {does}; changelog {changelog}"),
            Self::To(topic) => write!(f, "to {topic}"),
            Self::ForEach => f.write_str("for_each"),
        }
    }
}

/// What a program will do: see [`App::describe`](crate::App::describe).
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) program: String,
    pub(super) nodes: Vec<Node>,
}

impl Plan {
    /// The plan as indented text.
    pub fn text(&self) -> String {
        let mut text = format!("program {}\n", self.program);
        self.write_children(None, 1, &mut text);
        text
    }

    fn write_children(&self, parent: Option<NodeId>, depth: usize, text: &mut String) {
        let children = self.nodes.iter().enumerate();
        for (id, node) in children.filter(|(_, node)| node.parent.map(|(id, _)| id) == parent) {
            let port = node.parent.map_or("", |(_, port)| port);
            let colon = if port.is_empty() { "" } else { ": " };
            let steps = node.steps.iter().flat_map(|step| [*step, ", "]);
            let steps: String = steps.collect();
            let indent = "  ".repeat(depth);
            // Writing to a string does not fail.
            let _: fmt::Result = writeln!(text, "{indent}{port}{colon}{steps}{}", node.what);
            self.write_children(Some(id), depth + 1, text);
        }
    }

    /// The plan as a flowchart for [Mermaid](https://mermaid.js.org).
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (id, node) in self.nodes.iter().enumerate() {
            let label = node.what.to_string().replace('"', "#quot;");
            let (open, close) = match node.what {
                What::Source { .. } | What::To(_) => ("([\"", "\"])"),
                What::Operator { .. } => ("[(\"", "\")]"),
                _ => ("[\"", "\"]"),
            };
            let _: fmt::Result = writeln!(text, "  n{id}{open}{label}{close}");
        }
        for (id, node) in self.nodes.iter().enumerate() {
            let Some((parent, port)) = node.parent else {
                continue;
            };
            let label = std::iter::once(port).chain(node.steps.iter().copied());
            let label: Vec<_> = label.filter(|part| !part.is_empty()).collect();
            let label = if label.is_empty() {
                String::new()
            } else {
                format!("|{}|", label.join(", "))
            };
            let _: fmt::Result = writeln!(text, "  n{parent} -->{label} n{id}");
        }
        text
    }

    /// The changelog topics, in the order of their operators.
    pub fn changelogs(&self) -> impl Iterator<Item = &TopicName> {
        self.nodes.iter().filter_map(|node| match &node.what {
            What::Operator { changelog, .. } => Some(changelog),
            _ => None,
        })
    }

    /// The repartition topics, in the order of their declaration.
    pub fn repartitions(&self) -> impl Iterator<Item = &TopicName> {
        self.nodes.iter().filter_map(|node| match &node.what {
            What::KeyBy { topic, .. } => Some(topic),
            _ => None,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The topics of its own that a plan's text names: those of `key_by` and of changelogs.
pub(crate) fn topics_of(text: &str) -> Vec<TopicName> {
    let topic_of = |line: &str| {
        let before = [", through ", "; changelog "];
        let topic = before
            .iter()
            .find_map(|before| Some(line.rsplit_once(before)?.1))?;
        TopicName::new(topic).ok()
    };
    text.lines().filter_map(topic_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::App;
    use crate::codec::{json, text};
    use crate::time::{hours, minutes};
    use crate::window::{Hopping, Sessions};

    fn program() -> App {
        let app = App::new("delays");
        let words = app.stream("in", text());
        let keyed = words
            .clone()
            .key_by("by-word", |word: &String| word.clone(), text());
        let count = keyed
            .window(Hopping::of(hours(1)).advance(minutes(5)).grace(minutes(1)))
            .count("count");
        count.finals().map(|f| f.key).to("out", |_| None, text());
        count.late().for_each(|_| ());
        let own = words.filter(|_| true).keyed_by_record_key::<String>();
        let visits = own.window(Sessions::gap(minutes(5)).grace(minutes(1)));
        visits
            .count("visits")
            .updates()
            .to("visits", |_| None, json());
        app
    }

    #[test]
    fn a_plan_has_every_step_and_names_its_topics() {
        let text = program().describe().text();
        let expected = "\
program delays
  in, event time from the record's timestamp
    key_by by-word, through delays-by-word-repartition
      count: hopping 1h every 5m, grace 1m; count, HOW; changelog delays-count-changelog
        finals: map, to out
        late: for_each
    filter, keyed by the record's key
      visits: sessions, gap 5m, grace 1m; count, one total per session; changelog delays-visits-changelog
        updates: to visits
";
        // How overlapping windows are computed is the algorithm's to say.
        let how = text
            .split("count, ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .unwrap();
        assert_eq!(text, expected.replace("HOW", how));
        let topics: Vec<_> = topics_of(&text).iter().map(ToString::to_string).collect();
        let own = [
            "delays-by-word-repartition",
            "delays-count-changelog",
            "delays-visits-changelog",
        ];
        assert_eq!(topics, own);
    }

    #[test]
    fn a_drawing_connects_what_belongs_together() {
        let drawing = program().describe().mermaid();
        assert!(
            drawing.starts_with("flowchart TD\n  n0([\"in, event time"),
            "{drawing}"
        );
        assert!(drawing.contains("  n2 -->|finals, map| n3\n"), "{drawing}");
    }
}
