//! Story writer: expands the grammar from `Story`, following conditions on the world state.

use super::grammar::{Attribute, Grammar, Phrase, Symbol};
use super::surface::Printer;
use super::world::{Casting, Referent, World, agreeing, draw_word, slot};
use kernels::rng::{Draws, Purpose, Rng};

/// Number of redraws of a word that is already in the sentence.
const REDRAWS_MAX: usize = 4;

/// One story being written.
pub struct Writer<'g> {
    grammar: &'g Grammar,
    draws: Draws,
    world: World<'g>,
    printer: Printer,
    /// The alternatives used by this story; a sentence is not made the same way twice while there
    /// is another.
    is_used: Vec<bool>,
    /// (class, word) of the words drawn for the sentence being made.
    drawn: Vec<(u16, u16)>,
    /// Phrases without an allowed alternative: mistakes in the grammar.
    dead_ends: Vec<&'g str>,
}

impl<'g> Writer<'g> {
    /// Story `number` of `seed`, and the phrases without an allowed alternative.
    pub fn story(grammar: &'g Grammar, seed: u64, number: u64) -> (String, Vec<&'g str>) {
        let mut writer = Writer {
            grammar,
            draws: Rng::new(seed, Purpose::Stories, number).draws(),
            world: World::new(grammar),
            printer: Printer::default(),
            is_used: vec![false; grammar.n_alternatives],
            drawn: Vec::new(),
            dead_ends: Vec::new(),
        };
        writer.printer.text.reserve(4096);
        writer.phrase(grammar.story, &World::own_casting(), None);
        let text = &mut writer.printer.text;
        text.truncate(text.trim_end().len());
        (writer.printer.text, writer.dead_ends)
    }

    fn phrase(&mut self, number: u16, casting: &Casting, referent: Option<&Referent>) {
        let phrase = &self.grammar.phrases[usize::from(number)];
        if phrase.is_sentence {
            self.printer.begin_sentence();
            self.drawn.clear();
        }
        let chosen = self.choose(phrase, casting, referent);
        let alternative = &phrase.alternatives[chosen];
        for symbol in &alternative.symbols {
            self.symbol(symbol, casting, referent);
        }
        for effect in &alternative.effects {
            self.world.set(effect.fact, effect.role, effect.value, casting);
        }
        if phrase.is_sentence {
            self.is_used[usize::from(alternative.number)] = true;
            self.world.sentence += 1;
        }
    }

    /// The number of an allowed alternative, drawn by weight; for a sentence one that this story
    /// has not used, if there is one.
    fn choose(
        &mut self,
        phrase: &'g Phrase,
        casting: &Casting,
        referent: Option<&Referent>,
    ) -> usize {
        if let [_] = phrase.alternatives[..] {
            return 0;
        }
        for is_repeat_allowed in [false, true] {
            let mut chosen = None;
            let mut total = 0;
            for (i, alternative) in phrase.alternatives.iter().enumerate() {
                let is_used = phrase.is_sentence && self.is_used[usize::from(alternative.number)];
                let is_allowed = (is_repeat_allowed || !is_used)
                    && self.world.allows(&alternative.guards, casting, referent, &mut self.draws);
                if is_allowed {
                    // Each is kept with its share of the weight so far: a weighted choice in one
                    // pass (reservoir sampling).
                    let weight = u64::from(alternative.weight);
                    total += weight;
                    if total == weight || self.draws.chance(weight, total) {
                        chosen = Some(i);
                    }
                }
            }
            if let Some(chosen) = chosen {
                return chosen;
            }
        }
        self.dead_ends.push(&phrase.name);
        0
    }

    fn symbol(&mut self, symbol: &Symbol, casting: &Casting, referent: Option<&Referent>) {
        let grammar = self.grammar;
        match symbol {
            Symbol::Literal(literal) => self.literal(*literal),
            Symbol::Word { class, form, attribute } => {
                let word = match (attribute, referent) {
                    (Some(Attribute::Look), Some(referent)) => referent.entity.look.into(),
                    (Some(_), Some(referent)) => referent.entity.noun.into(),
                    _ => self.draw_new_word(*class),
                };
                let class = &grammar.lexicon.classes[usize::from(*class)];
                self.printer.token(class.spelling(word, usize::from(*form)));
            }
            Symbol::Phrase { phrase, renames, is_optional } => {
                if !is_optional || self.draws.chance(1, 2) {
                    let mut inner = *casting;
                    for (to, from) in renames {
                        inner[usize::from(*to)] = casting[usize::from(*from)];
                    }
                    self.phrase(*phrase, &inner, referent);
                }
            }
            Symbol::Mention { role, mention } => {
                let slot = slot(*role, casting);
                let entity = self.world.entity(slot, &mut self.draws);
                let reference = self.world.reference(slot, &mut self.draws);
                let phrases = &grammar.mentions[usize::from(*mention)].phrases;
                let phrase = phrases[usize::from(entity.gender)];
                let phrase = phrase.expect("rules use only forms that their roles have");
                self.phrase(phrase, casting, Some(&Referent { entity, reference }));
                self.world.note_mention(slot);
            }
            Symbol::Agreement { role, agreement } => {
                let entity = self.world.entity(slot(*role, casting), &mut self.draws);
                self.literal(agreeing(&grammar.agreements[usize::from(*agreement)], &entity));
            }
            Symbol::Break => self.end_paragraph(),
        }
    }

    fn literal(&mut self, literal: u16) {
        self.printer.token(&self.grammar.literals[usize::from(literal)]);
    }

    /// A word of the class that is not yet in the sentence, if a few draws find one.
    fn draw_new_word(&mut self, class: u16) -> usize {
        let n_words = self.grammar.lexicon.classes[usize::from(class)].n_words();
        let mut word = draw_word(n_words, &mut self.draws);
        for _ in 0..REDRAWS_MAX {
            if !self.drawn.contains(&(class, word as u16)) {
                break;
            }
            word = draw_word(n_words, &mut self.draws);
        }
        self.drawn.push((class, word as u16));
        word
    }

    fn end_paragraph(&mut self) {
        let text = &mut self.printer.text;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
}
