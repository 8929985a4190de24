//! The errors of input that a caller hands to the core.
//!
//! A failed check of a *ledger* is never an error: it is a finding, and data in a verdict. Errors are for input
//! that cannot be turned into a valid value. None of them carries a payload, so none can carry a secret.

use thiserror::Error;

/// Input that the core refuses; the caller must mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not JSON, or are over a limit.
    #[error("not valid JSON at byte {offset}: {problem}")]
    Json {
        /// The offset in the bytes.
        offset: usize,
        /// The problem there.
        problem: JsonProblem,
    },
    /// Text that is not an id, hash, reference or instant of the kind asked for.
    #[error("{text:?} is not {wanted}")]
    Id {
        /// The thing that was expected, with its form.
        wanted: &'static str,
        /// The text that was given, cut to a line.
        text: String,
    },
    /// An event that cannot be sealed.
    #[error("the event's {field} is not valid: {problem}")]
    Draft {
        /// The envelope's field.
        field: &'static str,
        /// The problem, and what is wanted.
        problem: String,
    },
    /// A stage graph that contradicts itself.
    #[error("the stage graph {graph:?} is not valid: {problem}")]
    Graph {
        /// The graph's id.
        graph: String,
        /// The problem, and what is wanted.
        problem: String,
    },
    /// A step that the stage graph does not allow.
    #[error("the stage graph {graph:?} has no step from {from} to {to}; from {from} a run may go to: {allowed}")]
    IllegalTransition {
        /// The graph's id.
        graph: String,
        /// The stage that the run is in.
        from: String,
        /// The stage asked for.
        to: String,
        /// The stages that may follow, or "none: it is terminal".
        allowed: String,
    },
    /// A stage that the graph does not know.
    #[error("the stage graph {graph:?} has no stage {stage}; it has: {known}")]
    UnknownStage {
        /// The graph's id.
        graph: String,
        /// The stage asked for.
        stage: String,
        /// The stages that there are.
        known: String,
    },
    /// A note, checkpoint, proof, key or witness policy that cannot be read.
    #[error("{what} is not valid: {problem}")]
    Text {
        /// The thing that was expected.
        what: &'static str,
        /// The problem with it; never a secret.
        problem: String,
    },
    /// A policy that cannot be used.
    #[error("the policy is not valid at {at}: {problem}")]
    Policy {
        /// The key, as a path.
        at: String,
        /// The problem, and what is wanted.
        problem: String,
    },
}

impl Error {
    pub(crate) fn id(wanted: &'static str, text: &str) -> Self {
        Self::Id { wanted, text: text.chars().take(120).collect() }
    }

    /// The same with each text of the caller's replaced by what this makes of it. Whoever knows what a secret looks like
    /// takes secrets out of an error in this way, before anybody prints it.
    #[must_use]
    pub fn map_texts(self, clean: &dyn Fn(&str) -> String) -> Self {
        match self {
            Self::Json { .. } => self,
            Self::Id { wanted, text } => Self::Id { wanted, text: clean(&text) },
            Self::Draft { field, problem } => Self::Draft { field, problem: clean(&problem) },
            Self::Graph { graph, problem } => Self::Graph { graph: clean(&graph), problem: clean(&problem) },
            Self::IllegalTransition { graph, from, to, allowed } => Self::IllegalTransition {
                graph: clean(&graph),
                from: clean(&from),
                to: clean(&to),
                allowed: clean(&allowed),
            },
            Self::UnknownStage { graph, stage, known } => {
                Self::UnknownStage { graph: clean(&graph), stage: clean(&stage), known: clean(&known) }
            }
            Self::Text { what, problem } => Self::Text { what, problem: clean(&problem) },
            Self::Policy { at, problem } => Self::Policy { at: clean(&at), problem: clean(&problem) },
        }
    }

    pub(crate) fn text(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Text { what, problem: problem.into() }
    }

    pub(crate) fn policy(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Policy { at: at.into(), problem: problem.into() }
    }
}

/// The problem at a place in JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text ends inside a value.
    #[error("the text ends too early")]
    End,
    /// No JSON value begins here.
    #[error("expected a value")]
    Value,
    /// An object's member does not begin with a string.
    #[error("expected a key in double quotes")]
    Key,
    /// Not the `,`, `:`, `]` or `}` that must stand here.
    #[error("expected a comma, a colon or a closing bracket")]
    Separator,
    /// A `\` with nothing valid after it.
    #[error("not a valid escape")]
    Escape,
    /// A raw control character in a string.
    #[error("a control character in a string must be escaped")]
    Control,
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Not a number of RFC 8259.
    #[error("not a valid number")]
    Number,
    /// NaN, an infinity, or a number too large for a binary64.
    #[error("NaN, infinities and numbers beyond a 64-bit float cannot be recorded")]
    NotFinite,
    /// Something after the value.
    #[error("something follows the value")]
    Trailing,
    /// More nested than allowed.
    #[error("nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An integer longer than allowed.
    #[error("an integer of {digits} digits is over the limit of 4300")]
    TooManyDigits {
        /// Its digits.
        digits: usize,
    },
    /// A key that no UTF-8 can hold.
    #[error("a key holds half of a surrogate pair")]
    SurrogateKey,
    /// JSON, but in neither of the two exact forms.
    #[error("neither the canonical form nor its spaced twin")]
    NotCanonical,
    /// JSON of another shape than wanted.
    #[error("expected {wanted}")]
    Shape {
        /// The shape.
        wanted: &'static str,
    },
}
