//! Second optimiser, gradient descent with momentum: it uses nothing of AdamW.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use crate::support::{Cycle, Saved, Tiny, Trained, bits, trained_heads};
use engine::disk::LoadError;
use engine::model::{Layout, Tensor};
use engine::train::{
    Optimizer, Pieces, ReadTensor, RestoreError, StateTensor, StepError, StepGradients, Trainer,
};
use kernels::reduce::all_finite;
use kernels::{AlignedVec, Pool, Precision};
use std::borrow::Cow;

/// Gradient descent with momentum.
#[derive(Debug)]
struct Momentum {
    /// Exponentially decaying sums of gradients, laid out as the parameters.
    sums: AlignedVec<f32>,
    /// Parameters of which each lane has its own gradient, and those of the shared tables.
    pieces: [Pieces; 2],
    n_updates: u64,
}

/// Momentum: share of the sum of gradients that an update keeps.
const KEPT: f32 = 0.9;

impl Momentum {
    fn new(layout: &Layout) -> Momentum {
        let pieces = [Pieces::of_lanes(layout), Pieces::of_shared(layout)];
        Momentum { sums: AlignedVec::zeroed(layout.len), pieces, n_updates: 0 }
    }
}

fn name(tensor: &Tensor) -> String {
    format!("momentum.{}", tensor.name)
}

impl Optimizer for Momentum {
    fn sum_over_lanes(&mut self, params: &[f32], grads: StepGradients, pool: &mut Pool) -> f64 {
        let Momentum { sums, pieces: [own, shared], .. } = self;
        let is_finite = |range: std::ops::Range<usize>| {
            all_finite(&params[range.clone()]) && all_finite(&sums[range])
        };
        let (first, rest) = grads.lanes.split_first_mut().unwrap();
        own.sum(&mut first.grads, rest, pool, is_finite);
        shared.sum(grads.shared, &[], pool, is_finite);
        own.squares().iter().chain(shared.squares()).sum()
    }

    fn update(
        &mut self,
        params: &mut [f32],
        grads: StepGradients,
        lr: f32,
        grad_scale: f32,
        pool: &mut Pool,
    ) {
        self.n_updates += 1;
        let grads = [&grads.lanes[0].grads[..], grads.shared];
        for (pieces, grads) in self.pieces.iter().zip(grads) {
            let (start, ranges) = (pieces.start(), pieces.ranges());
            let all = [&mut params[start..], &mut self.sums[start..]];
            pool.for_each_range(all, ranges, |i, [params, sums]| {
                let grads = &grads[ranges[i].clone()];
                for ((p, sum), g) in params.iter_mut().zip(sums).zip(grads) {
                    *sum = KEPT * *sum + grad_scale * g;
                    *p -= lr * *sum;
                }
            });
        }
    }

    fn n_updates(&self) -> u64 {
        self.n_updates
    }

    fn not_finite(&self, layout: &Layout) -> Option<String> {
        let bad = layout.tensors.iter().find(|t| !all_finite(t.span.of(&self.sums)))?;
        Some(bad.name.clone())
    }

    fn state<'a>(&'a self, layout: &Layout) -> Vec<StateTensor<'a>> {
        let of = |t: &Tensor| StateTensor {
            name: name(t),
            shape: t.shape.clone(),
            values: Cow::Borrowed(t.span.of(&self.sums)),
        };
        layout.tensors.iter().map(of).collect()
    }

    fn restore(
        &mut self,
        layout: &Layout,
        _: &mut [f32],
        n_updates: u64,
        read: &mut ReadTensor,
    ) -> Result<(), RestoreError> {
        self.n_updates = n_updates;
        let mut all = layout.tensors.iter();
        Ok(all.try_for_each(|t| read(&name(t), &t.shape, t.span.of_mut(&mut self.sums)))?)
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        vec![("momentum", self.sums.len() * size_of::<f32>())]
    }
}

/// Every output layer, in both precisions.
fn variants() -> impl Iterator<Item = Tiny> {
    [Precision::F32, Precision::Bf16].into_iter().flat_map(|precision| {
        trained_heads(&Tiny { precision, n_lanes: 3, lr: 0.3, ..Tiny::default() })
    })
}

fn trainer(tiny: &Tiny, threads: usize) -> Trainer {
    let layout = tiny.layout();
    tiny.trainer_of(tiny.params(&layout), Box::new(Momentum::new(&layout)), threads)
}

fn take_steps(tiny: &Tiny, trainer: &mut Trainer, steps: std::ops::Range<u64>) -> Trained {
    let source = Cycle(tiny.vocab_size);
    let losses = steps.map(|step| trainer.step(&source, &tiny.plan(step)).unwrap().loss_nats);
    Trained { losses: losses.collect(), params: trainer.params().to_vec() }
}

#[test]
fn it_learns_a_repeating_text() {
    for tiny in variants() {
        let losses = take_steps(&tiny, &mut trainer(&tiny, 2), 0..60).losses;
        assert!(losses[59] < 0.5 * losses[0], "{tiny:?}: {} -> {}", losses[0], losses[59]);
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    for tiny in variants() {
        let [one, three] = [1, 3].map(|threads| {
            let mut trainer = trainer(&tiny, threads);
            let losses = take_steps(&tiny, &mut trainer, 0..12).losses;
            (losses, bits(&trainer))
        });
        assert!(one == three, "{tiny:?}");
    }
}

/// A restored run has the same bits as one that was never stopped; with lost momentum it does not.
#[test]
fn its_state_is_saved_and_restored() {
    for tiny in variants() {
        let mut unstopped = trainer(&tiny, 2);
        take_steps(&tiny, &mut unstopped, 0..5);
        let saved = Saved::of(&mut unstopped);
        let before = bits(&unstopped);
        take_steps(&tiny, &mut unstopped, 5..8);
        let resume = |saved: Saved| {
            let mut resumed = trainer(&tiny, 2);
            saved.restore(&mut resumed);
            let restored = bits(&resumed);
            take_steps(&tiny, &mut resumed, 5..8);
            (restored, bits(&resumed))
        };
        assert!(resume(saved.clone()) == (before.clone(), bits(&unstopped)), "{tiny:?}");
        let mut lost = saved;
        lost.tensors.iter_mut().for_each(|(_, sums)| sums.fill(0.0));
        let (restored, end) = resume(lost);
        assert!(restored != before && end != bits(&unstopped), "{tiny:?}");
    }
}

/// The trainer passes on an error of reading a tensor.
#[test]
fn a_tensor_that_is_missing_is_an_error() {
    let tiny = Tiny::default();
    let mut trainer = trainer(&tiny, 1);
    let params = trainer.params().to_vec();
    let mut read = |name: &str, _: &[usize], _: &mut [f32]| {
        let [found, expected] = ["missing", "there"].map(String::from);
        Err(LoadError::Mismatch { path: "state".into(), field: name.into(), found, expected })
    };
    assert!(matches!(trainer.restore(&params, 1, &mut read), Err(RestoreError::Load(_))));
}

/// Its state is checked like that of AdamW.
#[test]
fn a_bad_number_in_its_state_refuses_the_step() {
    for tiny in variants() {
        let mut trainer = trainer(&tiny, 2);
        take_steps(&tiny, &mut trainer, 0..2);
        let name = trainer.layout().tensors.last().unwrap().name.clone();
        let mut saved = Saved::of(&mut trainer);
        saved.tensor(&format!("momentum.{name}"))[0] = f32::NAN;
        saved.restore(&mut trainer);
        let before = bits(&trainer);
        let error = trainer.step(&Cycle(tiny.vocab_size), &tiny.plan(2)).unwrap_err();
        let StepError::NotFinite { what, .. } = error else { panic!("another error") };
        assert!(what.contains(&name), "{what}");
        assert!(before == bits(&trainer));
    }
}
