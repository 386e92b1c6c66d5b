//! Recogniser of sentences of the stories' grammar, with the same tables as the writer.
//!
//! Roles turn into grammatical gender: an alternative in which words must agree with a role is
//! written out once for each gender the role may have. The result is a context-free grammar without
//! recursion, recognised top-down: the set of positions where a phrase that begins at a given
//! position may end is one word of bits, computed once.

use super::grammar::{GENDERS, Grammar, Role, RoleRef, Symbol};
use super::surface::{self, Printer};
use rustc_hash::FxHashMap;

/// Largest number of tokens of a sentence: ends of phrases are bits of a 64-bit word.
const TOKENS_MAX: usize = u64::BITS as usize - 1;

/// The reason why a text is not a sentence of the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASentence {
    /// It is empty.
    #[error("the sentence is empty")]
    Empty,
    /// It is longer than any sentence of the grammar.
    #[error("the sentence has {0} tokens, more than {TOKENS_MAX}")]
    TooLong(usize),
    /// A word that is not in the grammar.
    #[error("unknown word {0:?}")]
    UnknownWord(String),
    /// No sentence continues like this.
    #[error("no sentence continues with {word:?} after {before:?}")]
    Unexpected {
        /// The text up to the word.
        before: String,
        /// The word; empty at the end of the text.
        word: String,
    },
    /// The words are right, but not their capitals, spaces, or a choice of "a" or "an".
    #[error("should be written {0:?}")]
    Spelling(String),
}

/// A symbol of the grammar without roles.
#[derive(Clone, Copy, Debug)]
enum ProductionPart {
    Terminal(u16),
    Phrase(u16),
    OptionalPhrase(u16),
}

/// The grammar of sentences, expanded by gender.
#[derive(Debug)]
pub struct Parser {
    productions: Vec<Vec<Vec<ProductionPart>>>,
    sentences: Vec<u16>,
    /// The terminals that a spelling may be: literals, then forms of classes.
    terminals: FxHashMap<String, Vec<u16>>,
}

impl Parser {
    /// Writes the grammar out.
    ///
    /// # Panics
    /// If a phrase contains itself, or a sentence a paragraph break.
    pub fn new(grammar: &Grammar) -> Parser {
        let mut builder = Builder {
            grammar,
            productions: vec![Vec::new(); grammar.phrases.len()],
            is_done: vec![false; grammar.phrases.len()],
            unions: FxHashMap::default(),
        };
        let is_sentence = |number: &u16| grammar.phrases[usize::from(*number)].is_sentence;
        let sentences: Vec<u16> = (0..grammar.phrases.len() as u16).filter(is_sentence).collect();
        sentences.iter().for_each(|number| builder.phrase(*number, &mut Vec::new()));
        let productions = builder.productions;

        let mut terminals: FxHashMap<String, Vec<u16>> = FxHashMap::default();
        for (number, literal) in grammar.literals.iter().enumerate() {
            terminals.entry(literal.clone()).or_default().push(number as u16);
        }
        for (number, class) in grammar.lexicon.classes.iter().enumerate() {
            for form in 0..class.n_forms() {
                let terminal = class_terminal(grammar, number as u16, form as u8);
                for spelling in class.spellings(form) {
                    let of_spelling = terminals.entry(spelling.into()).or_default();
                    of_spelling.extend((!of_spelling.contains(&terminal)).then_some(terminal));
                }
            }
        }
        Parser { productions, sentences, terminals }
    }

    /// Checks that `text` is one sentence of the grammar, printed as the writer prints it.
    ///
    /// # Errors
    /// The reason if it is not.
    pub fn parse(&self, text: &str) -> Result<(), NotASentence> {
        let tokens = surface::tokens(text);
        match tokens.len() {
            0 => return Err(NotASentence::Empty),
            n if n > TOKENS_MAX => return Err(NotASentence::TooLong(n)),
            _ => (),
        }
        let mut terminals = Vec::with_capacity(tokens.len());
        for (token, is_capital) in &tokens {
            let found = self.terminals_of(token, *is_capital);
            if found.is_empty() {
                return Err(NotASentence::UnknownWord((*token).into()));
            }
            terminals.push(found);
        }
        let mut search = Search {
            parser: self,
            terminals,
            ends: vec![None; self.productions.len() * (tokens.len() + 1)],
            furthest: 0,
        };
        let is_whole = |number: &u16| search.ends(*number, 0) >> tokens.len() & 1 == 1;
        if !self.sentences.iter().any(is_whole) {
            let words: Vec<&str> = tokens.iter().map(|(token, _)| *token).collect();
            let (before, rest) = words.split_at(search.furthest);
            let word = rest.first().copied().unwrap_or_default().into();
            return Err(NotASentence::Unexpected { before: before.join(" "), word });
        }
        let printed = print(&tokens);
        if printed == text { Ok(()) } else { Err(NotASentence::Spelling(printed)) }
    }

    /// The terminals of a token; its capital may be that of the sentence or its own.
    fn terminals_of(&self, token: &str, is_capital: bool) -> Vec<u16> {
        let of = |spelling: &str| self.terminals.get(spelling).cloned().unwrap_or_default();
        let mut found = of(if token == "an" { "a" } else { token });
        if is_capital {
            let small = with_small_letter(token);
            if small != token {
                found.extend(of(if small == "an" { "a" } else { &small }));
            }
        }
        found
    }
}

/// Forms of the class of words with most forms.
const FORMS_MAX: usize = 5;

/// The terminal of a class's form; those below are literals.
fn class_terminal(grammar: &Grammar, class: u16, form: u8) -> u16 {
    grammar.literals.len() as u16 + class * FORMS_MAX as u16 + u16::from(form)
}

fn with_small_letter(token: &str) -> String {
    let mut chars = token.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// The tokens of a printed sentence, printed by the rules.
fn print(tokens: &[(&str, bool)]) -> String {
    let mut printer = Printer::default();
    printer.begin_sentence();
    for (token, is_capital) in tokens {
        match *token {
            "an" => printer.token("a"),
            "A" | "An" if *is_capital => printer.token("a"),
            token => printer.token(token),
        }
    }
    printer.text
}

/// Writes out the phrases that sentences are made of.
struct Builder<'g> {
    grammar: &'g Grammar,
    productions: Vec<Vec<Vec<ProductionPart>>>,
    is_done: Vec<bool>,
    /// Phrases made here, each a choice between the parts that are its key.
    unions: FxHashMap<Vec<(bool, u16)>, u16>,
}

impl Builder<'_> {
    /// Writes out the phrase and all that it contains; `around` are the phrases around it.
    fn phrase(&mut self, number: u16, around: &mut Vec<u16>) {
        let grammar = self.grammar;
        let phrase = &grammar.phrases[usize::from(number)];
        assert!(!around.contains(&number), "{} contains itself", phrase.name);
        if std::mem::replace(&mut self.is_done[usize::from(number)], true) {
            return;
        }
        around.push(number);
        let mut productions = Vec::new();
        for alternative in &phrase.alternatives {
            let agreeing = self.roles_that_bind(&alternative.symbols);
            for genders in assignments(&agreeing, &grammar.roles) {
                let gender_of = |role: RoleRef| {
                    genders.iter().find(|(bound, _)| *bound == role).map(|(_, gender)| *gender)
                };
                let parts: Option<Vec<ProductionPart>> = alternative
                    .symbols
                    .iter()
                    .map(|symbol| self.part(symbol, &gender_of, around))
                    .collect();
                productions.extend(parts);
            }
        }
        around.pop();
        self.productions[usize::from(number)] = productions;
    }

    /// The roles whose gender shows at more than one place.
    fn roles_that_bind(&self, symbols: &[Symbol]) -> Vec<RoleRef> {
        let shown = symbols.iter().filter_map(|symbol| match symbol {
            Symbol::Mention { role, mention } => {
                let phrases = &self.grammar.mentions[usize::from(*mention)].phrases;
                (phrases[0] != phrases[1]).then_some(*role)
            }
            Symbol::Agreement { role, .. } => Some(*role),
            _ => None,
        });
        let shown: Vec<RoleRef> = shown.collect();
        let mut binding: Vec<RoleRef> = Vec::new();
        for (i, role) in shown.iter().enumerate() {
            if shown[..i].contains(role) && !binding.contains(role) {
                binding.push(*role);
            }
        }
        binding
    }

    /// The part for a symbol, or `None` where the gender has no such form.
    fn part(
        &mut self,
        symbol: &Symbol,
        gender_of: &dyn Fn(RoleRef) -> Option<usize>,
        around: &mut Vec<u16>,
    ) -> Option<ProductionPart> {
        let grammar = self.grammar;
        let genders = |role: RoleRef| match gender_of(role) {
            Some(gender) => vec![gender],
            None => grammar.roles[usize::from(role.role)].genders().to_vec(),
        };
        match symbol {
            Symbol::Literal(literal) => Some(ProductionPart::Terminal(*literal)),
            Symbol::Word { class, form, .. } => {
                Some(ProductionPart::Terminal(class_terminal(grammar, *class, *form)))
            }
            Symbol::Phrase { phrase, is_optional, .. } => {
                self.phrase(*phrase, around);
                let part = if *is_optional {
                    ProductionPart::OptionalPhrase
                } else {
                    ProductionPart::Phrase
                };
                Some(part(*phrase))
            }
            Symbol::Mention { role, mention } => {
                let phrases = &grammar.mentions[usize::from(*mention)].phrases;
                let phrases: Vec<u16> = genders(*role).iter().filter_map(|g| phrases[*g]).collect();
                phrases.iter().for_each(|phrase| self.phrase(*phrase, around));
                self.union(phrases.into_iter().map(|phrase| (true, phrase)).collect())
            }
            Symbol::Agreement { role, agreement } => {
                let forms = &grammar.agreements[usize::from(*agreement)];
                let forms = genders(*role).into_iter().filter_map(|g| forms[g]);
                self.union(forms.map(|literal| (false, literal)).collect())
            }
            Symbol::Break => panic!("a sentence contains a paragraph break"),
        }
    }

    /// A part that is any one of `choices`: phrases (true) or literals.
    fn union(&mut self, mut choices: Vec<(bool, u16)>) -> Option<ProductionPart> {
        choices.sort_unstable();
        choices.dedup();
        let part = |(is_phrase, number)| {
            if is_phrase {
                ProductionPart::Phrase(number)
            } else {
                ProductionPart::Terminal(number)
            }
        };
        if choices.len() < 2 {
            return choices.first().map(|choice| part(*choice));
        }
        let next = self.productions.len() as u16;
        let number = *self.unions.entry(choices.clone()).or_insert(next);
        if number == next {
            self.productions.push(choices.into_iter().map(|choice| vec![part(choice)]).collect());
        }
        Some(ProductionPart::Phrase(number))
    }
}

/// Every way to give each of `roles` a gender that its type may have.
fn assignments(roles: &[RoleRef], all: &[Role]) -> Vec<Vec<(RoleRef, usize)>> {
    let mut ways: Vec<Vec<(RoleRef, usize)>> = vec![Vec::new()];
    for role in roles {
        let genders = all[usize::from(role.role)].genders();
        debug_assert!(genders.iter().all(|gender| *gender < GENDERS.len()));
        ways = ways
            .iter()
            .flat_map(|way| genders.iter().map(|gender| [&way[..], &[(*role, *gender)]].concat()))
            .collect();
    }
    ways
}

/// The positions where phrases of one sentence end.
struct Search<'p> {
    parser: &'p Parser,
    /// The possible terminals of each token.
    terminals: Vec<Vec<u16>>,
    /// For each phrase and each place where it may begin.
    ends: Vec<Option<u64>>,
    /// The last token at which a terminal was expected and not found.
    furthest: usize,
}

impl Search<'_> {
    /// The positions, as bits, where a phrase that begins at `start` may end.
    fn ends(&mut self, phrase: u16, start: usize) -> u64 {
        let place = usize::from(phrase) * (self.terminals.len() + 1) + start;
        if let Some(ends) = self.ends[place] {
            return ends;
        }
        let mut ends = 0;
        for production in &self.parser.productions[usize::from(phrase)] {
            let mut reached = 1 << start;
            for part in production {
                reached = self.advance(reached, *part);
                if reached == 0 {
                    break;
                }
            }
            ends |= reached;
        }
        self.ends[place] = Some(ends);
        ends
    }

    /// The positions reached from any of the positions `from` over one symbol.
    fn advance(&mut self, from: u64, part: ProductionPart) -> u64 {
        let mut left = from;
        let mut reached = 0;
        while left != 0 {
            let start = left.trailing_zeros() as usize;
            left &= left - 1;
            reached |= match part {
                ProductionPart::Terminal(terminal) => {
                    let is_there =
                        self.terminals.get(start).is_some_and(|may_be| may_be.contains(&terminal));
                    if !is_there {
                        self.furthest = self.furthest.max(start);
                    }
                    u64::from(is_there) << (start + 1)
                }
                ProductionPart::Phrase(phrase) => self.ends(phrase, start),
                ProductionPart::OptionalPhrase(phrase) => self.ends(phrase, start) | 1 << start,
            };
        }
        reached
    }
}
