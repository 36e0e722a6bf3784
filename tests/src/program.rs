//! A foreign program that talks with its test, and a broker that it may have killed.
//!
//! The program prints lines. Some of them ask for something: for [`RESTART`] the broker is killed
//! (`kill -9`) and started again on its directory and port. Once that is done, the program reads
//! [`DONE`] on its standard input. So it chooses the moment, and neither side sleeps.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use tempfile::{NamedTempFile, TempDir};

use crate::{HANG, Server, send_signal, text};

/// What a program prints to have the broker killed and started again.
pub const RESTART: &str = "restart";
/// What it reads when that, or whatever else it asked for, is done.
pub const DONE: &str = "done";

/// A broker on a directory of its own, which keeps its port when it is killed.
#[derive(Debug)]
pub struct Mortal {
    server: Option<Server>,
    settings: Vec<String>,
    data: TempDir,
}

impl Mortal {
    /// Starts it with settings (`KEY=VALUE`).
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(settings: &[&str]) -> Self {
        let mut mortal = Self {
            server: None,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            data: tempfile::tempdir().expect("a directory"),
        };
        mortal.serve("127.0.0.1:0");
        mortal
    }

    fn serve(&mut self, kafka: &str) {
        let mut args = vec!["--kafka", kafka, "--data-dir", text(self.data.path())];
        for setting in &self.settings {
            args.extend(["--set", setting]);
        }
        self.server = Some(Server::start_at(&args));
    }

    /// The broker as it runs now.
    ///
    /// # Panics
    /// Never: it runs whenever it can be asked.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// `kill -9`, and a start on the same directory and port.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart(&mut self) {
        let kafka = self.server().kafka().to_owned();
        self.server.take().expect("it runs").kill();
        self.serve(&kafka);
    }
}

/// A running program, killed when dropped. What it says on stderr is shown when its test fails.
pub struct Program {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    said: Vec<String>,
    errors: NamedTempFile,
}

impl Program {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self::start_by(command)
    }

    /// Starts what is to be run.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_by(mut command: Command) -> Self {
        let errors = NamedTempFile::new().expect("a temporary file");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.reopen().expect("a temporary file opens again"))
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (say, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.for_each(|line| drop(say.send(line)));
        });
        Self {
            stdin: child.stdin.take().expect("stdin is piped"),
            child,
            lines,
            said: Vec::new(),
            errors,
        }
    }

    /// The next line that it prints; `None` at its end.
    ///
    /// # Panics
    /// When it prints nothing for so long that it must hang.
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program is silent: {self:?}"),
        }
    }

    /// Sends it a signal, named as `kill` names it.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Awaits its end, which must be a success; returns what it printed, except for [`RESTART`].
    ///
    /// # Panics
    /// When it fails.
    pub fn finish(self, broker: &mut Mortal) -> Vec<String> {
        self.finish_with(|line| {
            let asked = line == RESTART;
            if asked {
                broker.restart();
            }
            asked
        })
    }

    /// Awaits its end, which must be a success, and says [`DONE`] to each line that `carry_out`
    /// finds to ask for something; returns the others.
    ///
    /// # Panics
    /// When it fails.
    pub fn finish_with(mut self, mut carry_out: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut printed = Vec::new();
        while let Some(line) = self.line() {
            if carry_out(&line) {
                writeln!(self.stdin, "{DONE}").expect("the program reads");
            } else {
                printed.push(line);
            }
        }
        let status = self.child.wait().expect("the program ends");
        assert!(status.success(), "{status}: {self:?}");
        printed
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(mut self) {
        self.child.kill().expect("the program still runs");
        self.child.wait().expect("a killed child ends");
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- stdout of the program")?;
        self.said.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            let errors = std::fs::read(self.errors.path()).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            eprintln!("{self:?}--- stderr of the program\n{errors}---");
        }
        // It may have ended already, which is what is wanted.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
