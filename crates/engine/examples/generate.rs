//! Generation from a model folder: open it, give it a prompt, print the text.
//!
//! ```sh
//! cargo run --release -p crystalline-engine --example generate -- runs/demo "The old"
//! ```
//!
//! Without a folder it uses a model with random weights, which generates noise.

use engine::formats::ModelFolder;
use engine::generate::{Request, Sampling, Session, Written, generate};
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel, init_params};
use kernels::{Pool, Precision};
use std::io::Write;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

/// A model with random weights over the characters of a sentence.
fn noise(pool: &mut Pool) -> Result<(OwnedModel, Tokenizer), Box<dyn std::error::Error>> {
    let options = TrainOptions::new(TokenizerKind::Char);
    let sentence = "the quick brown fox jumps over the lazy dog. ".repeat(20);
    let tokenizer = Tokenizer::train(&options, &[&sentence], &mut Control::threads(1))?;
    let layout = Layout::new(&ModelConfig::new(tokenizer.vocab_size(), 32, 1, 1))?;
    let (params, inputs) = (init_params(&layout, 1), InputLayer::new(&layout, None, None));
    Ok((OwnedModel::new(layout, params, inputs, Precision::F32, pool), tokenizer))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut pool = Pool::new(2);
    let (model, tokenizer, ends) = match args.next() {
        Some(path) => {
            let folder = ModelFolder::open(path.as_ref())?;
            let loaded = folder.load(Precision::F32, &mut pool)?;
            (loaded.model, loaded.tokenizer, loaded.text_ends)
        }
        None => {
            let (model, tokenizer) = noise(&mut pool)?;
            (model, tokenizer, Vec::new())
        }
    };
    let prompt = tokenizer.encode_ordinary(&args.next().unwrap_or_default());
    let mut session = Session::new(model.layout(), Precision::F32, model.max_len(), pool.threads());
    let request = Request {
        sampling: Sampling { seed: 7, ..Sampling::default() },
        max_tokens: 60,
        ends,
        ..Request::default()
    };
    let mut print = |written: Written| {
        print!("{}", written.text());
        std::io::stdout().flush().is_ok()
    };
    let usage = generate(
        &mut session,
        model.model(),
        &mut pool,
        &tokenizer,
        &prompt,
        &request,
        &mut print,
    )?;
    println!("\n({} tokens)", usage.new_tokens);
    Ok(())
}
