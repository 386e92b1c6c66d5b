//! Workspace: buffers and output layer that texts in progress share, and a step over several of them.

use crate::head::{Distribution, Predictor};
use crate::model::{CHUNK, ContextFull, DecodeBuffers, Layout, Model, NewTokens};
use kernels::{Pool, Precision};

/// What [`Sequence`](crate::model::Sequence)s of one model share.
#[derive(Debug)]
pub struct Workspace {
    buffers: DecodeBuffers,
    predictor: Box<dyn Predictor>,
}

impl Workspace {
    /// A workspace for passes over up to `n_rows` tokens of all sequences together, by up to
    /// `threads` threads; more than 512 rows gain nothing.
    ///
    /// A step may bring more tokens than that, and then takes several passes.
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

    /// Takes in the new tokens of every sequence; the distributions of what follows are computed as
    /// they are asked for.
    ///
    /// Prompts of new texts and single tokens of others may be mixed. Each sequence gets the bits
    /// that it would get alone. Once a batch of this size was seen nothing is allocated, but for
    /// words that a sequence meets for the first time in a model that composes its input vectors.
    ///
    /// # Errors
    /// [`ContextFull`] if one of the sequences has no room, with all of them as they were.
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
        for new in &*batch {
            new.sequence.check_room(new.tokens.len())?;
        }
        self.buffers.run(model, pool, batch);
        let Workspace { buffers, predictor } = self;
        Ok(Following { model, pool, buffers, predictor: &mut **predictor, n: batch.len() })
    }
}

/// What follows each sequence of a step's batch.
#[derive(Debug)]
pub struct Following<'a> {
    model: Model<'a>,
    pool: &'a mut Pool,
    buffers: &'a DecodeBuffers,
    predictor: &'a mut dyn Predictor,
    /// Sequences of the batch.
    n: usize,
}

impl<'a> Following<'a> {
    /// The distribution of the token after the last of sequence `i` of the batch.
    ///
    /// # Panics
    /// If the batch had no more than `i` sequences.
    pub fn distribution(&mut self, i: usize) -> Distribution<'_> {
        let Following { model, pool, buffers, predictor, n } = self;
        let (model, buffers, n) = (*model, *buffers, *n);
        Following { model, pool, buffers, predictor: &mut **predictor, n }.into_distribution(i)
    }

    /// As [`Following::distribution`], of the last sequence that is asked for.
    ///
    /// # Panics
    /// As [`Following::distribution`].
    pub fn into_distribution(self, i: usize) -> Distribution<'a> {
        assert!(i < self.n, "Following: sequence {i} of a batch of {}", self.n);
        let input = self.buffers.output_input(i, self.model.layout.config.model_dim);
        self.predictor.predict(self.model.weights(), input, self.pool)
    }
}
