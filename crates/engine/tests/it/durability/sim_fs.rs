//! Simulated disk behind the [`Fs`] trait: counts operations, and fails or stops at any of them.

use super::Rng;
use super::sim_disk::{Disk, Ino, Op, after_power_cut};
use engine::disk::{Entry, Fs, ReadFile, WriteFile};
use std::io::{self, Cursor};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard};

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program ends: this and all later operations have no effect; half of a write is done.
    Abort,
    Eio,
    Enospc,
    Eintr,
    /// A write accepts half of its bytes; other operations succeed.
    ShortWrite,
}

/// A fault and its time.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// Number of the first operation that fails, from 0.
    pub at: usize,
    /// Whether all later ones fail too.
    pub sticky: bool,
    /// Whether only syncs are counted and fail.
    pub syncs_only: bool,
}

/// The disk; clones are the same disk.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
    /// While locked, operations wait.
    gate: Arc<Mutex<()>>,
}

struct State {
    disk: Disk,
    /// `disk` at the start of the log.
    base: Disk,
    log: Option<Vec<Op>>,
    last_ino: Ino,
    n_ops: usize,
    n_syncs: usize,
    fault: Option<Fault>,
    is_dead: bool,
    free_bytes: u64,
    /// Whether syncs of files, and of folders, do nothing: simulates a broken writer.
    ignored_syncs: (bool, bool),
    /// Files whose sync failed, and whether one was synced again.
    given_up: Vec<Ino>,
    reused_after_failed_sync: bool,
    panics: bool,
}

/// Extent to which an operation is done.
enum Verdict {
    Go,
    Half,
}

impl SimFs {
    /// An empty disk of unlimited size.
    pub fn new() -> SimFs {
        let mut disk = Disk::default();
        disk.dirs.entry(0).or_default();
        SimFs::of(disk)
    }

    fn of(disk: Disk) -> SimFs {
        let inodes = disk.dirs.keys().chain(disk.files.keys());
        let last_ino = inodes.copied().max().unwrap_or(0);
        let state = State {
            base: disk.clone(),
            disk,
            log: None,
            last_ino,
            n_ops: 0,
            n_syncs: 0,
            fault: None,
            is_dead: false,
            free_bytes: u64::MAX / 2,
            ignored_syncs: (false, false),
            given_up: Vec::new(),
            reused_after_failed_sync: false,
            panics: false,
        };
        SimFs { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The state, for an operation; waits while operations are held back.
    fn operate(&self) -> MutexGuard<'_, State> {
        drop(self.gate.lock().unwrap());
        let panics = std::mem::take(&mut self.state().panics);
        assert!(!panics, "a requested panic");
        self.state()
    }

    /// Holds back every operation until the result is dropped.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    /// The thread that makes the next operation panics.
    pub fn panic_at_next_operation(&self) {
        self.state().panics = true;
    }

    /// Another disk with the same content, all of it durable, and no fault.
    pub fn copy(&self) -> SimFs {
        SimFs::of(self.state().disk.clone())
    }

    /// Operations so far.
    pub fn n_ops(&self) -> usize {
        self.state().n_ops
    }

    /// Syncs so far.
    pub fn n_syncs(&self) -> usize {
        self.state().n_syncs
    }

    /// Sets a fault, counting operations from now; `None` repairs the disk, and a stopped program
    /// may start again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state();
        (state.fault, state.n_ops, state.n_syncs, state.is_dead) = (fault, 0, 0, false);
    }

    /// Sets the free space in bytes.
    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.state().free_bytes = free_bytes;
    }

    /// Ignores syncs of files, or of folders, from now on.
    pub fn ignore_syncs(&self, of_files: bool, of_dirs: bool) {
        self.state().ignored_syncs = (of_files, of_dirs);
    }

    /// Whether a file was synced again after a failed sync.
    pub fn reused_after_failed_sync(&self) -> bool {
        self.state().reused_after_failed_sync
    }

    /// Records every operation from now on; the current content counts as durable.
    pub fn start_log(&self) {
        let mut state = self.state();
        state.base = state.disk.clone();
        state.log = Some(Vec::new());
    }

    /// Records that the program reported `step` as saved.
    pub fn acknowledge(&self, step: u64) {
        self.state().log.iter_mut().for_each(|log| log.push(Op::Acknowledged(step)));
    }

    /// Number of recorded operations.
    pub fn log_len(&self) -> usize {
        self.state().log.as_ref().map_or(0, Vec::len)
    }

    /// A possible state after a power cut after `n` recorded operations, and the last step
    /// acknowledged before it.
    pub fn power_cut(&self, n: usize, rng: &mut Rng) -> (SimFs, Option<u64>) {
        let state = self.state();
        let log = &state.log.as_ref().expect("a log was started")[..n];
        let acknowledged = log.iter().rev().find_map(|op| match op {
            Op::Acknowledged(step) => Some(*step),
            _ => None,
        });
        (SimFs::of(after_power_cut(&state.base, log, rng)), acknowledged)
    }

    /// Changes the content of a file directly, without an operation.
    pub fn damage(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let ino = state.resolve(file).unwrap();
        change(state.disk.files.get_mut(&ino).unwrap());
    }
}

impl State {
    /// Counts an operation and decides its outcome.
    fn begin(&mut self, is_write: bool, is_sync: bool) -> io::Result<Verdict> {
        if self.is_dead {
            return Err(io::Error::other("the program has ended"));
        }
        let (n, n_syncs) = (self.n_ops, self.n_syncs);
        self.n_ops += 1;
        self.n_syncs += usize::from(is_sync);
        let Some(fault) = self.fault else { return Ok(Verdict::Go) };
        if fault.syncs_only && !is_sync {
            return Ok(Verdict::Go);
        }
        let number = if fault.syncs_only { n_syncs } else { n };
        if !(number == fault.at || fault.sticky && number > fault.at) {
            return Ok(Verdict::Go);
        }
        match fault.kind {
            Kind::Abort => {
                self.is_dead = true;
                if is_write { Ok(Verdict::Half) } else { Err(io::Error::other("aborted")) }
            }
            Kind::Eio => Err(io::Error::from_raw_os_error(5)),
            Kind::Enospc => Err(io::Error::from_raw_os_error(28)),
            Kind::Eintr => Err(io::Error::from_raw_os_error(4)),
            Kind::ShortWrite if is_write => Ok(Verdict::Half),
            Kind::ShortWrite => Ok(Verdict::Go),
        }
    }

    fn change(&mut self, op: Op) {
        self.disk.apply(&op);
        self.log.iter_mut().for_each(|log| log.push(op.clone()));
    }

    fn resolve(&self, path: &Path) -> io::Result<Ino> {
        let mut ino = 0;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let dir = self.disk.dirs.get(&ino).ok_or(io::ErrorKind::NotADirectory)?;
            ino = *dir.get(name.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(ino)
    }

    /// The parent folder of `path`, and its name there.
    fn place(&self, path: &Path) -> io::Result<(Ino, String)> {
        let dir = self.resolve(path.parent().expect("not the root"))?;
        Ok((dir, path.file_name().expect("not the root").to_str().unwrap().to_string()))
    }

    fn make(&mut self, path: &Path, is_dir: bool) -> io::Result<Ino> {
        let (dir, name) = self.place(path)?;
        if self.disk.dirs.get(&dir).ok_or(io::ErrorKind::NotADirectory)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.last_ino += 1;
        let ino = self.last_ino;
        self.change(Op::Link { dir, name, ino, is_dir });
        Ok(ino)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let ((dir, name), ino) = (self.place(path)?, self.resolve(path)?);
        if let Some(file) = self.disk.files.get(&ino) {
            self.free_bytes = self.free_bytes.saturating_add(file.len() as u64);
        } else if !self.disk.dirs[&ino].is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(Op::Unlink { dir, name, ino });
        Ok(())
    }

    /// A failed sync loses unsynced data for good.
    fn sync(&mut self, ino: Ino) -> io::Result<()> {
        let is_dir = self.disk.dirs.contains_key(&ino);
        let verdict = self.begin(false, true);
        self.reused_after_failed_sync |= self.given_up.contains(&ino);
        if verdict.is_err() && !is_dir {
            self.given_up.push(ino);
        }
        let is_ignored = if is_dir { self.ignored_syncs.1 } else { self.ignored_syncs.0 };
        if !is_ignored && !self.is_dead {
            self.change(Op::Sync { ino, ok: verdict.is_ok() });
        }
        verdict.map(|_| ())
    }
}

impl Fs for SimFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.operate();
        state.begin(false, false)?;
        state.make(dir, true).map(|_| ())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.operate();
        state.begin(false, false)?;
        let ino = state.make(file, false)?;
        Ok(Box::new(SimFile { fs: self.clone(), ino }))
    }

    fn append(&self, file: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.operate();
        state.begin(false, false)?;
        let ino = match state.resolve(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.make(file, false)?,
            found => found?,
        };
        Ok(Box::new(SimFile { fs: self.clone(), ino }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn ReadFile>> {
        let mut state = self.operate();
        state.begin(false, false)?;
        let ino = state.resolve(file)?;
        let bytes = state.disk.files.get(&ino).ok_or(io::ErrorKind::IsADirectory)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.operate();
        state.begin(false, false)?;
        let ino = state.resolve(from)?;
        if let Ok(old) = state.resolve(to)
            && state.disk.dirs.get(&old).is_some_and(|dir| !dir.is_empty())
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (from, to) = (state.place(from)?, state.place(to)?);
        state.change(Op::Rename { from, to, ino });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.operate();
        let ino = state.resolve(dir)?;
        state.sync(ino)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.operate();
        state.begin(false, false)?;
        let ino = state.resolve(dir)?;
        let entries = state.disk.dirs.get(&ino).ok_or(io::ErrorKind::NotADirectory)?;
        let is_dir = |ino| state.disk.dirs.contains_key(ino);
        let entry = |(name, ino): (&String, _)| Entry { name: name.clone(), is_dir: is_dir(ino) };
        Ok(entries.iter().map(entry).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.operate();
        state.begin(false, false)?;
        Ok(state.resolve(path).is_ok())
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        let mut state = self.operate();
        state.begin(false, false)?;
        state.unlink(file)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.operate();
        state.begin(false, false)?;
        state.unlink(dir)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let mut state = self.operate();
        state.begin(false, false)?;
        Ok(state.free_bytes)
    }
}

struct SimFile {
    fs: SimFs,
    ino: Ino,
}

impl WriteFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.fs.operate();
        let wanted = match state.begin(true, false)? {
            Verdict::Go => bytes.len(),
            Verdict::Half => bytes.len().div_ceil(2),
        };
        let n = wanted.min(usize::try_from(state.free_bytes).unwrap());
        if n == 0 && wanted > 0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        state.free_bytes -= n as u64;
        let at = state.disk.files[&self.ino].len();
        state.change(Op::Write { ino: self.ino, at, bytes: bytes[..n].to_vec() });
        if state.is_dead { Err(io::Error::other("aborted")) } else { Ok(n) }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.fs.operate();
        state.begin(false, false)?;
        let len = usize::try_from(len).unwrap();
        let old = state.disk.files[&self.ino].len();
        state.free_bytes = state.free_bytes.saturating_add(old as u64).saturating_sub(len as u64);
        state.change(Op::SetLen { ino: self.ino, len });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let ino = self.ino;
        self.fs.operate().sync(ino)
    }
}
