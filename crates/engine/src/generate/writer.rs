//! Writing text: prompt in, tokens out one by one, until something says stop.

use super::sampler::{Sampler, SamplerError, Sampling};
use super::session::Session;
use super::stop::StopScanner;
use crate::model::Model;
use crate::text::{StreamDecoder, Tokenizer};
use kernels::Pool;

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens to write at most.
    pub max_tokens: usize,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// Whether the end-of-text token is written over instead of ending the text.
    pub ignore_end: bool,
}

/// Why the text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// As many tokens as asked for.
    Length,
    /// A stop string.
    Stop,
    /// The model's end-of-text token.
    EndOfText,
    /// Whoever reads the text said so.
    Cancelled,
}

/// What was read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub new_tokens: usize,
    /// Why the text ended.
    pub finish: Finish,
}

/// Continues `prompt`, handing text to `on_text` as it becomes certain; `on_text` returns whether
/// to go on.
///
/// The session goes on from what it holds. A text longer than the model's context goes on too: its
/// older half is forgotten whenever the context is full.
///
/// # Errors
/// [`SamplerError`] if a sampling setting makes no sense; nothing was written.
pub fn generate(
    session: &mut Session,
    model: Model,
    pool: &mut Pool,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    request: &Request,
    on_text: &mut dyn FnMut(&str) -> bool,
) -> Result<Usage, SamplerError> {
    let mut sampler = Sampler::new(request.sampling, model.layout.config.vocab_size)?;
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut stops = StopScanner::new(&request.stop);
    // A text without a beginning begins after the end of another.
    let start = [tokenizer.eos_id().unwrap_or(0)];
    let mut history = if prompt.is_empty() { start.to_vec() } else { prompt.to_vec() };
    for token in prompt {
        sampler.note(*token);
        decoder.push(*token);
    }
    let mut next = 0;
    let (mut new_tokens, mut finish) = (0, Finish::Length);
    while new_tokens < request.max_tokens {
        make_room(session, &history, &mut next);
        let following = match session.feed_next(model, pool, &history[next..]) {
            Ok(following) => following,
            Err(_) => break,
        };
        let token = sampler.choose(following, history.len());
        next = history.len();
        if Some(token) == tokenizer.text_end() && !request.ignore_end {
            finish = Finish::EndOfText;
            break;
        }
        new_tokens += 1;
        sampler.note(token);
        history.push(token);
        let (text, stopped) = stops.push(&decoder.push(token));
        let goes_on = text.is_empty() || on_text(&text);
        if stopped || !goes_on {
            finish = if stopped { Finish::Stop } else { Finish::Cancelled };
            break;
        }
    }
    if finish != Finish::Stop && finish != Finish::Cancelled {
        let (text, _) = stops.push(&decoder.finish());
        let rest = text + &stops.finish();
        if !rest.is_empty() {
            on_text(&rest);
        }
    }
    Ok(Usage { prompt_tokens: prompt.len(), new_tokens, finish })
}

/// Where the tokens not yet fed no longer fit, forgets all but the later half of the context.
fn make_room(session: &mut Session, history: &[u32], next: &mut usize) {
    if session.len() + history.len() - *next > session.max_len() {
        session.rewind(0);
        *next = history.len() - history.len().min(session.max_len().div_ceil(2));
    }
}
