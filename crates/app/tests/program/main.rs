//! The program as a process: killed, interrupted, started twice, and given what it cannot use.

mod disk;
mod flags;
mod kill;
mod lock;
mod models;
mod process;
mod scene;
mod signals;
mod texts;
