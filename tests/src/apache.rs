//! Apache Kafka itself, one node, from its jars.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::{HANG, foreign, send_signal, stdout_of, text};

/// What Kafka says once it serves.
const STARTED: &str = "Kafka Server started";
/// Its log on standard output, so that the start can be awaited.
const LOG4J: &str = "log4j.rootLogger=INFO, out\n\
    log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.out.layout.ConversionPattern=%m%n\n";

/// Kafka's jars as a class path; `None`, and a word on it, where `.ci/kafka` did not bring them.
pub fn class_path() -> Option<String> {
    jars_in("BROOKLET_KAFKA_LIB")
}

/// The same of the clients of Kafka 4.
pub fn class_path_4() -> Option<String> {
    jars_in("BROOKLET_KAFKA4_LIB")
}

fn jars_in(variable: &str) -> Option<String> {
    let Ok(lib) = std::env::var(variable) else {
        eprintln!("skipped: {variable} is not set; .ci/kafka sets it");
        return None;
    };
    Some(format!("{lib}/*"))
}

/// A running broker, killed when dropped.
#[derive(Debug)]
pub struct Kafka {
    child: Child,
    address: String,
    data: PathBuf,
    /// What it says.
    lines: Receiver<String>,
}

impl Kafka {
    /// Formats a directory below `parent` and starts a broker on it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(class_path: &str, parent: &Path) -> Self {
        let data = parent.join("kafka-data");
        let [port, controller] = free_ports();
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@localhost:{controller}\n\
             listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\n",
            text(&data)
        );
        let (properties, log4j) = (parent.join("server.properties"), parent.join("log4j"));
        fs::write(&properties, settings).expect("the file can be written");
        fs::write(&log4j, LOG4J).expect("the file can be written");
        let log4j = format!("-Dlog4j.configuration=file:{}", text(&log4j));
        let java = [&log4j, "-cp", class_path];
        let cluster = ["-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", text(&properties)];
        let format = ["kafka.tools.StorageTool", "format"];
        foreign("java", &[&java[..], &format, &cluster].concat(), b"");
        let mut child = Command::new("java")
            .args(java)
            .args(["kafka.Kafka", text(&properties)])
            .stdout(Stdio::piped())
            .spawn()
            .expect("java runs");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (say, lines) = mpsc::channel();
        thread::spawn(move || {
            // A pipe that nobody reads would stop it.
            let lines = stdout.lines().map_while(Result::ok);
            lines.for_each(|line| drop(say.send(line)));
        });
        let address = format!("localhost:{port}");
        let kafka = Self {
            child,
            address,
            data,
            lines,
        };
        kafka.wait_until_started();
        kafka
    }

    fn wait_until_started(&self) {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(HANG) {
            let started = line.contains(STARTED);
            said.push(line);
            if started {
                return;
            }
        }
        panic!("Kafka does not start:\n{}", said.join("\n"));
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its `log.dirs`.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// `brooklet -b` this broker, which must succeed; returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn stdout_of(&self, args: &[&str], input: &[u8]) -> String {
        stdout_of(&[&["-b", &self.address], args].concat(), input)
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(mut self) {
        self.child.kill().expect("Kafka still runs");
        self.child.wait().expect("a killed child ends");
    }

    /// SIGTERM, and waits for the end, which is a clean one.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(mut self) {
        send_signal(self.child.id(), "TERM");
        self.child.wait().expect("Kafka ends");
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// Two ports that nobody listens on at this moment.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
