//! Automata that are made state by state as a text needs them, and that say how far they looked.

use super::work;
use regex_automata::hybrid::dfa::{Builder, Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;
use std::fmt;

type Make = Box<dyn Fn() -> Cache + Send + Sync>;

/// An expression for what begins a text.
pub(super) struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, Make>,
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Automaton")
    }
}

impl Automaton {
    /// Of an expression over bytes; `None` for one that does not compile within so many bytes.
    pub(super) fn of(text: &str, limit: usize) -> Option<Self> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let hir = syntax::parse_with(text, &syntax).ok()?;
        Self::of_hir(&hir, limit)
    }

    pub(super) fn of_hir(hir: &Hir, limit: usize) -> Option<Self> {
        let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(limit));
        // Where the groups are, no automaton says.
        let config = config.which_captures(thompson::WhichCaptures::None);
        Self::of_nfa(thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?)
    }

    fn of_nfa(nfa: NFA) -> Option<Self> {
        let config = Config::new().skip_cache_capacity_check(true);
        let dfa = Builder::new().configure(config).build_from_nfa(nfa).ok()?;
        let own = dfa.clone();
        let make: Make = Box::new(move || own.create_cache());
        Some(Self { dfa, caches: Pool::new(make) })
    }

    /// Where the match ends that begins with the text.
    pub(super) fn end(&self, text: &[u8]) -> Option<usize> {
        let cache = &mut *self.caches.get();
        let mut state = self.dfa.start_state_forward(cache, &Input::new(text).anchored(Anchored::Yes)).ok()?;
        let mut end = None;
        for (at, byte) in text.iter().enumerate() {
            state = self.dfa.next_state(cache, state, *byte).ok()?;
            if state.is_match() {
                // It is known one byte late.
                end = Some(at);
            } else if state.is_tagged() && (state.is_dead() || state.is_quit()) {
                work::looked(at + 1);
                return end;
            }
        }
        work::looked(text.len());
        let last = self.dfa.next_eoi_state(cache, state).ok()?;
        if last.is_match() { Some(text.len()) } else { end }
    }
}
