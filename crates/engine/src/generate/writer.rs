//! Writing text: prompt in, tokens out one by one, until something says stop.

use super::sampler::{Sampler, SamplerError, Sampling};
use super::session::Session;
use super::stop::StopScanner;
use crate::model::Model;
use kernels::Pool;
use text::tokenizer::{StreamDecoder, Tokenizer};

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
    /// Whether to report every token as it is chosen.
    pub log_probs: bool,
}

/// What is reported while a text is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Written<'a> {
    /// The next of the text, as far as it is certain.
    Text(&'a str),
    /// The token that was chosen, if [`Request::log_probs`] asks for tokens.
    Token {
        /// Its id.
        id: u32,
        /// The natural logarithm of its probability, before any setting of the sampler.
        log_p: f32,
    },
}

impl<'a> Written<'a> {
    /// The text, if any was reported.
    pub fn text(self) -> &'a str {
        match self {
            Written::Text(text) => text,
            Written::Token { .. } => "",
        }
    }
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

/// Continues `prompt`, handing text to `report` as it becomes certain; `report` returns whether to go
/// on.
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
    report: &mut dyn FnMut(Written) -> bool,
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
        let mut following = match session.feed_next(model, pool, &history[next..]) {
            Ok(following) => following,
            Err(_) => break,
        };
        let token = sampler.choose(&mut following, history.len());
        next = history.len();
        if Some(token) == tokenizer.text_end() && !request.ignore_end {
            finish = Finish::EndOfText;
            break;
        }
        new_tokens += 1;
        sampler.note(token);
        history.push(token);
        let mut goes_on = match request.log_probs {
            true => report(Written::Token { id: token, log_p: following.log_p(token) }),
            false => true,
        };
        let (text, stopped) = stops.push(&decoder.push(token));
        goes_on &= text.is_empty() || report(Written::Text(&text));
        if stopped || !goes_on {
            finish = if stopped { Finish::Stop } else { Finish::Cancelled };
            break;
        }
    }
    if finish != Finish::Stop && finish != Finish::Cancelled {
        let (text, _) = stops.push(&decoder.finish());
        let rest = text + &stops.finish();
        if !rest.is_empty() {
            report(Written::Text(&rest));
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
