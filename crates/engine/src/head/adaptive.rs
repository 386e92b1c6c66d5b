//! The adaptive softmax: frequent tokens at once, rare ones by clusters with shorter vectors.
//!
//! The first softmax is over the most frequent tokens and the clusters; a token of a cluster is
//! P(cluster) · P(token | cluster), the second from an input that a matrix has made narrow: a
//! quarter as wide for the first cluster, a sixteenth for the next (Grave et al., "Efficient softmax
//! approximation for GPUs", 2017, arXiv:1609.04309). No biases, and rows of its own, which is
//! why the embeddings are never tied to it.
//!
//! Few rows reach the clusters and their tables are small, so a lane works on its own rows with
//! gradients of its own, unlike under a factored layer.

use super::factor::{ClassPart, ClassSort, MemberGrads, Scratch, add_to_rows, log_softmax};
use super::softmax;
use crate::model::{AdaptiveSlots, LaneBuffers, Layout, MicroShape, Model, operand};
use kernels::accum::Accum;
use kernels::matmul::matmul;
use kernels::{AlignedVec, Precision, Rows, RowsMut};

/// What a lane needs for the clusters.
#[derive(Debug)]
pub struct Tail {
    sort: ClassSort,
    /// (N) losses of a cluster's rows.
    loss: AlignedVec<f32>,
    /// (N, C) gradients of their inputs, when training.
    dinput: AlignedVec<f32>,
    scratch: Scratch,
}

impl Tail {
    /// For a lane of this shape; nothing if the output layer is not adaptive.
    pub fn new(layout: &Layout, shape: &MicroShape, training: bool) -> Option<Tail> {
        let adaptive = layout.adaptive.as_ref()?;
        let (n_rows, c) = (shape.n_rows(), layout.config.model_dim);
        let clusters = adaptive.clusters.iter().map(|slots| (slots.rows, Some(slots.narrow)));
        Some(Tail {
            sort: ClassSort::new(n_rows, adaptive.clusters.len()),
            loss: AlignedVec::zeroed(n_rows),
            dinput: AlignedVec::zeroed(if training { n_rows * c } else { 0 }),
            scratch: Scratch::new(clusters, c, shape.precision),
        })
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let floats = self.loss.len() + self.dinput.len();
        floats * size_of::<f32>() + self.sort.bytes() + self.scratch.bytes()
    }

    /// Losses of all rows and the gradient of the layer's input, left in the lane, and the weights'
    /// gradients added to the lane's (`is_first`: overwriting them). [`softmax::input`] comes before.
    ///
    /// # Panics
    /// If the output layer is not adaptive.
    pub fn loss_and_gradient(
        &mut self,
        model: Model,
        targets: &[u32],
        is_first: bool,
        lane: &mut LaneBuffers,
    ) {
        let slots = slots(model.layout);
        self.sort.sort(targets, &slots.starts);
        softmax::loss_and_gradient(model, self.sort.outputs(), is_first, lane);
        let (acts, grads, _) = lane.head(targets.len());
        let (input, c) = (acts.input.as_rows(), model.layout.config.model_dim);
        for (cluster, slots) in slots.clusters.iter().enumerate() {
            let rows = self.sort.rows(cluster);
            let spans = [slots.rows.span, slots.narrow.span].map(|span| span.start..span.end);
            let parts = grads.get_disjoint_mut(spans);
            let [rows_acc, narrow_acc] = parts.expect("the table gives every tensor its own place");
            if is_first {
                rows_acc.fill(0.0);
                narrow_acc.fill(0.0);
            }
            let (loss, dinput) = (&mut self.loss[..rows.len()], &mut self.dinput);
            let dinput = &mut dinput[..rows.len() * c];
            let places = rows.iter().map(|row| (input, *row as usize, targets[*row as usize]));
            let grads = MemberGrads { rows_acc, biases_acc: &mut [], narrow_acc };
            let part = ClassPart::of_adaptive(model, cluster);
            part.loss_and_gradient(places, loss, dinput, grads, &mut self.scratch);
            add_to_rows(rows, (loss, dinput), acts.loss, acts.dinput);
        }
    }

    /// Losses of all rows, without gradients. [`softmax::input`] comes before.
    ///
    /// # Panics
    /// If the output layer is not adaptive.
    pub fn loss(&mut self, model: Model, targets: &[u32], lane: &mut LaneBuffers) {
        let slots = slots(model.layout);
        self.sort.sort(targets, &slots.starts);
        softmax::loss(model, self.sort.outputs(), lane);
        let (acts, _, _) = lane.head(targets.len());
        let input = acts.input.as_rows();
        for cluster in 0..slots.clusters.len() {
            let rows = self.sort.rows(cluster);
            let loss = &mut self.loss[..rows.len()];
            let places = rows.iter().map(|row| (input, *row as usize, targets[*row as usize]));
            ClassPart::of_adaptive(model, cluster).loss(places, loss, &mut self.scratch);
            rows.iter().zip(loss).for_each(|(row, loss)| acts.loss[*row as usize] += *loss);
        }
    }
}

/// Memory for the distribution of one token.
#[derive(Debug)]
pub struct Row {
    /// (outputs) of the first softmax.
    first: AlignedVec<f32>,
    /// (C) a cluster's narrow input, and the same as an operand.
    narrow: AlignedVec<f32>,
    operand: AlignedVec<f32>,
}

impl Row {
    /// For a model of this layout; nothing if the output layer is not adaptive.
    pub fn new(layout: &Layout) -> Option<Row> {
        layout.adaptive.as_ref()?;
        let c = layout.config.model_dim;
        Some(Row {
            first: AlignedVec::zeroed(layout.head.n_out),
            narrow: AlignedVec::zeroed(c),
            operand: AlignedVec::zeroed(c),
        })
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        (self.first.len() + self.narrow.len() + self.operand.len()) * size_of::<f32>()
    }

    /// ln P(token) for every token into (V) `log_p`, given (C) the layer's input.
    ///
    /// # Panics
    /// If the output layer is not adaptive or `log_p` is not (V).
    pub fn log_probabilities(&mut self, model: Model, input: Rows, log_p: &mut [f32]) {
        let slots = slots(model.layout);
        assert_eq!(log_p.len(), model.layout.config.vocab_size, "Row: log_p is not (V)");
        let n_single = slots.starts[0] as usize;
        matmul(&mut self.first, input, model.packed.forward(model.layout.head), Accum::Replace);
        log_softmax(&mut self.first, 0.0);
        let (single, clusters) = self.first.split_at(n_single);
        log_p[..n_single].copy_from_slice(single);
        let ids = slots.starts.windows(2).map(|ids| ids[0] as usize..ids[1] as usize);
        for ((slots, ids), total) in slots.clusters.iter().zip(ids).zip(clusters) {
            let narrow = &mut self.narrow[..slots.narrow.n_out];
            matmul(narrow, input, model.packed.forward(slots.narrow), Accum::Replace);
            let room = match input.precision() {
                Precision::F32 => RowsMut::F32(&mut self.operand),
                Precision::Bf16 => RowsMut::Bf16(bytemuck::cast_slice_mut(&mut self.operand)),
            };
            let log_p = &mut log_p[ids];
            let rows = model.packed.forward(slots.rows);
            matmul(log_p, operand(narrow, room), rows, Accum::Replace);
            log_softmax(log_p, *total);
        }
    }
}

fn slots(layout: &Layout) -> &AdaptiveSlots {
    layout.adaptive.as_ref().expect("the output layer is not adaptive")
}
