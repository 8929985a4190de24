//! The rules as data: what each kind of secret looks like, read from TOML to typed values.
//!
//! `rules.toml` has the built-in ones and says at its top what each field means. A user's file has the same form: a rule
//! of an id that is there replaces it, another one is added, and `off = ["id"]` switches rules off.

use super::allow::Allow;
use super::builtin;
use super::fields::{Fields, invalid};
use super::pattern::{Grouped, MAX_COMPILED, Pattern, Room};
use super::without_secrets;
use crate::error::{Error, Result};
use receipt_core::canonical;
use receipt_core::json::{Limits, Object, Value};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use toml::{Table, Value as Toml};

/// The most bytes of a file of rules.
pub const MAX_FILE: usize = 4 << 20;
/// The most rules that a set may have, the built-in ones among them.
pub const MAX_RULES: usize = 4096;
/// The most exceptions that a set may have.
pub const MAX_ALLOWED: usize = 4096;
/// The most keywords of all rules together, and the most bytes of them: the automaton that looks for them all at once
/// takes some 500 bytes for each.
pub const MAX_KEYWORDS: usize = 16_384;
/// See [`MAX_KEYWORDS`].
pub const MAX_KEYWORD_BYTES: usize = 128 << 10;
/// The longest keyword. The automaton takes time with the square of it, if its beginning occurs in it again.
pub const MAX_KEYWORD: usize = 128;
/// The most bytes of all expressions together, as they are written.
pub const MAX_EXPRESSIONS: usize = 1 << 20;

/// What every replacement begins and ends with, so that what was redacted is known again under any rules.
const MARKER: (&str, &str) = ("[REDACTED:", "]");

/// A set of rules and what is allowed in spite of them.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "a set of rules has rules")]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) allow: Vec<Allow>,
    /// How many bytes the expressions that were checked take.
    compiled: usize,
}

/// What one kind of secret looks like.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in reports.
    pub(super) id: Arc<str>,
    /// What stands in its place.
    pub(super) replacement: Arc<str>,
    pub(super) keywords: Vec<String>,
    /// Bits a character that the secret has at least.
    pub(super) entropy: Option<f64>,
    /// What must stand there, and which part of it is the secret.
    pub(super) shape: Shape,
    /// Texts, or values, that it finds, and one that it does not; with `<class:count>` for random characters.
    examples: Vec<String>,
    counterexample: String,
    /// The name that the tests give to its values.
    name: String,
}

/// What must stand at a rule's keyword.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Pattern(Form),
    Value(Named),
    /// A PEM or PGP block, keyword included, up to its end line; cut short, to the end of its base64.
    Pem,
    /// An address with an `@` in it, keyword included, up to white space.
    Address,
    /// A member `value` before the member that names what it is of.
    Pair,
    /// The values of what is called cookies.
    Cookies,
}

/// A secret that is known by its own form.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) pattern: Grouped,
    /// What may stand before the keyword and still belong to the match.
    pub(super) lead: Option<Box<[bool; 256]>>,
    pub(super) boundary: Boundary,
    /// What may follow a match, as often as it does, with a secret in its first group or none.
    pub(super) again: Option<Pattern>,
    lead_text: String,
}

/// What must not stand directly before a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// Anything may.
    None,
    /// No letter in lower case: `sk-` in `task-`.
    Lower,
    /// No letter and no digit.
    Word,
}

/// A secret that only its name gives away.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// What all of the value must match; `None` for anything.
    pub(super) pattern: Option<Pattern>,
    /// The name ends with the keyword.
    pub(super) ends: bool,
    pub(super) quotes: Quotes,
    pub(super) bare: Bare,
    /// How many bytes the value has at least, not counting what was redacted before.
    pub(super) least: usize,
    /// Names that merely end in `key`, names of identifiers, and values that say that they are digests, do not count.
    pub(super) guarded: bool,
}

/// The quotes that a value may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    Either,
    Double,
    Single,
    None,
}

/// Where a value without quotes ends, and whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// It does not count.
    None,
    /// At white space or at a delimiter.
    Plain,
    /// The same, where the syntax is one of data rather than of a program.
    Data,
    /// At white space.
    Word,
    /// With its line.
    Line,
}

impl Rules {
    /// The built-in rules.
    ///
    /// # Errors
    /// None in a build that was tested; the signature is that of [`Self::with`].
    pub fn builtin() -> Result<Self> {
        Self::default().read(builtin::TEXT, false)
    }

    /// These rules with a user's on top: rules added, replaced and switched off by id, and exceptions added. `text` is a
    /// TOML file as `docs/EVIDENCE.md` describes it.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`](crate::Error::RulesInvalid): a file that is not understood in full is refused, so that no rule is missing silently.
    ///
    /// ```
    /// use receipt_kernel::{Redactor, Rules};
    ///
    /// let rules = Rules::builtin()?.with("[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n")?;
    /// let (clean, _) = Redactor::new(rules)?.redact(b"the badge-1234 opens it");
    /// assert_eq!(&*clean, b"the [REDACTED:badge] opens it");
    /// # Ok::<(), receipt_kernel::Error>(())
    /// ```
    pub fn with(self, text: &str) -> Result<Self> {
        self.read(text, true).map_err(|error| match error {
            Error::RulesInvalid { at, problem } => {
                Error::RulesInvalid { at: without_secrets(&at), problem: without_secrets(&problem) }
            }
            other => other,
        })
    }

    pub(super) fn read(mut self, text: &str, check: bool) -> Result<Self> {
        at_most("bytes of the file", text.len(), MAX_FILE)?;
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            invalid(&format!("line {line}"), error.message())
        })?;
        let (rules, allow) = (tables(&mut table, "rule")?, tables(&mut table, "allow")?);
        let off = Fields { table: &mut table, at: "the file" }.strings("off")?.unwrap_or_default();
        // Before anything is done with each.
        at_most("rules", rules.len(), MAX_RULES)?;
        at_most("exceptions", allow.len(), MAX_ALLOWED)?;
        at_most("rules that are off", off.len(), MAX_RULES)?;
        let mut room = Room(check.then_some(MAX_COMPILED.saturating_sub(self.compiled)));
        let rules = rules.into_iter().map(|table| Rule::read(table, &mut room)).collect::<Result<Vec<_>>>()?;
        let allow = allow.into_iter().map(|table| Allow::read(table, &mut room)).collect::<Result<Vec<_>>>()?;
        self.compiled = room.0.map_or(self.compiled, |room| MAX_COMPILED - room);
        Fields { table: &mut table, at: "the file" }.end()?;
        for (index, rule) in rules.iter().enumerate() {
            if rules[..index].iter().any(|other| other.id == rule.id) {
                return Err(invalid(&rule.id, "there are two rules of this id"));
            }
        }
        for rule in rules {
            match self.rules.iter_mut().find(|held| held.id == rule.id) {
                Some(held) => *held = rule,
                None => self.rules.push(rule),
            }
        }
        for id in off {
            let before = self.rules.len();
            self.rules.retain(|rule| *rule.id != *id);
            if self.rules.len() == before {
                return Err(invalid(&id, "it is to be switched off, but there is no rule of this id"));
            }
        }
        let known: HashSet<&str> = self.rules.iter().map(|rule| &*rule.id).collect();
        for entry in allow {
            if let Some(id) = entry.rules.iter().find(|id| !known.contains(&***id)) {
                return Err(invalid(&entry.id, &format!("it allows something of rule {id:?}, which is not there")));
            }
            self.allow.retain(|held| held.id != entry.id);
            self.allow.push(entry);
        }
        self.check_limits()?;
        Ok(self)
    }

    fn check_limits(&self) -> Result<()> {
        at_most("rules", self.rules.len(), MAX_RULES)?;
        at_most("exceptions", self.allow.len(), MAX_ALLOWED)?;
        let keywords = || self.rules.iter().flat_map(|rule| &rule.keywords);
        at_most("keywords", keywords().count(), MAX_KEYWORDS)?;
        at_most("bytes of keywords", keywords().map(String::len).sum(), MAX_KEYWORD_BYTES)?;
        let rules = self.rules.iter().map(Rule::expressions).sum::<usize>();
        let allow = self.allow.iter().map(Allow::expressions).sum::<usize>();
        at_most("bytes of expressions", rules + allow, MAX_EXPRESSIONS)
    }

    /// The ids, in the order in which the rules are tried.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.id)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules themselves.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// SHA-256 of the canonical JSON of all that decides what is redacted, as `sha256:<hex>`.
    ///
    /// # Errors
    /// Where the rules are too large to be written.
    pub fn digest(&self) -> Result<String> {
        let whole = Object::from_iter([
            ("rules", Value::from(self.rules.iter().map(Rule::to_value).collect::<Vec<_>>())),
            ("allow", Value::from(self.allow.iter().map(Allow::to_value).collect::<Vec<_>>())),
        ]);
        let bytes = canonical::to_bytes(&whole.into(), Limits::WRITE)?;
        Ok(format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))))
    }
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(invalid(&format!("the number of {what}"), &format!("there are {count}, and {limit} is the limit")))
}

impl Rule {
    /// How many bytes its expressions have as they are written.
    fn expressions(&self) -> usize {
        match &self.shape {
            Shape::Pattern(form) => {
                form.pattern.whole.text().len()
                    + form.lead_text.len()
                    + form.again.as_ref().map_or(0, |it| it.text().len())
            }
            Shape::Value(named) => named.pattern.as_ref().map_or(0, |it| it.text().len()),
            Shape::Pem | Shape::Address | Shape::Pair | Shape::Cookies => 0,
        }
    }

    /// Its name in reports.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What stands in the place of what it finds.
    pub fn replacement(&self) -> &str {
        &self.replacement
    }

    /// In any case of the letters: it is tried where one of these stands.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }

    /// Texts that it finds, or values where it goes by name, with `<class:count>` in them for random characters: `d`
    /// digits, `h` and `H` hexadecimal, `l` and `u` letters, `w` letters and digits, `b` base64, `s` URL-safe base64.
    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    /// What looks similar, and is not found.
    pub fn counterexample(&self) -> &str {
        &self.counterexample
    }

    /// A name under which its values are found; `None` for a rule that goes by form.
    pub fn name(&self) -> Option<&str> {
        matches!(self.shape, Shape::Value(_)).then_some(&self.name)
    }

    /// What of it decides what is redacted.
    fn to_value(&self) -> Value {
        let mut object = Object::from_iter([
            ("id", Value::from(&*self.id)),
            ("replacement", Value::from(&*self.replacement)),
            ("keywords", Value::from(self.keywords.clone())),
            ("entropy", Value::from(self.entropy.unwrap_or_default().to_string())),
        ]);
        match &self.shape {
            Shape::Pem => object.insert("block", "pem"),
            Shape::Address => object.insert("block", "address"),
            Shape::Pair => object.insert("block", "pair"),
            Shape::Cookies => object.insert("block", "cookies"),
            Shape::Pattern(form) => {
                object.insert("pattern", form.pattern.whole.text());
                object.insert("group", form.pattern.group);
                object.insert("lead", form.lead_text.as_str());
                if let Some(again) = &form.again {
                    object.insert("again", again.text());
                }
                object.insert("boundary", format!("{:?}", form.boundary).to_lowercase())
            }
            Shape::Value(named) => {
                object.insert("value", named.pattern.as_ref().map_or(ANYTHING, Pattern::text));
                object.insert("ends", named.ends);
                object.insert("quotes", format!("{:?}", named.quotes).to_lowercase());
                object.insert("bare", format!("{:?}", named.bare).to_lowercase());
                object.insert("least", named.least);
                object.insert("guarded", named.guarded)
            }
        };
        object.into()
    }

    fn read(mut table: Table, room: &mut Room) -> Result<Self> {
        let id = Fields { table: &mut table, at: "a rule" }.string("id")?.unwrap_or_default();
        let mut fields = Fields { table: &mut table, at: &id };
        if id.is_empty() || id.len() > 48 || !id.bytes().all(is_id) {
            return Err(invalid(&id, "an id is 1 to 48 of a-z, 0-9 and _"));
        }
        let keywords = fields.strings("keywords")?.unwrap_or_default();
        let sound = |word: &String| (3..=MAX_KEYWORD).contains(&word.len()) && *word == word.to_ascii_lowercase();
        if keywords.is_empty() || !keywords.iter().all(sound) {
            return Err(fields.invalid(
                "keywords",
                "expected some of at least 3 and at most 128 bytes, ASCII letters in lower case",
            ));
        }
        let replacement = fields.string("replacement")?.unwrap_or_else(|| format!("{}{id}{}", MARKER.0, MARKER.1));
        if marker(replacement.as_bytes()) != Some(replacement.len()) {
            return Err(fields.invalid("replacement", "expected [REDACTED:name] with a name of a-z, 0-9 and _"));
        }
        let entropy = fields.number("entropy")?;
        let shape = fields.shape(room)?;
        let examples = fields.strings("examples")?.unwrap_or_default();
        let tried = |text: &String| keywords.iter().any(|word| text.to_ascii_lowercase().contains(word.as_str()));
        if room.checks() && matches!(shape, Shape::Pattern(_)) && !examples.iter().all(tried) {
            return Err(
                fields.invalid("examples", "one has none of the keywords in it: the rule would never be tried there")
            );
        }
        let rule = Self {
            replacement: replacement.into(),
            entropy,
            shape,
            examples,
            counterexample: fields.string("counterexample")?.unwrap_or_default(),
            name: fields.string("name")?.unwrap_or_else(|| keywords[0].clone()),
            keywords,
            id: id.as_str().into(),
        };
        fields.end()?;
        Ok(rule)
    }
}

/// The value of a rule that takes any.
const ANYTHING: &str = "(?s).*";

fn is_id(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

/// How long what stands in the place of a secret is, where a text begins with it.
pub(super) fn marker(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(MARKER.0.as_bytes())?;
    let name = rest.iter().take_while(|byte| is_id(**byte)).count();
    let ends = (1..=48).contains(&name) && rest[name..].starts_with(MARKER.1.as_bytes());
    ends.then_some(MARKER.0.len() + name + MARKER.1.len())
}

/// Whether a value already stands in the place of a secret, or of several side by side, filled up with blanks or not.
pub(super) fn is_marker(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(length) = marker(rest) {
        rest = &rest[length..];
    }
    rest.len() < value.len() && rest.iter().all(|byte| *byte == b' ')
}

/// The tables of an array of them, taken out.
fn tables(table: &mut Table, name: &str) -> Result<Vec<Table>> {
    let expected = || invalid(name, "expected tables, as in [[rule]]");
    match table.remove(name) {
        None => Ok(Vec::new()),
        Some(Toml::Array(items)) => {
            let tables = items.into_iter().map(|item| match item {
                Toml::Table(table) => Ok(table),
                _ => Err(expected()),
            });
            tables.collect()
        }
        Some(_) => Err(expected()),
    }
}

/// What a rule is made of, beside plain values.
impl Fields<'_> {
    fn shape(&mut self, room: &mut Room) -> Result<Shape> {
        let (pattern, value, block) = (self.string("pattern")?, self.string("value")?, self.string("block")?);
        match (pattern, value, block.as_deref()) {
            (Some(pattern), None, None) => self.form(&pattern, room).map(Shape::Pattern),
            (None, Some(value), None) => self.named(&value, room).map(Shape::Value),
            (None, None, Some("pem")) => Ok(Shape::Pem),
            (None, None, Some("address")) => Ok(Shape::Address),
            (None, None, Some("pair")) => Ok(Shape::Pair),
            (None, None, Some("cookies")) => Ok(Shape::Cookies),
            (None, None, Some(_)) => Err(self.invalid("block", "expected pem, address, pair or cookies")),
            _ => Err(self.invalid("pattern", "expected one of pattern, value and block")),
        }
    }

    fn form(&mut self, pattern: &str, room: &mut Room) -> Result<Form> {
        let pattern = Grouped::new(pattern, self.count("group")?);
        let lead_text = self.string("lead")?.unwrap_or_default();
        let lead = if lead_text.is_empty() { None } else { Some(self.class(&lead_text, room)?) };
        let boundary = match self.table.remove("boundary") {
            None | Some(Toml::Boolean(true)) => Boundary::Word,
            Some(Toml::Boolean(false)) => Boundary::None,
            Some(Toml::String(word)) if word == "lower" => Boundary::Lower,
            Some(_) => return Err(self.invalid("boundary", "expected true, false or \"lower\"")),
        };
        let again = self.string("again")?.map(|again| Pattern::new(format!(r"\A(?:{again})")));
        if let (true, Some(again)) = (room.checks(), &again) {
            room.take(again, &format!("{}: again", self.at))?;
            if again.regex().is_none_or(|regex| regex.captures_len() != 2 || regex.is_match(b"")) {
                return Err(self.invalid("again", "expected one group, and a pattern that does not match nothing"));
            }
        }
        if room.checks() {
            room.take(&pattern.whole, &format!("{}: pattern", self.at))?;
            if pattern.whole.regex().is_none_or(|regex| regex.captures_len() <= pattern.group) {
                return Err(self.invalid("group", "the pattern has no such group"));
            }
        }
        Ok(Form { pattern, lead, boundary, again, lead_text })
    }

    /// The bytes of a class of characters.
    fn class(&self, text: &str, room: &mut Room) -> Result<Box<[bool; 256]>> {
        let whole = Pattern::new(format!(r"\A{text}\z"));
        room.take(&whole, &format!("{}: lead", self.at))?;
        let mut class = Box::new([false; 256]);
        for (byte, entry) in (0..=u8::MAX).zip(class.iter_mut()) {
            *entry = whole.regex().is_some_and(|regex| regex.is_match(&[byte]));
        }
        Ok(class)
    }

    fn named(&mut self, value: &str, room: &mut Room) -> Result<Named> {
        let pattern = (value != ANYTHING).then(|| Pattern::new(format!(r"\A(?:{value})\z")));
        if let Some(pattern) = &pattern {
            room.take(pattern, &format!("{}: value", self.at))?;
        }
        let quotes = [
            ("either", Quotes::Either),
            ("double", Quotes::Double),
            ("single", Quotes::Single),
            ("none", Quotes::None),
        ];
        let bare = [
            ("none", Bare::None),
            ("plain", Bare::Plain),
            ("data", Bare::Data),
            ("word", Bare::Word),
            ("line", Bare::Line),
        ];
        Ok(Named {
            pattern,
            ends: self.bool("ends")?,
            quotes: self.word("quotes", &quotes, Quotes::Either)?,
            bare: self.word("bare", &bare, Bare::Plain)?,
            least: self.count("least")?,
            guarded: self.bool("guarded")?,
        })
    }
}
