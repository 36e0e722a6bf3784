//! What the tests share: the real binary, started, awaited and stopped as a user would.
//!
//! ```text
//!  Server::start ─▶ `brooklet serve --ready-file` ─▶ the file appears: addresses ─▶ the test
//!                                                      drop: the process is killed
//! ```
//!
//! - [`Server`] is a broker in a process of its own, on free ports.
//! - [`program`] is any program whose output a test awaits line by line.
//! - [`socket`] speaks to the broker in raw bytes.
//! - [`apache`] is Apache Kafka, if the machine has Java and Maven.
//!
//! Invariants: no test uses a fixed port; a process that hangs is killed, so that its test fails
//! instead of waiting; no process survives its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tempfile::NamedTempFile;

pub mod apache;
pub mod flights;
pub mod mutate;
pub mod program;
pub mod socket;

/// How long a program may take to end. After that it hangs, and is killed, so that its test fails.
const HANG: Duration = Duration::from_secs(120);

/// The `brooklet` binary of this build; built if it is not there yet.
///
/// # Panics
/// When it cannot be built.
pub fn brooklet() -> &'static Path {
    // A failure is kept too: the other tests fail at once instead of building again.
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(build);
    built.as_deref().unwrap_or_else(|error| panic!("{error}"))
}

fn build() -> Result<PathBuf, String> {
    // With this crate selected too, its features are those of the test run, and nothing that the
    // tests were linked with is compiled again.
    let packages = ["--package", "brooklet", "--package", "brooklet-tests"];
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bin", "brooklet"])
        .args(packages)
        .current_dir(repository())
        .status();
    match built {
        Ok(status) if status.success() => {}
        failed => return Err(format!("the binary does not build: {failed:?}")),
    }
    // Test binaries stand in target/debug/deps, the binary two levels up.
    let test = std::env::current_exe().expect("a test knows its own path");
    let debug = test
        .parent()
        .and_then(Path::parent)
        .expect("target/debug/deps");
    Ok(debug.join("brooklet"))
}

/// The root of the repository.
///
/// # Panics
/// Never: the manifest's directory has a parent.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the repository")
}

/// Tries each case on a thread of its own, for cases that mostly wait. The first that panics fails
/// the test.
///
/// # Panics
/// When a case does.
pub fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, try_case: impl Fn(T) + Sync) {
    let try_case = &try_case;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || try_case(case));
        }
    });
}

/// Runs `brooklet` with `args` and nothing on its standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run(args: &[&str]) -> Output {
    run_with_input(args, b"")
}

/// Runs `brooklet` with `args` and `input` on its standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run_with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(brooklet())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let pid = child.id();
    std::thread::scope(|scope| {
        // Written beside the reading, or a large answer to a large input would block both; a
        // program that ends without reading its input is no failure of the test.
        scope.spawn(move || stdin.write_all(input).is_ok());
        let (ended, end) = mpsc::sync_channel::<()>(1);
        scope.spawn(move || {
            if end.recv_timeout(HANG) == Err(mpsc::RecvTimeoutError::Timeout) {
                send_signal(pid, "KILL");
            }
        });
        let output = child.wait_with_output().expect("the binary ends");
        drop(ended);
        output
    })
}

/// Runs a server on a data directory that may have too few files open, and so ends at once.
///
/// # Panics
/// When it cannot be started.
pub fn run_with_open_files(data_dir: &Path, files: u32) -> Output {
    let args = ["--kafka", "127.0.0.1:0", "--data-dir", text(data_dir)];
    let mut command = brooklet_with_open_files(files);
    let output = command.arg("serve").args(args).output();
    output.expect("the binary starts")
}

fn brooklet_with_open_files(files: u32) -> Command {
    let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(brooklet());
    command
}

fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill runs").success(), "kill -{signal} {pid}");
}

/// Runs `brooklet`, which must succeed, and returns its standard output.
///
/// # Panics
/// When it fails.
pub fn stdout_of(args: &[&str], input: &[u8]) -> String {
    let output = run_with_input(args, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "brooklet {args:?}: {}: {errors}",
        output.status
    );
    String::from_utf8(output.stdout).expect("UTF-8 on stdout")
}

/// A running `brooklet serve`, killed when dropped. What it says on stderr is kept, and shown when
/// its test fails.
#[derive(Debug)]
pub struct Server {
    child: Child,
    kafka: String,
    http: Option<String>,
    errors: NamedTempFile,
}

impl Server {
    /// Starts a server that keeps nothing.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn ephemeral() -> Self {
        Self::start(&["--ephemeral"])
    }

    /// Starts a server on a data directory.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn on(data_dir: &Path) -> Self {
        Self::start(&["--data-dir", text(data_dir)])
    }

    /// Starts a server on a data directory at a port of one's choice.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn on_at(data_dir: &Path, kafka: &str) -> Self {
        Self::start_at(&["--kafka", kafka, "--data-dir", text(data_dir)])
    }

    /// Starts `brooklet serve` on a free port, with more arguments.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(&[&["--kafka", "127.0.0.1:0"], args].concat())
    }

    /// Starts a server on a data directory, with a limit of open files.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn with_open_files(data_dir: &Path, files: u32) -> Self {
        let command = brooklet_with_open_files(files);
        let args = ["--kafka", "127.0.0.1:0", "--data-dir", text(data_dir)];
        Self::spawn_by(command, &args)
    }

    /// Starts `brooklet serve` with these arguments and no others.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_at(args: &[&str]) -> Self {
        Self::spawn_by(Command::new(brooklet()), args)
    }

    /// Starts a server on a data directory with more environment variables.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn with_environment(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(brooklet());
        command.envs(variables.iter().copied());
        let args = ["--kafka", "127.0.0.1:0", "--data-dir", text(data_dir)];
        Self::spawn_by(command, &args)
    }

    fn spawn_by(mut command: Command, args: &[&str]) -> Self {
        let errors = NamedTempFile::new().expect("a temporary file");
        let stderr = errors.reopen().expect("a temporary file opens again");
        let mut child = command
            .arg("serve")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut server = Self {
            child,
            kafka: String::new(),
            http: None,
            errors,
        };
        let mut ready = String::new();
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("a line on stdout");
        let address = |name| {
            let mut words = ready.split_whitespace();
            words.find_map(|word| word.strip_prefix(name))
        };
        server.http = address("http=").map(str::to_owned);
        match address("kafka=") {
            Some(kafka) => server.kafka.push_str(kafka),
            None => panic!("serve printed {ready:?}, expected its ready line"),
        }
        server
    }

    /// Where Kafka clients connect.
    pub fn kafka(&self) -> &str {
        &self.kafka
    }

    /// Where it answers HTTP, if it does.
    pub fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    /// What it answers to GET: the status and the body.
    ///
    /// # Panics
    /// When it does not answer, or has no HTTP.
    pub fn get(&self, path: &str) -> (u16, String) {
        let address = self.http().expect("a server with HTTP");
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on stderr so far.
    ///
    /// # Panics
    /// When that cannot be read.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.errors.path()).expect("stderr is UTF-8")
    }

    /// `brooklet -b` this server, with `args` and nothing on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&[&["-b", &self.kafka], args].concat())
    }

    /// `brooklet -b` this server, which must succeed; returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn stdout_of(&self, args: &[&str], input: &[u8]) -> String {
        stdout_of(&[&["-b", &self.kafka], args].concat(), input)
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(mut self) {
        self.child.kill().expect("the server still runs");
        self.child.wait().expect("a killed child ends");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(self) -> ExitStatus {
        self.end_by("TERM")
    }

    /// Sends a signal, named as `kill` names it, and waits for the end.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn end_by(mut self, signal: &str) -> ExitStatus {
        send_signal(self.pid(), signal);
        self.child.wait().expect("the server ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the server\n{}---", self.errors());
        }
        // It may have ended already, which is what is wanted.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// A path as an argument.
///
/// # Panics
/// When it is not UTF-8.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Runs a foreign program, which must succeed, and returns its standard output.
///
/// # Panics
/// When it fails or is not installed.
pub fn foreign(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}. .ci/clients installs it"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).is_ok());
        let errors = scope.spawn(move || {
            let mut text = String::new();
            stderr
                .read_to_string(&mut text)
                .map(|_| text)
                .unwrap_or_default()
        });
        let output = child.wait_with_output().expect("the program ends");
        let errors = errors.join().expect("the reader of stderr does not panic");
        assert!(
            output.status.success(),
            "{program} {args:?}: {}: {errors}",
            output.status
        );
        output
    });
    output.stdout
}
