//! World state of a story: entities in roles, recent mentions, and facts.

use super::grammar::{
    FACTS_MAX, FIRST, FIRST_GENDER, GENDERS, Grammar, Guard, NAME, NO, PRONOUN, ROLES_MAX, Role,
    RoleRef, Value, Variable, YES,
};
use kernels::rng::Draws;

/// What fills each role inside a phrase: numbers of slots.
pub type Casting = [u8; ROLES_MAX];

/// Marks an unknown fact.
const UNKNOWN: u8 = u8::MAX;

/// From here on, a fact's value is a slot.
const FIRST_SLOT_VALUE: u8 = super::grammar::VALUES_MAX as u8;

/// The number of the gender "they" in [`GENDERS`].
const PLURAL: u8 = 3;
/// The number of the gender "it".
const NEUTER: u8 = 2;

/// A person, an animal, a thing or a place of a story.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entity {
    /// Whether the story has one.
    is_made: bool,
    /// Whether the reader has met it.
    pub is_known: bool,
    /// Number of the last sentence that spoke of it.
    last_sentence: u32,
    /// Index into [`GENDERS`].
    pub gender: u8,
    /// Index into [`Grammar::kinds`].
    pub kind: u16,
    /// Word of the kind's class.
    pub noun: u16,
    /// Word of the kind's class for looks.
    pub look: u16,
}

/// The entity being referred to, while a phrase for it is written.
#[derive(Clone, Copy, Debug)]
pub struct Referent {
    pub entity: Entity,
    /// One of the values `first`, `name` and `pron`.
    pub reference: u8,
}

/// The state of a story.
#[derive(Debug)]
pub struct World<'g> {
    grammar: &'g Grammar,
    entities: [Entity; ROLES_MAX],
    /// Each fact about each role, and last about the story.
    facts: [[u8; ROLES_MAX + 1]; FACTS_MAX],
    /// Number of the sentence being made, from 1.
    pub sentence: u32,
}

impl<'g> World<'g> {
    /// A world in which nothing has happened.
    pub fn new(grammar: &'g Grammar) -> World<'g> {
        let facts = [[UNKNOWN; ROLES_MAX + 1]; FACTS_MAX];
        World { grammar, entities: [Entity::default(); ROLES_MAX], facts, sentence: 1 }
    }

    /// Every role filled by its own slot.
    pub fn own_casting() -> Casting {
        std::array::from_fn(|role| role as u8)
    }

    /// The entity of the slot, created now if it was not needed before.
    pub fn entity(&mut self, slot: u8, draws: &mut Draws) -> Entity {
        let slot = usize::from(slot);
        if !self.entities[slot].is_made {
            let role = &self.grammar.roles[slot];
            self.entities[slot] = match role.pair {
                Some(pair) => {
                    for part in pair {
                        self.entity(part, draws);
                    }
                    Entity { is_made: true, is_known: true, gender: PLURAL, ..Entity::default() }
                }
                None => self.invent(role, draws),
            };
        }
        self.entities[slot]
    }

    /// A new entity for the role, different from all others if a few draws find one.
    fn invent(&self, role: &Role, draws: &mut Draws) -> Entity {
        const TRIES: usize = 8;
        let mut entity = Entity::default();
        for _ in 0..TRIES {
            entity = self.draw_entity(role, draws);
            let is_same = |e: &Entity| e.is_made && (e.kind, e.noun) == (entity.kind, entity.noun);
            if !self.entities.iter().any(is_same) {
                break;
            }
        }
        entity
    }

    fn draw_entity(&self, role: &Role, draws: &mut Draws) -> Entity {
        let grammar = self.grammar;
        let n_words = |class: u16| grammar.lexicon.classes[usize::from(class)].n_words();
        let n_of_kind = |kind: u16| n_words(grammar.kinds[usize::from(kind)].class) as u64;
        let total = role.kinds.iter().map(|kind| n_of_kind(*kind)).sum();
        let mut place = draws.below(total);
        let of_place = role.kinds.iter().copied().find(|kind| {
            let is_here = place < n_of_kind(*kind);
            place = place.saturating_sub(n_of_kind(*kind));
            is_here
        });
        let number = of_place.expect("the place is below the sum of all kinds");
        let kind = &grammar.kinds[usize::from(number)];
        let gender = kind.genders[draws.below(kind.genders.len() as u64) as usize];
        let noun = draw_word(n_words(kind.class), draws) as u16;
        let look = kind.look.map_or(0, |look| draw_word(n_words(look), draws) as u16);
        let last_sentence = 0;
        Entity { is_made: true, is_known: false, last_sentence, gender, kind: number, noun, look }
    }

    /// Notes that the sentence being made speaks of what fills the slot.
    pub fn note_mention(&mut self, slot: u8) {
        let entity = &mut self.entities[usize::from(slot)];
        entity.is_known = true;
        entity.last_sentence = self.sentence;
    }

    /// Whether the sentence being made has already spoken of what fills the slot.
    pub fn is_in_sentence(&self, slot: u8) -> bool {
        self.entities[usize::from(slot)].last_sentence == self.sentence
    }

    /// Whether a pronoun for the slot is unambiguous: the entity was mentioned in this sentence or
    /// the last, and no other with the same pronoun was.
    pub fn is_pronoun_clear(&self, slot: u8) -> bool {
        let entity = &self.entities[usize::from(slot)];
        let is_recent = |e: &Entity| e.is_made && e.last_sentence + 1 >= self.sentence;
        if let Some(pair) = self.grammar.roles[usize::from(slot)].pair {
            let are_parts = pair.iter().all(|part| is_recent(&self.entities[usize::from(*part)]));
            return entity.is_made && (is_recent(entity) || are_parts) && self.sentence > 1;
        }
        let has_rival = self.grammar.roles.iter().enumerate().any(|(other, role)| {
            let rival = &self.entities[other];
            let is_called_it = entity.gender != NEUTER || !role.is_place;
            let is_other = other != usize::from(slot);
            is_other && is_recent(rival) && rival.gender == entity.gender && is_called_it
        });
        entity.is_known && is_recent(entity) && !has_rival
    }

    /// Whether all conditions hold.
    pub fn allows(
        &mut self,
        guards: &[Guard],
        casting: &Casting,
        referent: Option<&Referent>,
        draws: &mut Draws,
    ) -> bool {
        guards.iter().all(|guard| {
            let value = self.value(&guard.variable, casting, referent, draws);
            let is_one = guard.values.iter().any(|v| encode(*v, casting) == value);
            is_one != guard.is_negated
        })
    }

    fn value(
        &mut self,
        variable: &Variable,
        casting: &Casting,
        referent: Option<&Referent>,
        draws: &mut Draws,
    ) -> u8 {
        let kind_value = |kind: u16| self.grammar.kinds[usize::from(kind)].value;
        match *variable {
            Variable::Fact { fact, role } => self.facts[usize::from(fact)][place(role, casting)],
            Variable::Reference => referent.map_or(NAME, |referent| referent.reference),
            Variable::Kind(None) => referent.map_or(UNKNOWN, |r| kind_value(r.entity.kind)),
            Variable::Kind(Some(role)) => kind_value(self.entity(slot(role, casting), draws).kind),
            Variable::Gender(role) => FIRST_GENDER + self.entity(slot(role, casting), draws).gender,
            Variable::Pronoun(role) => {
                if self.is_pronoun_clear(slot(role, casting)) {
                    YES
                } else {
                    NO
                }
            }
        }
    }

    /// Sets the value of a fact.
    pub fn set(&mut self, fact: u8, role: Option<RoleRef>, value: Value, casting: &Casting) {
        self.facts[usize::from(fact)][place(role, casting)] = encode(value, casting);
    }

    /// The form of reference to the slot's entity in the current sentence.
    pub fn reference(&self, slot: u8, draws: &mut Draws) -> u8 {
        if !self.entities[usize::from(slot)].is_known {
            FIRST
        } else if self.is_pronoun_clear(slot) && (self.is_in_sentence(slot) || draws.chance(3, 4)) {
            PRONOUN
        } else {
            NAME
        }
    }
}

/// A word's number among `n`: the first are drawn three times as often as the last.
pub fn draw_word(n: usize, draws: &mut Draws) -> usize {
    let word = draws.next_u64();
    let below_n = |bits: u64| (((bits & 0x7FFF_FFFF) * n as u64) >> 31) as usize;
    let first = below_n(word);
    if word >> 63 == 0 { first } else { first.min(below_n(word >> 31)) }
}

/// The slot that fills the role inside a phrase.
pub fn slot(role: RoleRef, casting: &Casting) -> u8 {
    if role.is_fixed { role.role } else { casting[usize::from(role.role)] }
}

fn place(role: Option<RoleRef>, casting: &Casting) -> usize {
    role.map_or(ROLES_MAX, |role| usize::from(slot(role, casting)))
}

fn encode(value: Value, casting: &Casting) -> u8 {
    match value {
        Value::Word(word) => word,
        Value::Role(role) => FIRST_SLOT_VALUE + casting[usize::from(role)],
    }
}

/// The form of a word that agrees with an entity.
pub fn agreeing(forms: &[Option<u16>; GENDERS.len()], entity: &Entity) -> u16 {
    let form = forms[usize::from(entity.gender)];
    form.expect("rules ask only for forms that their roles have")
}
