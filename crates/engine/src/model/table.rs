//! Table of tensors: name, shape, span, initialiser and weight decay of each.
//!
//! Parameters, gradients and both moments are one allocation each, divided by this table;
//! checkpoint names, optimiser groups, `inspect` and the labels of gradient tests come from it too.
//! Tensors that one product reads are contiguous, so that query, key and value are one matrix of (H
//! + 2K)·D rows to the engine and three tensors to a file.

/// Matrices and gains start at multiples of this many floats: one cache line.
pub(super) const ALIGN_FLOATS: usize = 16;

/// Standard deviation of an initial weight, as in GPT-2.
pub(crate) const INIT_STD: f32 = 0.02;

/// Range of elements in a parameter-shaped allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First element.
    pub start: usize,
    /// One past the last element.
    pub end: usize,
}

impl Span {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The elements, to read.
    pub fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.start..self.end]
    }

    /// The elements, to write.
    pub fn of_mut<T>(self, all: &mut [T]) -> &mut [T] {
        &mut all[self.start..self.end]
    }
}

/// Initialiser of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Independent normal numbers of mean 0 and this standard deviation.
    Normal(f32),
    /// All ones: the gains of norms.
    Ones,
    /// All zeros: biases, until token frequencies are known.
    Zeros,
}

/// Entry of the table: one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in a checkpoint, as in Hugging Face Llama.
    pub name: String,
    /// (rows, columns) of a matrix or (columns) of a gain; a weight is (outputs, inputs).
    pub shape: Vec<usize>,
    /// Position in the allocation.
    pub span: Span,
    /// Initialiser.
    pub init: Init,
    /// Whether weight decay applies: to matrices, not to gains.
    pub decay: bool,
}

/// A matrix that a product reads: one or more contiguous tensors of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Index among the matrices of the model.
    pub index: usize,
    /// Position in the allocation.
    pub span: Span,
    /// Outputs: its rows.
    pub n_out: usize,
    /// Inputs: its columns.
    pub n_in: usize,
}

/// Gradients laid out as the parameters from index `start` on: a lane's own (`start` is 0), or
/// those of the tables that all lanes share.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Index of the parameter that the first of `values` belongs to.
    pub start: usize,
    /// One number per parameter.
    pub values: &'a mut [f32],
}

impl Gradients<'_> {
    /// The gradient of one tensor.
    pub fn of(&mut self, span: Span) -> &mut [f32] {
        &mut self.values[span.start - self.start..span.end - self.start]
    }

    /// The gradients of two different tensors.
    pub fn of_both(&mut self, spans: [Span; 2]) -> [&mut [f32]; 2] {
        let ranges = spans.map(|span| span.start - self.start..span.end - self.start);
        self.values.get_disjoint_mut(ranges).expect("tensors of the table do not overlap")
    }

    /// The same gradients, reborrowed.
    pub fn reborrow(&mut self) -> Gradients<'_> {
        Gradients { start: self.start, values: self.values }
    }
}

/// Builder of a table, tensor by tensor.
#[derive(Debug)]
pub struct TableBuilder {
    pub(super) tensors: Vec<Tensor>,
    pub(super) len: usize,
    /// Start of the tables whose gradient lanes share.
    pub(super) shared_start: Option<usize>,
    n_matrices: usize,
    vocab_size: usize,
    model_dim: usize,
    embed: Option<Span>,
}

impl TableBuilder {
    /// An empty table for (V, C) embeddings.
    pub(super) fn new(vocab_size: usize, model_dim: usize) -> TableBuilder {
        TableBuilder {
            tensors: Vec::new(),
            len: 0,
            shared_start: None,
            n_matrices: 0,
            vocab_size,
            model_dim,
            embed: None,
        }
    }

    /// The (V, C) token embeddings, laid out on first use.
    pub fn embedding(&mut self) -> Span {
        if let Some(embed) = self.embed {
            return embed;
        }
        let (v, c) = (self.vocab_size, self.model_dim);
        let embed = self.matrix("model.embed_tokens.weight", v, c, Init::Normal(INIT_STD));
        self.embed = Some(embed);
        embed
    }

    /// Declares that the following tensors are tables whose gradient lanes share.
    pub fn begin_shared(&mut self) {
        self.shared_start = Some(self.len);
    }

    /// An (outputs, inputs) weight.
    pub fn matrix(&mut self, name: &str, n_out: usize, n_in: usize, init: Init) -> Span {
        self.tensor(name, vec![n_out, n_in], init)
    }

    /// More rows of the previous weight: a tensor directly behind it.
    pub fn more_rows(&mut self, name: &str, n_out: usize, n_in: usize, init: Init) -> Span {
        self.tensor_behind(name, vec![n_out, n_in], init)
    }

    /// The gains of a norm.
    pub fn gain(&mut self, name: &str, len: usize) -> Span {
        self.tensor(name, vec![len], Init::Ones)
    }

    /// Biases.
    pub fn bias(&mut self, name: &str, len: usize) -> Span {
        self.tensor(name, vec![len], Init::Zeros)
    }

    /// The matrix made of contiguous tensors with `n_in` columns.
    ///
    /// # Panics
    /// If they are not contiguous.
    pub fn join(&mut self, parts: &[Span], n_in: usize) -> Matrix {
        for pair in parts.windows(2) {
            assert_eq!(pair[0].end, pair[1].start, "TableBuilder: joined tensors do not touch");
        }
        let span = Span { start: parts[0].start, end: parts[parts.len() - 1].end };
        let index = self.n_matrices;
        self.n_matrices += 1;
        Matrix { index, span, n_out: span.len() / n_in, n_in }
    }

    fn tensor(&mut self, name: &str, shape: Vec<usize>, init: Init) -> Span {
        self.len = self.len.next_multiple_of(ALIGN_FLOATS);
        self.tensor_behind(name, shape, init)
    }

    fn tensor_behind(&mut self, name: &str, shape: Vec<usize>, init: Init) -> Span {
        let span = Span { start: self.len, end: self.len + shape.iter().product::<usize>() };
        self.len = span.end;
        let decay = shape.len() == 2;
        self.tensors.push(Tensor { name: name.to_string(), shape, span, init, decay });
        span
    }
}
