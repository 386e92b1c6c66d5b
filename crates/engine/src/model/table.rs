//! Table of tensors: each one's name, shape, place, initialiser and weight decay.
//!
//! Parameters, gradients and both moments are one allocation each, sliced by this table; checkpoint
//! names, optimiser groups, `inspect` and the labels of gradient tests come from it too. Tensors
//! that one product reads lie side by side, so that query, key and value are one matrix of
//! (H + 2K)·D rows to the engine and three tensors to a file.

/// Matrices and gains start at multiples of this many floats: one cache line.
pub(super) const ALIGN_FLOATS: usize = 16;

/// Standard deviation of a fresh weight, as GPT-2 chose it.
pub(crate) const INIT_STD: f32 = 0.02;

/// A range of elements in a parameter-shaped allocation.
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

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Independent normal numbers of mean 0 and this standard deviation.
    Normal(f32),
    /// All ones: the gains of norms.
    Ones,
    /// All zeros: biases, until the tokens' frequencies are known.
    Zeros,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name in a checkpoint, as the Hugging Face Llama has it.
    pub name: String,
    /// (rows, columns) of a matrix or (columns) of a gain; a weight is (outputs, inputs).
    pub shape: Vec<usize>,
    /// Where it lies.
    pub span: Span,
    /// How it starts.
    pub init: Init,
    /// Whether weight decay applies: to matrices, not to gains.
    pub decay: bool,
}

/// A matrix that a product reads: one or more tensors of the table, one under the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its number among the matrices of the model.
    pub index: usize,
    /// Where it lies.
    pub span: Span,
    /// Outputs: its rows.
    pub n_out: usize,
    /// Inputs: its columns.
    pub n_in: usize,
}

/// Gradients laid out as the parameters from number `start` on: a lane's own (`start` is 0), or
/// those of the tables that all lanes share.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// The parameter that the first of `values` belongs to.
    pub start: usize,
    /// One for each parameter.
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
        self.values
            .get_disjoint_mut(ranges)
            .expect("the table gives every tensor a place of its own")
    }

    /// The same gradients, lent for a shorter time.
    pub fn reborrow(&mut self) -> Gradients<'_> {
        Gradients { start: self.start, values: self.values }
    }
}

/// A table being laid out, tensor after tensor.
#[derive(Debug)]
pub struct TableBuilder {
    pub(super) tensors: Vec<Tensor>,
    pub(super) len: usize,
    /// Where the tables begin that lanes share one gradient of.
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

    /// The (V, C) embeddings of tokens, laid out when they are first asked for.
    pub fn embedding(&mut self) -> Span {
        if let Some(embed) = self.embed {
            return embed;
        }
        let (v, c) = (self.vocab_size, self.model_dim);
        let embed = self.matrix("model.embed_tokens.weight", v, c, Init::Normal(INIT_STD));
        self.embed = Some(embed);
        embed
    }

    /// Says that the tensors from here on are tables of which lanes share one gradient.
    pub fn begin_shared(&mut self) {
        self.shared_start = Some(self.len);
    }

    /// An (outputs, inputs) weight.
    pub fn matrix(&mut self, name: &str, n_out: usize, n_in: usize, init: Init) -> Span {
        self.tensor(name, vec![n_out, n_in], init)
    }

    /// More rows of the weight before: a tensor of its own right behind it.
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

    /// The matrix made of tensors of `n_in` columns that lie one under the other.
    ///
    /// # Panics
    /// If they do not touch.
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
