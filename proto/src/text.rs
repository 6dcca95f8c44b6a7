//! What others wrote and people will read: the one rule of what may reach a terminal, a log or a table.

/// Commands a terminal, ends a line, or changes the order in which a line is read (Unicode's bidirectional
/// marks, embeddings and isolates: a name could show as another one).
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line that can be shown: each such character is a space.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

/// `1 object`, `12,345 objects`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// 12,345
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let said = [0, 1, 2, 999, 1000, 1_234_567].map(|number| counted(number, "object"));
        let wanted =
            ["0 objects", "1 object", "2 objects", "999 objects", "1,000 objects", "1,234,567 objects"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn nothing_commands_a_terminal_or_turns_a_line_around() {
        for c in "\0\n\r\t\u{1b}\u{7f}\u{9b}\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}".chars() {
            assert!(is_hostile(c), "{c:?}");
        }
        let fine = "Grüße, 数据, مرحبا, 😀, a\u{a0}b %=\"'";
        assert_eq!(one_line(fine), fine);
    }
}
