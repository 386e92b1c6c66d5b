//! Text writer: continues a prompt token by token until a limit, a stop string or the end of the
//! text.

use super::prompt::window;
use super::sampler::{Sampler, SamplerError, Sampling};
use super::session::Session;
use super::stop::StopScanner;
use crate::model::Model;
use kernels::Pool;
use text::tokenizer::{StreamDecoder, Tokenizer};

/// Request to write a text.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Sampling settings.
    pub sampling: Sampling,
    /// Largest number of tokens to write.
    pub max_tokens: usize,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end the text; they are not part of it. None of them: it goes on to another end.
    pub ends: Vec<u32>,
    /// Tokens that are never chosen.
    pub forbidden: Vec<u32>,
    /// Whether the first token must begin with a blank, which the prompt has already
    /// ([`Prompt::owes_blank`](super::Prompt::owes_blank)); it is not reported again.
    pub owes_blank: bool,
    /// Whether to report every chosen token.
    pub log_probs: bool,
}

/// Report while a text is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Written<'a> {
    /// The next part of the text that is certain.
    Text(&'a str),
    /// The chosen token, if [`Request::log_probs`] is set.
    Token {
        /// Its id.
        id: u32,
        /// Natural logarithm of its probability, before any sampling setting.
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

/// Reason for the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The requested number of tokens was reached.
    Length,
    /// A stop string was reached.
    Stop,
    /// The model ended the text.
    EndOfText,
    /// The `report` function asked to stop.
    Cancelled,
}

/// Summary of a written text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// Number of tokens written.
    pub new_tokens: usize,
    /// Reason for the end.
    pub finish: Finish,
}

/// Continues `prompt`, passing text to `report` as it becomes certain; `report` returns whether to
/// continue.
///
/// The session's text so far is continued. A text longer than the model's context is written too:
/// whenever the context is full, its older half is dropped. Of a prompt that does not fit at first,
/// all but the last token of the context is used.
///
/// # Errors
/// [`SamplerError`] if a sampling setting is invalid; nothing is then written.
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
    // A text without a prompt begins after an end-of-text token.
    let start = [tokenizer.eos_id().unwrap_or(0)];
    let mut history = if prompt.is_empty() { start.to_vec() } else { prompt.to_vec() };
    for token in prompt {
        sampler.note(*token);
        decoder.push(*token);
    }
    let mut next = 0;
    let (mut new_tokens, mut finish) = (0, Finish::Length);
    let is_banned = |token: u32| request.forbidden.contains(&token);
    let mut owes_blank = request.owes_blank;
    if owes_blank {
        sampler.forbid(|token| is_banned(token) || !tokenizer.begins_with_blank(token));
    } else if !request.forbidden.is_empty() {
        sampler.forbid(is_banned);
    }
    while new_tokens < request.max_tokens {
        make_space(session, &history, &mut next);
        let mut following = match session.feed_next(model, pool, &history[next..]) {
            Ok(following) => following,
            Err(_) => break,
        };
        let token = sampler.choose(&mut following, history.len());
        next = history.len();
        if request.ends.contains(&token) {
            finish = Finish::EndOfText;
            break;
        }
        new_tokens += 1;
        sampler.note(token);
        history.push(token);
        let mut should_continue = !request.log_probs
            || report(Written::Token { id: token, log_p: following.log_p(token) });
        let mut text = decoder.push(token);
        if std::mem::take(&mut owes_blank) {
            text = text.strip_prefix(' ').map(str::to_owned).unwrap_or(text);
            sampler.forbid(is_banned);
        }
        let (text, stopped) = stops.push(&text);
        should_continue &= text.is_empty() || report(Written::Text(&text));
        if stopped || !should_continue {
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

/// If the tokens not yet fed no longer fit, drops all but the later half of the context; of a prompt,
/// of which nothing was fed, what does not fit.
fn make_space(session: &mut Session, history: &[u32], next: &mut usize) {
    let max_len = session.max_len();
    if session.len() + history.len() - *next > max_len {
        session.rewind(0);
        let kept = if *next == 0 { window(max_len) } else { max_len.div_ceil(2) };
        *next = history.len() - history.len().min(kept);
    }
}
