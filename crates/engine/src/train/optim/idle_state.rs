//! What a checkpoint holds of a lazy optimiser beside its moments, as numbers with names.

use super::AdamW;
use super::history::MAX_IDLE;
use crate::model::Layout;

/// Numbers of a checkpoint.
#[derive(Debug)]
pub struct IdleState {
    /// Their name.
    pub name: String,
    /// Whole numbers of updates, or learning rates.
    pub values: Vec<f32>,
}

/// Why a checkpoint's numbers make no sense.
#[derive(Debug)]
pub struct NotRestored {
    /// The name of the numbers.
    pub tensor: String,
    /// One of them.
    pub found: f32,
    /// What it should be.
    pub expected: String,
}

impl AdamW {
    /// What rows of the tables were when they were last written, laid out as the tables, while the
    /// parameters show what idle updates made of them ([`AdamW::show_current`]).
    pub fn live(&self) -> &[f32] {
        &self.live
    }

    /// The numbers of idle updates of each row of each table, and the learning rates of the last
    /// updates, 0 before the first; nothing if no row is ever idle.
    pub fn idle_state(&self, layout: &Layout) -> Vec<IdleState> {
        if !self.tables.is_lazy() {
            return Vec::new();
        }
        let mut saved: Vec<IdleState> = names(layout)
            .zip(self.tables.idle())
            .map(|(name, idle)| IdleState {
                name,
                values: idle.iter().map(|n| *n as f32).collect(),
            })
            .collect();
        let rates = self.history.rates();
        let mut values = vec![0.0; MAX_IDLE - rates.len()];
        values.extend(rates);
        saved.push(IdleState { name: "rates".to_string(), values });
        saved
    }

    /// Takes back what [`AdamW::idle_state`] gave after `n_updates` updates.
    ///
    /// # Errors
    /// [`NotRestored`]; the state is then partly restored.
    pub fn restore(&mut self, n_updates: u64, saved: &[IdleState]) -> Result<(), NotRestored> {
        self.n_updates = n_updates;
        let Some((rates, idle)) = saved.split_last() else { return Ok(()) };
        let most = n_updates.min(MAX_IDLE as u64) as f32;
        let is_count = |n: f32| n.fract() == 0.0 && (0.0..=most).contains(&n);
        for (IdleState { name, values }, counts) in idle.iter().zip(self.tables.idle_mut()) {
            if let Some(bad) = values.iter().find(|n| !is_count(**n)) {
                return Err(refuse(name, *bad, format!("a whole number from 0 to {most}")));
            }
            counts.iter_mut().zip(values).for_each(|(count, n)| *count = *n as u32);
        }
        if let Some(bad) = rates.values.iter().find(|lr| !(**lr >= 0.0 && lr.is_finite())) {
            return Err(refuse(&rates.name, *bad, "a learning rate".to_string()));
        }
        let known = &rates.values[MAX_IDLE - most as usize..];
        let first = n_updates - known.len() as u64 + 1;
        self.history.clear();
        (first..).zip(known).for_each(|(n, lr)| self.history.push(n, *lr));
        Ok(())
    }
}

fn refuse(tensor: &str, found: f32, expected: String) -> NotRestored {
    NotRestored { tensor: tensor.to_string(), found, expected }
}

/// By table: the name of its rows' idle updates.
fn names(layout: &Layout) -> impl Iterator<Item = String> {
    layout.tables().map(|table| format!("idle.{}", table.name))
}
