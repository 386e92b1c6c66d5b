//! Factored loss: the layer over the micro-batches of all lanes.
//!
//! Each lane sorts its rows by the class of their targets and runs the softmax over classes. Then
//! each class processes its rows from all lanes together ([`Members`]). Then each lane fetches its
//! losses and gradients.

use super::Factored;
use super::members::{LaneRows, Members};
use crate::head::class::ClassSort;
use crate::head::softmax::SoftmaxBuffers;
use crate::head::{Around, HeadLoss, LanePass, LossSpec};
use crate::model::{ActiveRows, Gradients, Lane, Weights};
use kernels::Pool;

/// A factored layer's loss over lanes.
#[derive(Debug)]
pub(super) struct FactoredLoss {
    layer: Factored,
    lanes: Vec<FactoredLane>,
    members: Members,
    /// By class: whether the current batch has a target in it.
    is_active: Vec<bool>,
}

/// A lane's memory.
#[derive(Debug)]
struct FactoredLane {
    classes: SoftmaxBuffers,
    sort: ClassSort,
}

impl FactoredLoss {
    pub fn new(layer: Factored, spec: &LossSpec) -> FactoredLoss {
        let (shape, n_classes) = (spec.shape, layer.n_classes());
        let lane = |_| FactoredLane {
            classes: SoftmaxBuffers::new(n_classes, shape),
            sort: ClassSort::new(shape.n_rows(), n_classes),
        };
        let n_rows = spec.n_lanes * shape.n_rows();
        FactoredLoss {
            members: Members::new(&layer, spec.n_lanes, n_rows, shape.precision, spec.threads),
            lanes: (0..spec.n_lanes).map(lane).collect(),
            is_active: vec![false; n_classes],
            layer,
        }
    }
}

/// Rows of each lane, in the form that [`Members`] reads.
fn rows<'a>(own: &'a [FactoredLane], lanes: &'a [Lane]) -> impl Fn(usize) -> LaneRows<'a> + Sync {
    |i| LaneRows { sort: &own[i].sort, targets: lanes[i].targets(), input: lanes[i].output_input() }
}

impl HeadLoss for FactoredLoss {
    fn find_active(&mut self, active: &mut ActiveRows) {
        for (class, is_active) in self.is_active.iter_mut().enumerate() {
            let ids = self.layer.ids(class);
            *is_active = active.has_target(ids.clone());
            if *is_active {
                active.note_outputs(self.layer.rows, ids.clone());
                active.note(self.layer.member_bias, ids);
            }
        }
    }

    fn is_active(&self, part: usize) -> bool {
        self.is_active[part]
    }

    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        shared_acc: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    ) {
        let FactoredLoss { layer, lanes: own, members, .. } = self;
        pool.for_each_pair(own, lanes, |i, own, lane| {
            (around.forward)(i, lane);
            let FactoredLane { classes, sort } = own;
            let mut output = lane.output();
            sort.sort(output.targets, &layer.starts);
            let outputs = sort.outputs();
            layer.classes.loss_and_gradient(weights, outputs, is_first, classes, &mut output);
        });
        let rows = rows(own, lanes);
        members.loss_and_gradient(layer, weights, shared_acc, own.len(), &rows, pool);
        drop(rows);
        let members = &*members;
        pool.for_each_pair(own, lanes, |i, own, lane| {
            members.fetch(i, &own.sort, &mut own.classes.loss, lane.output().dinput);
            (around.backward)(i, lane);
        });
    }

    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool) {
        let FactoredLoss { layer, lanes: own, members, .. } = self;
        pool.for_each_pair(own, lanes, |i, own, lane| {
            forward(i, lane);
            let output = lane.output();
            own.sort.sort(output.targets, &layer.starts);
            layer.classes.loss(weights, own.sort.outputs(), &mut own.classes, &output);
        });
        let rows = rows(own, lanes);
        members.loss(layer, weights, own.len(), &rows, pool);
        drop(rows);
        for (i, own) in own.iter_mut().enumerate() {
            members.fetch_loss(i, &own.sort, &mut own.classes.loss);
        }
    }

    fn losses(&self, i: usize) -> &[f32] {
        &self.lanes[i].classes.loss
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        let lanes = self.lanes.iter().map(|lane| lane.classes.bytes() + lane.sort.bytes()).sum();
        vec![("output layer", lanes), ("classes", self.members.bytes())]
    }
}
