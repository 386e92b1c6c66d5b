//! State of AdamW as named tensors of a checkpoint.

use super::history::MAX_IDLE;
use super::{AdamW, ReadTensor, RestoreError, StateTensor};
use crate::model::{Layout, Tensor};
use std::borrow::Cow;

/// Prefix of a table's stored rows: their values when last written. The model file has the
/// caught-up values.
const STORED: &str = "live.";

/// Prefix of the number of updates that each row of a table has missed.
const IDLE: &str = "idle.";

/// Name of the learning rates of the last updates, 0 before the first.
const RATES: &str = "rates";

impl AdamW {
    /// Both moments and, if rows may be stale, their stored values and the updates they missed.
    pub(super) fn saved<'a>(&'a self, layout: &Layout) -> Vec<StateTensor<'a>> {
        let of = |prefix: &str, t: &Tensor, values: &'a [f32]| StateTensor {
            name: format!("{prefix}{}", t.name),
            shape: t.shape.clone(),
            values: Cow::Borrowed(values),
        };
        let mut saved = Vec::new();
        for (prefix, moment) in [("m.", &self.m), ("v.", &self.v)] {
            saved.extend(layout.tensors.iter().map(|t| of(prefix, t, t.span.of(moment))));
        }
        if !self.tables.is_lazy() {
            return saved;
        }
        let place = |t: &Tensor| t.span.start - self.tables_start..t.span.end - self.tables_start;
        saved.extend(layout.shared_tables().map(|t| of(STORED, t, &self.stored[place(t)])));
        saved.extend(layout.shared_tables().zip(self.tables.idle()).map(|(t, idle)| StateTensor {
            name: format!("{IDLE}{}", t.name),
            shape: vec![idle.len()],
            values: idle.iter().map(|n| *n as f32).collect(),
        }));
        let rates = self.history.rates();
        let mut values = vec![0.0; MAX_IDLE - rates.len()];
        values.extend(rates);
        let shape = vec![MAX_IDLE];
        saved.push(StateTensor { name: RATES.to_string(), shape, values: Cow::Owned(values) });
        saved
    }

    /// Restores what [`AdamW::saved`] returned after `n_updates` updates.
    pub(super) fn take_back(
        &mut self,
        layout: &Layout,
        params: &mut [f32],
        n_updates: u64,
        read: &mut ReadTensor,
    ) -> Result<(), RestoreError> {
        for (prefix, moment) in [("m.", &mut self.m), ("v.", &mut self.v)] {
            for t in &layout.tensors {
                read(&format!("{prefix}{}", t.name), &t.shape, t.span.of_mut(moment))?;
            }
        }
        self.n_updates = n_updates;
        if !self.tables.is_lazy() {
            return Ok(());
        }
        for t in layout.shared_tables() {
            read(&format!("{STORED}{}", t.name), &t.shape, t.span.of_mut(params))?;
        }
        let most = n_updates.min(MAX_IDLE as u64) as f32;
        let is_count = |n: f32| n.fract() == 0.0 && (0.0..=most).contains(&n);
        for (t, idle) in layout.shared_tables().zip(self.tables.idle_mut()) {
            let (name, mut counts) = (format!("{IDLE}{}", t.name), vec![0.0; idle.len()]);
            read(&name, &[counts.len()], &mut counts)?;
            if let Some(bad) = counts.iter().find(|n| !is_count(**n)) {
                return Err(refuse(&name, *bad, format!("a whole number from 0 to {most}")));
            }
            idle.iter_mut().zip(counts).for_each(|(idle, n)| *idle = n as u32);
        }
        let mut rates = [0.0; MAX_IDLE];
        read(RATES, &[MAX_IDLE], &mut rates)?;
        if let Some(bad) = rates.iter().find(|lr| !(**lr >= 0.0 && lr.is_finite())) {
            return Err(refuse(RATES, *bad, "a learning rate".to_string()));
        }
        let known = &rates[MAX_IDLE - most as usize..];
        let first = n_updates - known.len() as u64 + 1;
        self.history.clear();
        (first..).zip(known).for_each(|(n, lr)| self.history.push(n, *lr));
        Ok(())
    }
}

fn refuse(tensor: &str, found: f32, expected: String) -> RestoreError {
    RestoreError::Number { tensor: tensor.to_string(), found, expected }
}
