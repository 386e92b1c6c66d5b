//! Grade of a model of the built-in stories: its sentences against the grammar and its training text.

use super::{Request, SamplerError, Sampling, Session, Written, generate};
use crate::model::OwnedModel;
use kernels::Pool;
use std::collections::HashSet;
use std::fmt;
use text::stories::{parse_sentence, split_sentences};
use text::tokenizer::Tokenizer;

/// Number of sentences that are graded.
const N_SENTENCES: usize = 200;

/// Length of each generated text, in tokens.
const TEXT_TOKENS: usize = 120;

/// Counts of generated sentences: all, grammatical, new.
#[derive(Debug, PartialEq, Eq)]
pub struct StoryGrade {
    /// Sentences.
    pub n: usize,
    /// Sentences that the grammar accepts.
    pub n_grammatical: usize,
    /// Sentences that are not in the training text.
    pub n_new: usize,
}

impl fmt::Display for StoryGrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |n: usize| 100.0 * n as f64 / self.n.max(1) as f64;
        write!(
            f,
            "of {} sentences that it writes, {:.0} % are grammatical (the stories' own grammar \
             accepts them), {:.0} % stand nowhere in its text",
            self.n,
            percent(self.n_grammatical),
            percent(self.n_new)
        )
    }
}

/// Generates sentences with a model and compares them with the grammar and its training text, `corpus`.
///
/// # Errors
/// [`SamplerError`], which the default sampling settings never cause.
pub fn grade_stories(
    model: &OwnedModel,
    tokenizer: &Tokenizer,
    corpus: &str,
    seed: u64,
    pool: &mut Pool,
) -> Result<StoryGrade, SamplerError> {
    let known: HashSet<&str> = split_sentences(corpus).into_iter().collect();
    let sentences = sentences(model, tokenizer, seed, pool)?;
    Ok(judge(&sentences, &known))
}

fn judge(sentences: &[String], known: &HashSet<&str>) -> StoryGrade {
    let count = |is: &dyn Fn(&str) -> bool| sentences.iter().filter(|s| is(s)).count();
    StoryGrade {
        n: sentences.len(),
        n_grammatical: count(&|s| parse_sentence(s).is_ok()),
        n_new: count(&|s| !known.contains(s)),
    }
}

/// Complete sentences from the beginnings of generated stories.
fn sentences(
    owned: &OwnedModel,
    tokenizer: &Tokenizer,
    seed: u64,
    pool: &mut Pool,
) -> Result<Vec<String>, SamplerError> {
    let model = owned.model();
    let precision = model.packed.precision();
    let max_len = owned.max_len();
    let mut session = Session::new(owned.layout(), precision, max_len, pool.threads());
    let ends: Vec<u32> = tokenizer.text_end().into_iter().collect();
    let mut sentences = Vec::new();
    for text_seed in seed.. {
        let sampling = Sampling { seed: text_seed, ..Sampling::default() };
        let (max_tokens, ends) = (TEXT_TOKENS, ends.clone());
        let request = Request { sampling, max_tokens, ends, ..Request::default() };
        let mut text = String::new();
        session.rewind(0);
        let mut report = |written: Written| {
            text.push_str(written.text());
            true
        };
        generate(&mut session, model, pool, tokenizer, &[], &request, &mut report)?;
        let mut whole = split_sentences(&text);
        // The last sentence may be incomplete.
        whole.pop();
        sentences.extend(whole.into_iter().map(str::to_owned));
        // An untrained model may write nothing but blanks, which counts as one ungrammatical sentence.
        sentences.extend(text.trim().is_empty().then(String::new));
        if sentences.len() >= N_SENTENCES || text_seed - seed > N_SENTENCES as u64 {
            break;
        }
    }
    sentences.truncate(N_SENTENCES);
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_ungrammatical_sentences_are_told_apart() {
        let story = text::stories::story(3, 0);
        let mut sentences: Vec<String> =
            split_sentences(&story).into_iter().map(str::to_owned).collect();
        let n = sentences.len();
        let known = HashSet::from([sentences[0].as_str()]);
        assert_eq!(judge(&sentences, &known), StoryGrade { n, n_grammatical: n, n_new: n - 1 });
        drop(known);
        sentences.push("The the of was.".to_string());
        let grade = judge(&sentences, &HashSet::new());
        assert_eq!(grade, StoryGrade { n: n + 1, n_grammatical: n, n_new: n + 1 });
    }
}
