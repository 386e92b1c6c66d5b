//! Lexicon of the stories: word classes with their inflected forms.

use super::inflect;
use rustc_hash::FxHashMap;

const NOUN_FORMS: &[&str] = &["s", "p", "gen"];
const NAME_FORMS: &[&str] = &["s", "gen"];
const VERB_FORMS: &[&str] = &["base", "3sg", "past", "part", "ing"];
const WORD_FORMS: &[&str] = &["s"];

/// A class of interchangeable words.
#[derive(Debug)]
pub struct Class {
    /// Its name in the grammar.
    pub name: &'static str,
    forms: &'static [&'static str],
    /// All forms of the first word, of the second, and so on.
    spellings: Vec<String>,
}

impl Class {
    /// Number of words, each with all its forms.
    pub fn n_words(&self) -> usize {
        self.spellings.len() / self.forms.len()
    }

    /// Number of forms of each word.
    pub fn n_forms(&self) -> usize {
        self.forms.len()
    }

    /// The number of the form called `name`.
    pub fn form(&self, name: &str) -> Option<usize> {
        self.forms.iter().position(|form| *form == name)
    }

    /// One word in one form.
    pub fn spelling(&self, word: usize, form: usize) -> &str {
        &self.spellings[word * self.forms.len() + form]
    }

    /// The form of every word.
    pub fn spellings(&self, form: usize) -> impl Iterator<Item = &str> {
        self.spellings.iter().skip(form).step_by(self.forms.len()).map(String::as_str)
    }
}

/// All classes.
#[derive(Debug, Default)]
pub struct StoryLexicon {
    /// In the order of the file.
    pub classes: Vec<Class>,
    by_name: FxHashMap<&'static str, usize>,
}

impl StoryLexicon {
    /// Reads a word list, whose head describes the format.
    ///
    /// # Panics
    /// If a line is not in that format; the lists are part of the program.
    pub fn read(text: &'static str) -> StoryLexicon {
        let mut lexicon = StoryLexicon::default();
        for line in text.lines() {
            let mut tokens = line.split_whitespace();
            if line.starts_with(' ') {
                let class = lexicon.classes.last_mut().expect("words.txt begins with a class");
                tokens.for_each(|token| class.spellings.extend(forms_of(class.forms, token)));
            } else if let Some(sort) = tokens.next().filter(|t| !t.starts_with('#')) {
                let forms = match sort {
                    "noun" => NOUN_FORMS,
                    "name" => NAME_FORMS,
                    "verb" => VERB_FORMS,
                    "word" => WORD_FORMS,
                    other => panic!("words.txt: no sort of words is called {other}"),
                };
                let name = tokens.next().expect("a class has a name");
                let number = lexicon.classes.len();
                let earlier = lexicon.by_name.insert(name, number);
                assert!(earlier.is_none(), "words.txt: two classes are called {name}");
                lexicon.classes.push(Class { name, forms, spellings: Vec::new() });
            }
        }
        lexicon
    }

    /// The number of the class called `name`.
    pub fn class(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// All forms of the word that an entry of the list stands for.
fn forms_of(forms: &'static [&'static str], entry: &str) -> Vec<String> {
    let mut parts = entry.split('/');
    let head = parts.next().unwrap_or_default();
    let (second, third) = (parts.next(), parts.next());
    let irregular = |form: Option<&str>, regular: String| form.map_or(regular, str::to_owned);
    match forms {
        NOUN_FORMS => {
            vec![head.into(), irregular(second, inflect::plural(head)), inflect::genitive(head)]
        }
        NAME_FORMS => vec![head.into(), inflect::genitive(head)],
        VERB_FORMS => {
            let base = head.trim_end_matches('*');
            let doubles = base.len() < head.len();
            let past = irregular(second, inflect::past(base, doubles));
            let part = irregular(third, past.clone());
            let (third_person, ing) = (inflect::third_person(base), inflect::gerund(base, doubles));
            vec![base.into(), third_person, past, part, ing]
        }
        _ => vec![head.into()],
    }
}
