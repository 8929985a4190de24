//! Characters that a person does not see, or takes for others.

/// Whether a person would not see this character, or not as what it is: controls, the code points that Unicode lets a
/// font ignore (Default_Ignorable_Code_Point), those that turn or annotate text, blanks that are no white space, and
/// white space other than the space itself.
pub const fn is_hidden(character: char) -> bool {
    is_control(character) || is_ignorable(character) || is_blank(character)
}

/// C0, DEL and C1; and what turns, separates or annotates text.
const fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{13430}'..='\u{13440}'
    )
}

/// Default_Ignorable_Code_Point of Unicode 16, DerivedCoreProperties.txt.
const fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Blank, or white space that looks like the space and is another character.
const fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' | '\u{3000}' | '\u{16fe4}' | '\u{1d159}'
    )
}

/// Whether a character looks like one that has a meaning in the name of a run or event: `/`, `:` and `@`.
pub(crate) const fn is_look_alike(character: char) -> bool {
    matches!(
        character,
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' // solidus
            | '\u{2236}' | '\u{a789}' | '\u{fe55}' | '\u{ff1a}' // colon
            | '\u{fe6b}' | '\u{ff20}' // commercial at
    )
}
