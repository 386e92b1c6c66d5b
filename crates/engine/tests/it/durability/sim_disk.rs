//! Simulated disk as a log of operations, from which any state after a power cut can be built.
//!
//! After Pillai and others, "All file systems are not created equal" (OSDI 2014): synced data is
//! durable; of the rest any subset survives, in any order, with writes torn at sectors.

use super::Rng;
use std::collections::{BTreeMap, HashMap};

/// Number of a file or folder, independent of its name; the root has 0.
pub type Ino = u64;

/// One change, or a sync.
#[derive(Clone, Debug)]
pub enum Op {
    Link {
        dir: Ino,
        name: String,
        ino: Ino,
        is_dir: bool,
    },
    Unlink {
        dir: Ino,
        name: String,
        ino: Ino,
    },
    Rename {
        from: (Ino, String),
        to: (Ino, String),
        ino: Ino,
    },
    Write {
        ino: Ino,
        at: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        ino: Ino,
        len: usize,
    },
    /// A sync of a file or folder; a failed one loses unsynced changes.
    Sync {
        ino: Ino,
        ok: bool,
    },
    /// Not a change: the program reported this step as saved.
    Acknowledged(u64),
}

/// The content of the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub files: HashMap<Ino, Vec<u8>>,
    pub dirs: HashMap<Ino, BTreeMap<String, Ino>>,
}

impl Disk {
    /// Makes one change.
    pub fn apply(&mut self, op: &Op) {
        match op.clone() {
            Op::Link { dir, name, ino, is_dir } => {
                self.dirs.entry(dir).or_default().insert(name, ino);
                if is_dir {
                    self.dirs.entry(ino).or_default();
                } else {
                    self.files.entry(ino).or_default();
                }
            }
            Op::Unlink { dir, name, ino } => self.forget(dir, &name, ino),
            Op::Rename { from, to, ino } => {
                self.forget(from.0, &from.1, ino);
                self.dirs.entry(to.0).or_default().insert(to.1, ino);
            }
            Op::Write { ino, at, bytes } => {
                let file = self.files.entry(ino).or_default();
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            Op::SetLen { ino, len } => self.files.entry(ino).or_default().resize(len, 0),
            Op::Sync { .. } | Op::Acknowledged(_) => {}
        }
    }

    /// Removes an entry, unless its name now belongs to another file.
    fn forget(&mut self, dir: Ino, name: &str, ino: Ino) {
        let entries = self.dirs.entry(dir).or_default();
        if entries.get(name) == Some(&ino) {
            entries.remove(name);
        }
    }
}

/// Whether a change is on the disk after a power cut.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Durable,
    Lost,
    Open,
}

/// A possible state after a power cut that follows the operations `log` on the durable `base`.
pub fn after_power_cut(base: &Disk, log: &[Op], rng: &mut Rng) -> Disk {
    let mut disk = base.clone();
    // A random share to keep: with many open changes, all or none would hardly ever occur by
    // chance.
    let keep_percent = [0, 15, 50, 85, 100][rng.below(5)];
    for (op, fate) in log.iter().zip(fates(log)) {
        match fate {
            Fate::Lost => {}
            Fate::Durable => disk.apply(op),
            Fate::Open if rng.chance(keep_percent) => disk.apply(op),
            Fate::Open if rng.chance(30) => torn(op, rng).iter().for_each(|op| disk.apply(op)),
            Fate::Open => {}
        }
    }
    // Folders whose entries were all lost are empty.
    let linked: Vec<Ino> = disk.dirs.values().flat_map(|d| d.values().copied()).collect();
    let was_dir = |ino: &Ino| {
        log.iter().any(|op| matches!(op, Op::Link { ino: i, is_dir: true, .. } if i == ino))
    };
    for ino in linked {
        if was_dir(&ino) {
            disk.dirs.entry(ino).or_default();
        } else if !disk.dirs.contains_key(&ino) {
            disk.files.entry(ino).or_default();
        }
    }
    disk
}

/// The fate of each operation: that of the next sync of what it changed.
fn fates(log: &[Op]) -> Vec<Fate> {
    let mut fates = vec![Fate::Open; log.len()];
    let mut pending: HashMap<Ino, Vec<usize>> = HashMap::new();
    for (i, op) in log.iter().enumerate() {
        let changed: &[Ino] = match op {
            Op::Link { dir, .. } | Op::Unlink { dir, .. } => &[*dir],
            Op::Rename { from, to, .. } => &[from.0, to.0],
            Op::Write { ino, .. } | Op::SetLen { ino, .. } => &[*ino],
            Op::Sync { ino, ok } => {
                let fate = if *ok { Fate::Durable } else { Fate::Lost };
                pending.remove(ino).into_iter().flatten().for_each(|i| fates[i] = fate);
                &[]
            }
            Op::Acknowledged(_) => &[],
        };
        changed.iter().for_each(|ino| pending.entry(*ino).or_default().push(i));
    }
    fates
}

/// Random sectors (512 or 4,096 bytes) of a write; nothing of other operations.
fn torn(op: &Op, rng: &mut Rng) -> Vec<Op> {
    let Op::Write { ino, at, bytes } = op else { return Vec::new() };
    let sector = [512, 4096][rng.below(2)];
    let mut kept = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let end = ((at + start) / sector + 1) * sector - at;
        let piece = &bytes[start..end.min(bytes.len())];
        if rng.chance(50) {
            kept.push(Op::Write { ino: *ino, at: at + start, bytes: piece.to_vec() });
        }
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create_and_write() -> Vec<Op> {
        let link = Op::Link { dir: 0, name: "a".into(), ino: 1, is_dir: false };
        vec![link, Op::Write { ino: 1, at: 0, bytes: vec![7; 1000] }]
    }

    fn states(log: &[Op]) -> Vec<Disk> {
        let mut rng = Rng::new(11);
        (0..3000).map(|_| after_power_cut(&Disk::default(), log, &mut rng)).collect()
    }

    #[test]
    fn unsynced_data_may_be_lost_torn_or_there() {
        let states = states(&create_and_write());
        let content = |disk: &Disk| {
            let ino = disk.dirs.get(&0).and_then(|root| root.get("a"))?;
            Some(disk.files[ino].clone())
        };
        let found: Vec<_> = states.iter().map(content).collect();
        assert!(found.contains(&None), "no name");
        assert!(found.contains(&Some(vec![])), "a name without content");
        assert!(found.contains(&Some(vec![7; 512])), "the first sector");
        assert!(found.contains(&Some([vec![0; 512], vec![7; 488]].concat())), "a hole");
        assert!(found.contains(&Some(vec![7; 1000])), "everything");
    }

    #[test]
    fn synced_data_stays_and_a_failed_sync_loses_data_for_good() {
        let mut log = create_and_write();
        log.extend([1, 0].map(|ino| Op::Sync { ino, ok: true }));
        assert!(states(&log).iter().all(|disk| disk.files[&1] == vec![7; 1000]));
        assert!(states(&log).iter().all(|disk| disk.dirs[&0].contains_key("a")));

        let mut log = create_and_write();
        log.extend([false, true].map(|ok| Op::Sync { ino: 1, ok }));
        let contents = states(&log);
        assert!(contents.iter().all(|disk| disk.files.get(&1).is_none_or(Vec::is_empty)));
    }
}
