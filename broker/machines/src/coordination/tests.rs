//! The tree as a play, and against a model.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use brooklet_protocol::{Monotonic, Offset, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Command, Decision, LogRecord, Moment, StateMachine};

/// A tree with its log, and the watch events so far.
#[derive(Default)]
struct Stage {
    machine: Coordination,
    log: Vec<LogRecord>,
    events: Vec<WatchEvent>,
}

impl Stage {
    fn ask<C: Command<Coordination>>(&mut self, command: C) -> C::Answer {
        let at = Moment {
            wall: Timestamp(1000 + self.log.len() as i64),
            monotonic: Monotonic::default(),
            offset: Offset(self.log.len() as i64),
        };
        let Decision {
            records, answer, ..
        } = command.decide(&mut self.machine, at);
        for record in records {
            let offset = Offset(self.log.len() as i64);
            self.events
                .extend(self.machine.replay(offset, &record).unwrap());
            self.log.push(record);
        }
        answer
    }

    fn write(&mut self, operation: Operation) -> Result<OpResult, ErrorCode> {
        self.ask(operation).result
    }

    fn stat(&mut self, path: &str) -> Result<Stat, ErrorCode> {
        let path = path.to_owned();
        self.ask(Exists { path, watch: None }).result
    }

    fn replayed(&self) -> Coordination {
        let mut machine = Coordination::default();
        for (offset, record) in (0..).map(Offset).zip(&self.log) {
            machine.replay(offset, record).unwrap();
        }
        machine
    }
}

fn create(path: &str, data: &str) -> Operation {
    Operation::Create {
        path: path.into(),
        data: parse_data(data),
        sequential: false,
    }
}

fn parse_data(data: &str) -> Option<Bytes> {
    (data != "null").then(|| Bytes::copy_from_slice(data.trim_matches('"').as_bytes()))
}

/// `create PATH DATA`, `create-seq PATH DATA`, `set PATH DATA VERSION`, `delete PATH VERSION`,
/// `check PATH VERSION`.
fn parse_operation(line: &str) -> Operation {
    let words: Vec<_> = line.split_whitespace().collect();
    let path = words[1].to_owned();
    let version = || words[words.len() - 1].parse().unwrap();
    match words[0] {
        verb @ ("create" | "create-seq") => Operation::Create {
            path,
            data: parse_data(words[2]),
            sequential: verb == "create-seq",
        },
        "set" => Operation::SetData(SetData {
            path,
            data: parse_data(words[2]),
            version: version(),
        }),
        "delete" => Operation::Delete {
            path,
            version: version(),
        },
        "check" => Operation::Check {
            path,
            version: version(),
        },
        other => panic!("unknown verb {other}"),
    }
}

/// As above, and `get`, `exists`, `ls PATH [WATCHER]`, `multi OP; OP`, `forget WATCHER`. Returns
/// the answer.
fn perform(stage: &mut Stage, line: &str) -> String {
    if let Some(operations) = line.strip_prefix("multi") {
        let operations = operations.split(';').filter(|o| !o.trim().is_empty());
        let multi = Multi(operations.map(parse_operation).collect());
        let Answer { zxid, result } = stage.ask(multi);
        return format!("{zxid}: {}", show_multi(&result));
    }
    let words: Vec<_> = line.split_whitespace().collect();
    let watcher = |word: &&str| WatcherId(word.parse().unwrap());
    let path = words[1].to_owned();
    let is_read = ["get", "exists", "ls"].contains(&words[0]);
    let watch = words.get(2).filter(|_| is_read).map(watcher);
    match words[0] {
        "get" => show(stage.ask(GetData { path, watch }), |Data { data, stat }| {
            let data = data.as_ref().map(|d| String::from_utf8_lossy(d));
            format!("{data:?} {}", show_stat(stat))
        }),
        "exists" => show(stage.ask(Exists { path, watch }), show_stat),
        "ls" => show(stage.ask(GetChildren { path, watch }), |found| {
            if found.names.is_empty() {
                "no children".into()
            } else {
                found.names.join(" ")
            }
        }),
        "forget" => {
            stage.ask(Forget(watcher(&words[1])));
            format!("{}: forgotten", stage.log.len() as i64 - 1)
        }
        _ => show(stage.ask(parse_operation(line)), show_result),
    }
}

fn show<T>(answer: Answer<T>, show: impl Fn(&T) -> String) -> String {
    let result = match &answer.result {
        Ok(result) => show(result),
        Err(code) => format!("{code} ({})", code.number()),
    };
    format!("{}: {result}", answer.zxid)
}

fn show_stat(stat: &Stat) -> String {
    format!(
        "c={} m={} p={} v={} cv={} children={} bytes={}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.version,
        stat.cversion,
        stat.num_children,
        stat.data_length
    )
}

fn show_result(result: &OpResult) -> String {
    match result {
        OpResult::Created { path, .. } => format!("created {path}"),
        OpResult::DataSet(stat) => format!("set v={}", stat.version),
        OpResult::Deleted => "deleted".into(),
        OpResult::Checked => "checked".into(),
    }
}

fn show_multi(result: &Result<Vec<OpResult>, MultiError>) -> String {
    match result {
        Ok(results) => {
            let results: Vec<_> = results.iter().map(show_result).collect();
            format!("[{}]", results.join(", "))
        }
        Err(error) => {
            let codes: Vec<_> = error.codes().map(|code| code.to_string()).collect();
            format!("failed [{}]", codes.join(", "))
        }
    }
}

/// Runs the commands (lines that start with `>`) of a script and writes down what happens.
fn play(script: &str) -> String {
    let mut stage = Stage::default();
    let mut transcript = String::new();
    for line in script.lines().map(str::trim) {
        match line.strip_prefix("> ") {
            Some(command) => {
                let answer = perform(&mut stage, command);
                writeln!(transcript, "> {command}").unwrap();
                for event in stage.events.drain(..) {
                    let WatchEvent {
                        watcher,
                        kind,
                        path,
                        zxid,
                    } = event;
                    writeln!(transcript, "  {} sees {kind:?} {path} {zxid}", watcher.0).unwrap();
                }
                writeln!(transcript, "  {answer}").unwrap();
            }
            None if line.starts_with('#') => writeln!(transcript, "{line}").unwrap(),
            None => {}
        }
    }
    transcript
}

/// A golden script: what it says is what happens.
fn assert_play(script: &str) {
    let lines = script.lines().skip(1);
    let lines = lines.map(|line| line.strip_prefix("        ").unwrap_or(line).trim_end());
    let dedented = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(play(&dedented).trim_end(), dedented.trim_end());
}

#[test]
fn znodes_come_change_and_go() {
    assert_play(
        r#"
        # A fresh tree has what ZooKeeper has. Nobody created it: cversion is -1.
        > ls /
          -1: zookeeper
        > exists /
          -1: c=0 m=0 p=0 v=0 cv=-1 children=1 bytes=0
        > ls /zookeeper
          -1: config quota
        # The zxid is the offset in the log, also of a write that fails.
        > create /a "one"
          0: created /a
        > create /a "two"
          1: node exists (-110)
        > create /b/c null
          2: no node (-101)
        > create /a/b null
          3: created /a/b
        # Null is not the empty data.
        > get /a/b
          3: None c=3 m=3 p=3 v=0 cv=0 children=0 bytes=0
        > set /a/b "" 0
          4: set v=1
        > get /a/b
          4: Some("") c=3 m=4 p=3 v=1 cv=0 children=0 bytes=0
        # A child's data is none of its parent's business; its coming and going is.
        > exists /a
          4: c=0 m=0 p=3 v=0 cv=1 children=1 bytes=3
        > set /a/b "x" 0
          5: bad version (-103)
        > delete /a -1
          6: not empty (-111)
        > delete /a 7
          7: bad version (-103)
        > delete /a/b 1
          8: deleted
        > exists /a
          8: c=0 m=0 p=8 v=0 cv=2 children=0 bytes=3
        > delete /a 0
          9: deleted
        > get /a
          9: no node (-101)
        # What ZooKeeper needs itself stays.
        > delete /zookeeper/quota -1
          10: bad arguments (-8)
        > delete / -1
          11: bad arguments (-8)
        > create / null
          12: node exists (-110)
        "#,
    );
}

#[test]
fn sequence_numbers_count_creates_and_never_repeat() {
    assert_play(
        r"
        > create /q null
          0: created /q
        > create-seq /q/n- null
          1: created /q/n-0000000000
        # A plain create counts too, a failed one and a delete do not.
        > create /q/plain null
          2: created /q/plain
        > create /q/plain null
          3: node exists (-110)
        > delete /q/n-0000000000 -1
          4: deleted
        > create-seq /q/n- null
          5: created /q/n-0000000002
        # The number may be the whole name.
        > create-seq /q/ null
          6: created /q/0000000003
        > create /q/ null
          7: bad arguments (-8)
        > create-seq / null
          8: created /0000000001
        > create-seq /missing/n- null
          9: no node (-101)
        ",
    );
}

#[test]
fn a_multi_happens_as_a_whole_or_not_at_all() {
    assert_play(
        r#"
        # Each operation sees those before it; all share one zxid.
        > multi create /m null; create-seq /m/n null; create-seq /m/n null; set /m "x" 0; check /m 1
          0: [created /m, created /m/n0000000000, created /m/n0000000001, set v=1, checked]
        > get /m
          0: Some("x") c=0 m=0 p=0 v=1 cv=2 children=2 bytes=1
        # The third is at fault: 0 before it, its own code, -2 after it.
        > multi create-seq /m/n null; delete /m/n0000000000 -1; check /m 9; set /m "y" -1
          1: failed [0, 0, -103, -2]
        > get /m
          1: Some("x") c=0 m=0 p=0 v=1 cv=2 children=2 bytes=1
        > ls /m
          1: n0000000000 n0000000001
        # The sequence number was not used up.
        > create-seq /m/n null
          2: created /m/n0000000002
        # A znode may come and go within one multi, and its parent with it.
        > multi create /t null; create /t/u null; delete /t/u 0; delete /t 0
          3: [created /t, created /t/u, deleted, deleted]
        > multi
          4: []
        "#,
    );
}

#[test]
fn a_watch_fires_once_and_before_the_answer() {
    assert_play(
        r#"
        # Watcher 1 waits for a znode that is not there; 2 watches the children of the root.
        > exists /w 1
          -1: no node (-101)
        > ls / 2
          -1: zookeeper
        # Reading what is not there leaves no watch.
        > get /w 3
          -1: no node (-101)
        > ls /w 3
          -1: no node (-101)
        > create /w null
          1 sees Created /w 0
          2 sees ChildrenChanged / 0
          0: created /w
        > set /w "1" -1
          1: set v=1
        > get /w 1
          1: Some("1") c=0 m=1 p=0 v=1 cv=0 children=0 bytes=1
        # A failed write fires nothing, nor does a failed multi.
        > set /w "2" 7
          2: bad version (-103)
        > multi set /w "2" -1; check /w 9
          3: failed [0, -103]
        > multi set /w "2" -1; set /w "3" -1
          1 sees DataChanged /w 4
          4: [set v=2, set v=3]
        # One event per watcher, though 4 watches both data and children; 5 has gone.
        > get /w 4
          4: Some("3") c=0 m=4 p=0 v=3 cv=0 children=0 bytes=1
        > ls /w 4
          4: no children
        > ls /w 5
          4: no children
        > forget 5
          4: forgotten
        > delete /w -1
          4 sees Deleted /w 5
          5: deleted
        "#,
    );
}

#[test]
fn an_ephemeral_znode_has_no_children() {
    // No command makes one yet; a log of a later version may hold it.
    let mut stage = Stage::default();
    let header = txn::Header {
        client_id: 77,
        cxid: 1,
        zxid: 0,
        time: Timestamp(5),
    };
    let created = txn::Txn::Create {
        path: "/e".into(),
        data: None,
        ephemeral: true,
        creates: 1,
    };
    let record = LogRecord {
        key: None,
        value: Some(txn::encode(&header, &created)),
        ..LogRecord::default()
    };
    stage.machine.replay(Offset(0), &record).unwrap();
    stage.log.push(record);
    assert_eq!(stage.stat("/e").unwrap().ephemeral_owner, 77);
    let refused = stage.write(create("/e/child", "null"));
    assert_eq!(refused, Err(ErrorCode::NoChildrenForEphemerals));
}

#[test]
fn data_is_bounded() {
    let mut stage = Stage::default();
    let operation = |length| Operation::Create {
        path: "/big".into(),
        data: Some(vec![0; length].into()),
        sequential: false,
    };
    let refused = stage.write(operation(DATA_BYTES_MAX + 1));
    assert_eq!(refused, Err(ErrorCode::BadArguments));
    assert!(stage.write(operation(DATA_BYTES_MAX)).is_ok());
}

#[test]
fn a_record_that_does_not_fit_is_refused() {
    let mut stage = Stage::default();
    stage.write(create("/a", "null")).unwrap();
    let refused = |record: &LogRecord, offset| {
        let replayed = stage.replayed().replay(Offset(offset), record);
        replayed.unwrap_err().to_string()
    };
    let same = stage.log[0].clone();
    assert_eq!(refused(&same, 1), "zxid is 0, expected 1");
    assert_eq!(refused(&same, 0), "znode /a already exists");
    assert_eq!(
        refused(&LogRecord::default(), 1),
        "a record without a value"
    );
    let cut = LogRecord {
        value: same.value.map(|value| value.slice(..20)),
        ..same
    };
    assert!(refused(&cut, 1).starts_with("malformed transaction"));
}

/// What a znode is, told without a tree: a map of paths.
#[derive(Clone, Debug, Default, PartialEq)]
struct ModelNode {
    data: Option<Bytes>,
    version: i32,
    creates: i32,
    deletes: i32,
}

type Model = BTreeMap<String, ModelNode>;

fn model_children<'a>(model: &'a Model, path: &'a str) -> impl Iterator<Item = &'a String> {
    model
        .keys()
        .filter(move |p| *p != "/" && path::parent(p) == path)
}

fn model_write(model: &mut Model, operation: &Operation) -> Result<String, ErrorCode> {
    let versioned = |model: &Model, path: &str, version: i32| match model.get(path) {
        None => Err(ErrorCode::NoNode),
        Some(node) if version != -1 && version != node.version => Err(ErrorCode::BadVersion),
        Some(_) => Ok(()),
    };
    match operation.clone() {
        Operation::Create {
            mut path,
            data,
            sequential,
        } => {
            let parent_path = path::parent(&path).to_owned();
            let parent = model.get(&parent_path).ok_or(ErrorCode::NoNode)?;
            if sequential {
                write!(path, "{:010}", parent.creates).unwrap();
            }
            if model.contains_key(&path) {
                return Err(ErrorCode::NodeExists);
            }
            model.get_mut(&parent_path).unwrap().creates += 1;
            let node = ModelNode {
                data,
                ..ModelNode::default()
            };
            model.insert(path.clone(), node);
            Ok(path)
        }
        Operation::SetData(SetData {
            path,
            data,
            version,
        }) => {
            versioned(model, &path, version)?;
            let node = model.get_mut(&path).unwrap();
            node.data = data;
            node.version += 1;
            Ok(path)
        }
        Operation::Delete { path, version } => {
            if path == "/" {
                return Err(ErrorCode::BadArguments);
            }
            versioned(model, &path, version)?;
            if model_children(model, &path).next().is_some() {
                return Err(ErrorCode::NotEmpty);
            }
            model.remove(&path);
            model.get_mut(path::parent(&path)).unwrap().deletes += 1;
            Ok(path)
        }
        Operation::Check { path, version } => versioned(model, &path, version).map(|()| path),
    }
}

fn model_multi(model: &mut Model, operations: &[Operation]) -> Result<(), (usize, ErrorCode)> {
    let mut after = model.clone();
    for (index, operation) in operations.iter().enumerate() {
        model_write(&mut after, operation).map_err(|code| (index, code))?;
    }
    *model = after;
    Ok(())
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = || {
        let component = prop_oneof![Just("/a"), Just("/b")];
        prop_oneof![
            1 => Just("/".to_owned()),
            9 => proptest::collection::vec(component, 1..4).prop_map(|parts| parts.concat()),
        ]
    };
    let version = || prop_oneof![3 => Just(-1), 1 => 0..3];
    let data = || any::<Option<u8>>().prop_map(|d| d.map(|byte| Bytes::from(vec![byte])));
    prop_oneof![
        4 => (path(), data(), any::<bool>()).prop_map(|(path, data, sequential)| {
            let sequential = sequential && path != "/";
            Operation::Create { path, data, sequential }
        }),
        2 => (path(), data(), version()).prop_map(|(path, data, version)| {
            Operation::SetData(SetData { path, data, version })
        }),
        2 => (path(), version()).prop_map(|(path, version)| Operation::Delete { path, version }),
        1 => (path(), version()).prop_map(|(path, version)| Operation::Check { path, version }),
    ]
}

fn assert_same(stage: &mut Stage, model: &Model) {
    for (path, expected) in model {
        let (path, watch) = (path.clone(), None);
        let is_root = path == "/";
        let listed = stage.ask(GetChildren {
            path: path.clone(),
            watch,
        });
        let names = listed.result.unwrap().names;
        let children = model_children(model, &path).map(|p| path::name(p).to_owned());
        let boot = is_root.then(|| "zookeeper".to_owned());
        let mut expected_names: Vec<_> = children.chain(boot).collect();
        expected_names.sort();
        assert_eq!(names, expected_names);

        let Data { data, stat } = stage.ask(GetData { path, watch }).result.unwrap();
        let root_data = is_root && expected.version == 0;
        assert_eq!(
            data,
            if root_data {
                Some(Bytes::new())
            } else {
                expected.data.clone()
            }
        );
        assert_eq!(stat.version, expected.version);
        let boot_child = i32::from(is_root);
        assert_eq!(
            stat.cversion,
            expected.creates + expected.deletes - boot_child
        );
        assert_eq!(stat.num_children as usize, names.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_tree_does_what_the_model_does(
        batches in proptest::collection::vec(proptest::collection::vec(operation(), 1..5), 1..25),
    ) {
        let mut stage = Stage::default();
        let mut model = Model::from([("/".to_owned(), ModelNode::default())]);
        for batch in batches {
            if let [single] = batch.as_slice() {
                let expected = model_write(&mut model, single);
                let written = stage.write(single.clone());
                prop_assert_eq!(written.as_ref().err(), expected.as_ref().err());
                if let Ok(OpResult::Created { path, .. }) = &written {
                    prop_assert_eq!(Ok(path), expected.as_ref());
                }
                // The stat that the draft has promised is the one the tree has.
                if let (Ok(OpResult::Created { stat, .. } | OpResult::DataSet(stat)), Ok(path)) = (&written, &expected) {
                    prop_assert_eq!(Ok(*stat), stage.stat(path));
                }
            } else {
                let expected = model_multi(&mut model, &batch);
                let result = stage.ask(Multi(batch)).result;
                let fault = result.map(drop).map_err(|e| (e.index, e.code));
                prop_assert_eq!(fault, expected);
            }
        }
        assert_same(&mut stage, &model);
        prop_assert_eq!(&stage.replayed().tree, &stage.machine.tree, "replay gives the live tree");
    }
}
