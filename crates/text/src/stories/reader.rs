//! Reader of the grammar files into [`Grammar`]; the head of `phrases.txt` describes the format.
//!
//! The files are part of the program, so a mistake in them is a bug: reading panics with the line,
//! and the first test that writes a story finds it.

use super::grammar::{
    Alternative, Attribute, Effect, FIXED_VALUES, GENDERS, Grammar, Guard, Kind, Mention, Phrase,
    ROLES_MAX, Role, RoleRef, Symbol, VALUES_MAX, Value, Variable,
};
use super::lexicon::StoryLexicon;
use super::template;
use rustc_hash::FxHashMap;

/// A rule as written in a file, with templates already expanded.
pub(super) struct GrammarRule {
    pub name: String,
    pub is_sentence: bool,
    /// Tokens of each alternative.
    pub alternatives: Vec<Vec<String>>,
}

/// Reads words and rules.
///
/// # Panics
/// If anything in them is malformed or undefined.
pub fn read(words: &'static str, rules: &[&'static str]) -> Grammar {
    let grammar = Grammar {
        lexicon: StoryLexicon::read(words),
        phrases: Vec::new(),
        story: 0,
        roles: Vec::new(),
        kinds: Vec::new(),
        mentions: Vec::new(),
        literals: Vec::new(),
        agreements: Vec::new(),
        values: FIXED_VALUES.map(String::from).to_vec(),
        n_facts: 0,
        n_alternatives: 0,
    };
    let mut reader = Reader {
        grammar,
        phrases: FxHashMap::default(),
        literals: FxHashMap::default(),
        mentions: FxHashMap::default(),
        agreements: FxHashMap::default(),
        facts: Vec::new(),
    };
    let lines = template::logical_lines(rules);
    lines.iter().for_each(|line| reader.declare(line));
    let rules = template::rules(&lines, &reader.grammar);
    reader.define(&rules);
    reader.grammar
}

/// A grammar being read, with its table of names.
struct Reader {
    grammar: Grammar,
    phrases: FxHashMap<String, u16>,
    literals: FxHashMap<String, u16>,
    mentions: FxHashMap<String, u16>,
    agreements: FxHashMap<String, u16>,
    facts: Vec<String>,
}

impl Reader {
    /// Takes in a line that declares a kind, a role, or words that agree.
    fn declare(&mut self, line: &str) {
        let tokens: Vec<&str> = line.split_whitespace().collect();
        match tokens[..] {
            ["kind", class, genders] => self.declare_kind(class, genders, None),
            ["kind", class, genders, "look", look] => {
                self.declare_kind(class, genders, Some(look));
            }
            ["role", name, type_name, "=", first, "and", second] => {
                let pair = Some([self.role(first), self.role(second)]);
                self.declare_role(name, type_name, Vec::new(), pair);
            }
            ["role", name, type_name, "=", ref kinds @ ..] => {
                let kinds = kinds.iter().map(|kind| self.kind(kind)).collect();
                self.declare_role(name, type_name, kinds, None);
            }
            ["agree", name, "=", m, f, n, p] => {
                let forms = [m, f, n, p].map(|form| (form != "-").then(|| self.literal(form)));
                self.agreements.insert(name.into(), self.grammar.agreements.len() as u16);
                self.grammar.agreements.push(forms);
            }
            _ => (),
        }
    }

    fn declare_kind(&mut self, class: &str, genders: &str, look: Option<&str>) {
        let value = self.word_value(class);
        let is_one = |gender: &u8| genders.contains(GENDERS[usize::from(*gender)]);
        let genders = (0..4).filter(is_one).collect();
        let class = self.class(class);
        let look = look.map(|look| self.class(look));
        self.grammar.kinds.push(Kind { class, look, genders, value });
    }

    fn declare_role(
        &mut self,
        name: &str,
        type_name: &str,
        kinds: Vec<u16>,
        pair: Option<[u8; 2]>,
    ) {
        let mut letters = name.chars();
        let name = letters.next().expect("a role has a name");
        assert!(letters.next().is_none(), "the name of a role is one letter");
        let is_place = matches!(type_name, "Place" | "Home" | "Spot");
        self.grammar.roles.push(Role { name, type_name: type_name.into(), kinds, pair, is_place });
        assert!(self.grammar.roles.len() <= ROLES_MAX, "more roles than {ROLES_MAX}");
    }

    /// Takes in all rules: first their names, then what they say.
    fn define(&mut self, rules: &[GrammarRule]) {
        for rule in rules {
            let number = self.phrases.len() as u16;
            let earlier = self.phrases.insert(rule.name.clone(), number);
            assert!(earlier.is_none(), "{} is defined twice", rule.name);
        }
        self.grammar.story = self.phrase("Story");
        for rule in rules {
            let name = rule.name.clone();
            let is_sentence = rule.is_sentence;
            let read = |tokens: &Vec<String>| self.alternative(&rule.name, tokens);
            let alternatives = rule.alternatives.iter().map(read).collect();
            self.grammar.phrases.push(Phrase { name, is_sentence, alternatives });
        }
        self.grammar.n_facts = self.facts.len();
    }

    fn alternative(&mut self, phrase: &str, tokens: &[String]) -> Alternative {
        let number = self.grammar.n_alternatives as u16;
        self.grammar.n_alternatives += 1;
        let mut alternative = Alternative {
            weight: 1,
            guards: Vec::new(),
            symbols: Vec::new(),
            effects: Vec::new(),
            number,
        };
        for token in tokens {
            let inside = |open, close| token.strip_prefix(open).and_then(|t| t.strip_suffix(close));
            if let Some(weight) = token.strip_suffix(':').and_then(|weight| weight.parse().ok()) {
                alternative.weight = weight;
            } else if let Some(guards) = inside('[', ']') {
                alternative.guards.extend(guards.split(',').map(|guard| self.guard(guard)));
            } else if let Some(effects) = inside('{', '}') {
                alternative.effects.extend(effects.split(',').map(|effect| self.effect(effect)));
            } else if token != "()" {
                alternative.symbols.push(self.symbol(phrase, token));
            }
        }
        alternative
    }

    fn symbol(&mut self, phrase: &str, token: &str) -> Symbol {
        if token == "/" {
            Symbol::Break
        } else if let Some(word) = token.strip_prefix('<').and_then(|t| t.strip_suffix('>')) {
            self.word(phrase, word)
        } else if let Some(mention) = token.strip_prefix('@') {
            self.mention(mention)
        } else if let Some((agreement, role)) = token.split_once('@') {
            let agreement = *self
                .agreements
                .get(agreement)
                .unwrap_or_else(|| panic!("{phrase}: no words that agree are called {agreement}"));
            Symbol::Agreement { role: self.role_ref(role), agreement }
        } else if token != "I" && token.starts_with(|c: char| c.is_ascii_uppercase()) {
            self.phrase_symbol(token)
        } else {
            // The printer writes "an" where it must.
            Symbol::Literal(self.literal(if token == "an" { "a" } else { token }))
        }
    }

    /// `class`, `class.form`, either with `!attribute`.
    fn word(&mut self, phrase: &str, word: &str) -> Symbol {
        let (word, attribute) = word.split_once('!').unwrap_or((word, ""));
        let (class, form) = word.split_once('.').unwrap_or((word, "s"));
        let class = self.class(class);
        let form = self.grammar.lexicon.classes[usize::from(class)].form(form);
        let form = form.unwrap_or_else(|| panic!("{phrase}: <{word}> has no such form")) as u8;
        let attribute = match attribute {
            "" => None,
            "name" => Some(Attribute::Name),
            "noun" => Some(Attribute::Noun),
            "look" => Some(Attribute::Look),
            other => panic!("{phrase}: no attribute is called {other}"),
        };
        Symbol::Word { class, form, attribute }
    }

    /// `A`, `A:form`, either with `!` before it.
    fn mention(&mut self, mention: &str) -> Symbol {
        let (role, form) = mention.split_once(':').unwrap_or((mention, ""));
        let role = self.role_ref(role);
        let type_name = &self.grammar.roles[usize::from(role.role)].type_name;
        let default = if matches!(&type_name[..], "Person" | "Animal") { "subj" } else { "auto" };
        let name = format!("{type_name}.{}", if form.is_empty() { default } else { form });
        if let Some(mention) = self.mentions.get(&name) {
            return Symbol::Mention { role, mention: *mention };
        }
        let phrases = GENDERS.map(|gender| {
            let for_gender = self.phrases.get(&format!("{name}.{gender}"));
            for_gender.or(self.phrases.get(&name)).copied()
        });
        assert!(phrases.iter().any(Option::is_some), "nothing is called {name}");
        let mention = self.grammar.mentions.len() as u16;
        self.grammar.mentions.push(Mention { phrases });
        self.mentions.insert(name, mention);
        Symbol::Mention { role, mention }
    }

    /// `Name`, `Name(A=B)`, `Name~`, each with `?` after it.
    fn phrase_symbol(&self, token: &str) -> Symbol {
        let required = token.trim_end_matches('?');
        let (name, renames) = if let Some(name) = required.strip_suffix('~') {
            let (a, b) = (self.role("A"), self.role("B"));
            (name, vec![(a, b), (b, a)])
        } else if let Some((name, renames)) = required.split_once('(') {
            let pair = |rename: &str| {
                let (to, from) = rename.split_once('=').expect("a rename is A=B");
                (self.role(to), self.role(from))
            };
            (name, renames.trim_end_matches(')').split(',').map(pair).collect())
        } else {
            (required, Vec::new())
        };
        Symbol::Phrase {
            phrase: self.phrase(name),
            renames,
            is_optional: required.len() < token.len(),
        }
    }

    /// `variable=value|value` or `variable!=value`.
    fn guard(&mut self, guard: &str) -> Guard {
        let (variable, values) = guard.split_once('=').expect("a condition has a value");
        let (variable, is_negated) =
            variable.strip_suffix('!').map_or((variable, false), |variable| (variable, true));
        let (name, role) = match variable.split_once('.') {
            Some((name, role)) => (name, Some(self.role_ref(role))),
            None => (variable, None),
        };
        let variable = match (name, role) {
            ("ref", None) => Variable::Reference,
            ("kind", role) => Variable::Kind(role),
            ("sex", Some(role)) => Variable::Gender(role),
            ("pron", Some(role)) => Variable::Pronoun(role),
            (fact, role) => Variable::Fact { fact: self.fact(fact), role },
        };
        let values = values.split('|').map(|value| self.value(value)).collect();
        Guard { variable, values, is_negated }
    }

    fn effect(&mut self, effect: &str) -> Effect {
        let (fact, value) = effect.split_once('=').expect("a change has a value");
        let (fact, role) = match fact.split_once('.') {
            Some((fact, role)) => (fact, Some(self.role_ref(role))),
            None => (fact, None),
        };
        Effect { fact: self.fact(fact), role, value: self.value(value) }
    }

    fn value(&mut self, value: &str) -> Value {
        if value.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Value::Role(self.role(value));
        }
        Value::Word(self.word_value(value))
    }

    fn word_value(&mut self, value: &str) -> u8 {
        let known = self.grammar.values.iter().position(|known| known == value);
        let index = known.unwrap_or_else(|| {
            self.grammar.values.push(value.into());
            self.grammar.values.len() - 1
        });
        assert!(index < VALUES_MAX, "more values than {VALUES_MAX}");
        index as u8
    }

    fn fact(&mut self, name: &str) -> u8 {
        let known = self.facts.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.facts.push(name.into());
            self.facts.len() - 1
        });
        index as u8
    }

    fn literal(&mut self, text: &str) -> u16 {
        let next = self.grammar.literals.len() as u16;
        let index = *self.literals.entry(text.into()).or_insert(next);
        if index == next {
            self.grammar.literals.push(text.into());
        }
        index
    }

    fn phrase(&self, name: &str) -> u16 {
        *self.phrases.get(name).unwrap_or_else(|| panic!("no phrase is called {name}"))
    }

    fn class(&self, name: &str) -> u16 {
        let class = self.grammar.lexicon.class(name);
        class.unwrap_or_else(|| panic!("no class is called {name}")) as u16
    }

    fn kind(&self, class: &str) -> u16 {
        let class = self.class(class);
        let kind = self.grammar.kinds.iter().position(|kind| kind.class == class);
        kind.expect("the kinds of a role are declared") as u16
    }

    fn role(&self, name: &str) -> u8 {
        let is_it = |role: &Role| name.chars().eq([role.name]);
        let role = self.grammar.roles.iter().position(is_it);
        role.unwrap_or_else(|| panic!("no role is called {name}")) as u8
    }

    fn role_ref(&self, name: &str) -> RoleRef {
        match name.strip_prefix('!') {
            Some(name) => RoleRef { role: self.role(name), is_fixed: true },
            None => RoleRef { role: self.role(name), is_fixed: false },
        }
    }
}
