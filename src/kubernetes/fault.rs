//! Where an object cannot be decoded, and why, without its values: the words go into logs and metrics that others read.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A field that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{path} {problem}")]
pub struct Fault {
    /// E.g. `spec.config.maxmemory` or `status.members[2].phase`.
    pub path: String,
    /// What is wrong with it, without its value.
    pub problem: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item(usize),
}

impl Fault {
    pub(super) fn too_deep(path: String, limit: usize) -> Self {
        let steps = path.split('.').map(|field| Step::Field(field.to_owned())).collect();
        Self { path, problem: format!("is nested more than {limit} levels deep"), steps }
    }

    /// The first two names on the path: `spec.config`, `status.members`.
    pub fn section(&self) -> (&str, Option<&str>) {
        let name = |i: usize| match self.steps.get(i) {
            Some(Step::Field(name)) => Some(name.as_str()),
            _ => None,
        };
        (name(0).unwrap_or_default(), name(1))
    }

    /// Removes the field; `None` if there is none to remove.
    pub(super) fn remove_from(&self, root: &mut Value) -> Option<()> {
        let (last, parents) = self.steps.split_last()?;
        remove(at(root, parents)?, last)
    }
}

fn at<'a>(root: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Field(name) => value.get_mut(name.as_str()),
        Step::Item(i) => value.get_mut(i),
    })
}

fn remove(parent: &mut Value, step: &Step) -> Option<()> {
    match step {
        Step::Field(name) => parent.as_object_mut()?.remove(name).map(drop),
        Step::Item(i) => parent.as_array_mut().filter(|items| *i < items.len()).map(|items| drop(items.remove(*i))),
    }
}

/// The innermost field at fault, as far as it can be told from what decodes with it and without it.
pub(super) fn locate<K: DeserializeOwned>(root: &Value) -> Fault {
    let error = |value: &Value| K::deserialize(value).err().map(|e| e.to_string());
    let (mut root, mut steps) = (root.clone(), Vec::new());
    while let Some(step) = culprit(&mut root, &steps, &error) {
        steps.push(step);
    }
    let error = error(&root).unwrap_or_default();
    let problem = words(&error, at(&mut root, &steps).as_deref());
    Fault { path: path(&steps), problem, steps }
}

/// The child, of the value at `steps`, that is at fault. Other faults that come after it are taken away.
fn culprit(root: &mut Value, steps: &[Step], error: &dyn Fn(&Value) -> Option<String>) -> Option<Step> {
    let mut copy = root.clone();
    let children: Vec<Step> = match at(&mut copy, steps)? {
        Value::Object(fields) => fields.keys().cloned().map(Step::Field).collect(),
        Value::Array(items) => (0..items.len()).map(Step::Item).collect(),
        _ => return None,
    };
    let without = |gone: &[Step], change: fn(&mut Value, &Step) -> Option<()>| {
        let mut copy = root.clone();
        let parent = at(&mut copy, steps)?;
        gone.iter().rev().try_for_each(|step| change(parent, step))?;
        Some(copy)
    };
    let fails = |gone: &[Step], change| without(gone, change).and_then(|rest| error(&rest));
    // several may be at fault: the first is the one that those before it decode without
    for change in [remove, empty] {
        let first = (0..children.len()).find(|i| fails(&children[i + 1..], change).is_some());
        if let Some(first) = first.filter(|i| fails(&children[*i..], change).is_none()) {
            *root = without(&children[first + 1..], change)?;
            return children.into_iter().nth(first);
        }
    }
    // where something must be there, each is left out alone
    children.into_iter().find(|child| match (fails(std::slice::from_ref(child), remove), child) {
        (None, _) => true,
        (Some(error), Step::Field(name)) => error == format!("missing field `{name}`"),
        (Some(_), Step::Item(_)) => false,
    })
}

/// Leaves an object or a list there, but nothing in it.
fn empty(parent: &mut Value, step: &Step) -> Option<()> {
    match at(parent, std::slice::from_ref(step))? {
        Value::Object(fields) => fields.clear(),
        Value::Array(items) => items.clear(),
        _ => return remove(parent, step),
    }
    Some(())
}

fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Field(name) if path.is_empty() => path.push_str(name),
            Step::Field(name) => path.extend([".", name]),
            Step::Item(i) => path.extend(["[", &i.to_string(), "]"]),
        }
    }
    if path.is_empty() { "the object".into() } else { path }
}

/// What an error says, without the value that it quotes.
fn words(error: &str, value: Option<&Value>) -> String {
    let is = match value {
        None | Some(Value::Null) => "is null",
        Some(Value::Bool(_)) => "is a boolean",
        Some(Value::Number(_)) => "is a number",
        Some(Value::String(_)) => "is a text",
        Some(Value::Array(_)) => "is a list",
        Some(Value::Object(_)) => "is an object",
    };
    let of_serde = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    if error.starts_with("missing field") {
        return format!("is incomplete: {error}");
    }
    match error.rsplit_once(", expected ").filter(|_| of_serde.iter().any(|w| error.starts_with(w))) {
        Some((_, expected)) => format!("{is}, expected {expected}"),
        None => format!("{is} that cannot be understood"),
    }
}
