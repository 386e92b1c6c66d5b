//! Grammar of the stories as data: phrases, their alternatives, and roles.
//!
//! The same tables serve the [writer](super::writer), which follows conditions and changes, and the
//! [parser](super::parser), which ignores them. The head of `phrases.txt` describes the format of
//! the files; [`super::reader`] reads it.

use super::lexicon::StoryLexicon;

/// Largest number of roles of a grammar.
pub const ROLES_MAX: usize = 24;

/// Grammatical genders, in the order of the forms of words that agree: he, she, it, they.
pub const GENDERS: [char; 4] = ['m', 'f', 'n', 'p'];

/// Values that the program itself assigns to variables; their indices are the same in
/// [`Grammar::values`].
pub const FIXED_VALUES: [&str; 10] =
    ["first", "name", "pron", "yes", "no", "none", "m", "f", "n", "p"];

/// The numbers of the first of [`FIXED_VALUES`].
pub const FIRST: u8 = 0;
/// As [`FIRST`].
pub const NAME: u8 = 1;
/// As [`FIRST`].
pub const PRONOUN: u8 = 2;
/// As [`FIRST`].
pub const YES: u8 = 3;
/// As [`FIRST`].
pub const NO: u8 = 4;
/// The number of the first of [`GENDERS`] among the values.
pub const FIRST_GENDER: u8 = 6;

/// Largest number of values of facts.
pub const VALUES_MAX: usize = 200;

/// Largest number of facts.
pub const FACTS_MAX: usize = 8;

/// A role in a story, filled by an entity, as named in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// Number of the role.
    pub role: u8,
    /// Whether it is not substituted inside a phrase that was given other roles.
    pub is_fixed: bool,
}

/// Attribute of the entity being referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A person's name.
    Name,
    /// What kind of person, animal, thing or place it is.
    Noun,
    /// How it looks.
    Look,
}

/// A part of an alternative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A word or mark, as an index into [`Grammar::literals`].
    Literal(u16),
    /// A word of a class in one form; an attribute of the entity being referred to, if named.
    Word { class: u16, form: u8, attribute: Option<Attribute> },
    /// Another phrase, with other roles in the place of some, or (if optional) nothing.
    Phrase { phrase: u16, renames: Vec<(u8, u8)>, is_optional: bool },
    /// A reference to what fills a role, by an index into [`Grammar::mentions`].
    Mention { role: RoleRef, mention: u16 },
    /// The form of [`Grammar::agreements`] that agrees with a role.
    Agreement { role: RoleRef, agreement: u16 },
    /// The end of a paragraph.
    Break,
}

/// A variable of a story, tested by conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A stored fact, about a role or about the whole story.
    Fact { fact: u8, role: Option<RoleRef> },
    /// The form of reference to the current entity: first, name or pron.
    Reference,
    /// The kind of the entity being referred to, or of a role.
    Kind(Option<RoleRef>),
    /// The gender of a role.
    Gender(RoleRef),
    /// Whether a pronoun would be understood for a role.
    Pronoun(RoleRef),
}

/// Value of a fact: a word of the grammar or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Index into [`Grammar::values`].
    Word(u8),
    /// What fills a role.
    Role(u8),
}

/// A condition: the variable is (or is not) one of the values.
#[derive(Clone, Debug)]
pub struct Guard {
    pub variable: Variable,
    pub values: Vec<Value>,
    pub is_negated: bool,
}

/// A change of a stored fact.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    pub fact: u8,
    pub role: Option<RoleRef>,
    pub value: Value,
}

/// One way to make a phrase.
#[derive(Clone, Debug)]
pub struct Alternative {
    pub weight: u32,
    pub guards: Vec<Guard>,
    pub symbols: Vec<Symbol>,
    pub effects: Vec<Effect>,
    /// Number among all alternatives of the grammar.
    pub number: u16,
}

/// A phrase and the ways to make it.
#[derive(Clone, Debug)]
pub struct Phrase {
    pub name: String,
    pub is_sentence: bool,
    pub alternatives: Vec<Alternative>,
}

/// A form in which what fills a role is referred to: one phrase per gender.
#[derive(Clone, Debug)]
pub struct Mention {
    pub phrases: [Option<u16>; 4],
}

/// A kind of entity: what class its noun or name is from, and what class says how it looks.
#[derive(Clone, Debug)]
pub struct Kind {
    pub class: u16,
    pub look: Option<u16>,
    /// Those it may have, as indices into [`GENDERS`].
    pub genders: Vec<u8>,
    /// What conditions call it, as an index into [`Grammar::values`].
    pub value: u8,
}

/// Type of a role.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: char,
    /// Roles of one type may stand for each other.
    pub type_name: String,
    /// By one of these kinds (indices into [`Grammar::kinds`]) …
    pub kinds: Vec<u16>,
    /// … or by two other roles together.
    pub pair: Option<[u8; 2]>,
    /// Whether it is a place, for which nobody says "it".
    pub is_place: bool,
}

impl Role {
    /// The genders that a role of this type may have, as indices into [`GENDERS`].
    pub fn genders(&self) -> &'static [usize] {
        if self.type_name == "Person" { &[0, 1, 3] } else { &[2] }
    }
}

/// The whole grammar with its words.
#[derive(Debug)]
pub struct Grammar {
    pub lexicon: StoryLexicon,
    pub phrases: Vec<Phrase>,
    /// The phrase that is a whole story.
    pub story: u16,
    pub roles: Vec<Role>,
    pub kinds: Vec<Kind>,
    pub mentions: Vec<Mention>,
    pub literals: Vec<String>,
    /// Four literals each; `None` where a gender has no form.
    pub agreements: Vec<[Option<u16>; 4]>,
    /// Words that facts may be.
    pub values: Vec<String>,
    pub n_facts: usize,
    pub n_alternatives: usize,
}
