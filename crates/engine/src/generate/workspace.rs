//! Workspace: buffers and output layer shared by texts in progress, and a step over several texts.

use crate::head::{Distribution, Predictor};
use crate::model::{CHUNK, ContextFull, DecodeBuffers, Layout, Model, NewTokens};
use kernels::{Pool, Precision};

/// Buffers that the [`Sequence`](crate::model::Sequence)s of one model share.
#[derive(Debug)]
pub struct Workspace {
    buffers: DecodeBuffers,
    predictor: Box<dyn Predictor>,
}

impl Workspace {
    /// Workspace for passes over up to `n_rows` tokens of all sequences together, by up to
    /// `threads` threads; more than 512 rows gain nothing.
    ///
    /// A step with more tokens takes several passes.
    pub fn new(layout: &Layout, precision: Precision, n_rows: usize, threads: usize) -> Workspace {
        Workspace {
            buffers: DecodeBuffers::new(layout, precision, n_rows.min(CHUNK), threads),
            predictor: layout.head.predictor(precision),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        self.buffers.bytes() + self.predictor.bytes()
    }

    /// Appends the new tokens of every sequence; the distributions of the next tokens are computed
    /// on demand.
    ///
    /// Prompts of new texts and single tokens of others may be mixed. Each sequence gets the bits
    /// that it would get alone. After a first batch of the same size nothing is allocated, except
    /// for words that a sequence meets for the first time in a model with composed input vectors.
    ///
    /// # Errors
    /// [`ContextFull`] if one of the sequences is full; all sequences are then unchanged.
    ///
    /// # Panics
    /// If a sequence has no new tokens, a token is not below the vocabulary's size, or a sequence
    /// was made for another model or precision.
    pub fn step<'a>(
        &'a mut self,
        model: Model<'a>,
        pool: &'a mut Pool,
        batch: &mut [NewTokens],
    ) -> Result<Following<'a>, ContextFull> {
        self.buffers.run(model, pool, batch)?;
        let Workspace { buffers, predictor } = self;
        let (predictor, n) = (&mut **predictor, batch.len());
        Ok(Following { model, pool, buffers, predictor, n, is_ready: false })
    }
}

/// Next-token distributions of a step's batch.
#[derive(Debug)]
pub struct Following<'a> {
    model: Model<'a>,
    pool: &'a mut Pool,
    buffers: &'a DecodeBuffers,
    predictor: &'a mut dyn Predictor,
    /// Number of sequences of the batch.
    n: usize,
    /// Whether the predictor is prepared for this batch.
    is_ready: bool,
}

impl<'a> Following<'a> {
    /// Distribution of the token after sequence `i` of the batch.
    ///
    /// # Panics
    /// If the batch has no sequence `i`.
    pub fn distribution(&mut self, i: usize) -> Distribution<'_> {
        self.prepare();
        let Following { model, pool, buffers, predictor, n, is_ready } = self;
        let (model, buffers, n, is_ready) = (*model, *buffers, *n, *is_ready);
        let predictor = &mut **predictor;
        Following { model, pool, buffers, predictor, n, is_ready }.into_distribution(i)
    }

    /// As [`Following::distribution`], consuming `self`.
    ///
    /// # Panics
    /// As [`Following::distribution`].
    pub fn into_distribution(mut self, i: usize) -> Distribution<'a> {
        assert!(i < self.n, "Following: sequence {i} of a batch of {}", self.n);
        self.prepare();
        let inputs = self.buffers.output_inputs(self.n, self.model.layout.config.model_dim);
        self.predictor.distribution(self.model.weights(), inputs, i, self.pool)
    }

    /// Runs the output layer's products of all sequences at once, the first time.
    fn prepare(&mut self) {
        if !self.is_ready {
            let inputs = self.buffers.output_inputs(self.n, self.model.layout.config.model_dim);
            self.predictor.prepare(self.model.weights(), inputs, self.pool);
            self.is_ready = true;
        }
    }
}
