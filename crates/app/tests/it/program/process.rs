//! Process harness: starts the program and collects its output and exit status.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program, to be run in `folder` with no input.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crystalline"));
    command.current_dir(folder).env("CI", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program with these arguments.
pub fn run(folder: &Path, args: &[&str]) -> Ended {
    program(folder).args(args).output().unwrap().into()
}

/// User id without permissions.
const NOBODY: u32 = 65534;

/// Runs a command as a user who may read but not write in `folder`; `None` if that is impossible.
pub fn unprivileged(folder: &Path, mut command: Command) -> Option<Ended> {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).unwrap();
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    match output {
        Ok(output) => Some(output.into()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            eprintln!("skipped: other users may not start the program");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

impl Ended {
    /// The first difference from a proper failure: exit code `code`, no output, and a single error
    /// message on stderr that contains all of `parts`.
    pub fn complaint(&self, code: i32, parts: &[&str]) -> Option<String> {
        let Ended { code: found, stdout, stderr } = self;
        let missing = parts.iter().find(|part| !stderr.contains(**part));
        let n_errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        if *found != Some(code) {
            return Some(format!("exit code {found:?}, expected {code}: {stderr}"));
        }
        if !stdout.is_empty() {
            return Some(format!("wrote to stdout: {stdout}"));
        }
        if stderr.contains("panicked") || n_errors != 1 {
            return Some(format!("expected one error: {stderr}"));
        }
        missing.map(|part| format!("does not say {part:?}: {stderr}"))
    }

    /// Panics unless the command succeeded.
    #[track_caller]
    pub fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }
}

/// Reads the process's stderr up to the line that contains `part`; returns the text read.
pub fn read_until(child: &mut Child, part: &str) -> (String, BufReader<std::process::ChildStderr>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.lines().next_back().is_some_and(|line| line.contains(part)) {
        if lines.read_line(&mut text).unwrap() == 0 {
            panic!("it ended before it said {part:?}:\n{text}");
        }
    }
    (text, lines)
}

/// Sends a signal to the process, which must not have been waited for.
pub fn send(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn each_improper_failure_is_detected() {
    let good = || Ended { code: Some(1), stdout: String::new(), stderr: "error: x: bad\n".into() };
    assert_eq!(good().complaint(1, &["x", "bad"]), None);
    let complaint = |ended: Ended, part| {
        let complaint = ended.complaint(1, &["x"]).unwrap();
        assert!(complaint.contains(part), "{complaint}");
    };
    complaint(Ended { code: Some(0), ..good() }, "exit code Some(0)");
    complaint(Ended { code: None, ..good() }, "exit code None");
    complaint(Ended { stdout: "x".into(), ..good() }, "stdout");
    complaint(Ended { stderr: "thread 'main' panicked at x".into(), ..good() }, "one error");
    complaint(Ended { stderr: "error: x\nerror: x\n".into(), ..good() }, "one error");
    complaint(Ended { stderr: "error: y\n".into(), ..good() }, "does not say");
}
