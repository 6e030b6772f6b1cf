//! Stop and start keywords: the words by which a person opts out, and in again.

/// The default keywords that opt out, as [`fold_keyword`] writes it: the words of the CTIA handbook and those that
/// European and Latin American operators ask for.
pub const DEFAULT_STOP_KEYWORDS: &[&str] = &[
    "STOP",
    "STOPALL",
    "STOP ALL",
    "STOPSMS",
    "STOP SMS",
    "UNSUBSCRIBE",
    "END",
    "QUIT",
    "CANCEL",
    "OPTOUT",
    "OPT OUT",
    "REVOKE",
    // French
    "ARRET",
    "ARRETER",
    "DESABONNEMENT",
    "DESABONNER",
    "DESINSCRIPTION",
    "DESINSCRIRE",
    // Spanish, Portuguese, Italian
    "BAJA",
    "ALTO",
    "CANCELAR",
    "PARAR",
    "SAIR",
    "CANCELLA",
    "DISISCRIVI",
    // German, Dutch, Nordic
    "STOPP",
    "ABMELDEN",
    "ABBESTELLEN",
    "AFMELDEN",
];

/// The default keywords that opt in again.
pub const DEFAULT_START_KEYWORDS: &[&str] = &[
    "START",
    "UNSTOP",
    "RESUME",
    "SUBSCRIBE",
    "OPTIN",
    "OPT IN",
    // French
    "REPRENDRE",
    "REABONNER",
    "REABONNEMENT",
    // Spanish, Portuguese, Italian
    "ALTA",
    "RETOMAR",
    "RIPRENDI",
    // German, Dutch
    "ANMELDEN",
    "AANMELDEN",
];

/// Bytes of a keyword, at most. A longer text is not worth folding.
const MAX_KEYWORD_LENGTH: usize = 256;

/// Upper case without accents and punctuation, one space between words: ` Arrêt !` is `ARRET`, `S.T.O.P` is `STOP`.
pub fn fold_keyword(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = !folded.is_empty();
        } else if c.is_alphanumeric() {
            if std::mem::take(&mut space) {
                folded.push(' ');
            }
            match without_accent(c) {
                "" => folded.extend(c.to_uppercase()),
                plain => folded.push_str(plain),
            }
        }
    }
    folded
}

/// Is the whole text one of `keywords`, or a keyword and then digits only (the short code, as in `STOP 36111`)? `keywords` are
/// as [`fold_keyword`] writes them.
pub fn is_keyword(text: &str, keywords: &[String]) -> bool {
    if text.len() > MAX_KEYWORD_LENGTH {
        return false;
    }
    let folded = fold_keyword(text);
    keywords.iter().filter(|keyword| !keyword.is_empty()).any(|keyword| {
        folded.strip_prefix(keyword.as_str()).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b' '))
    })
}

/// Latin letters with accents, of Latin-1 and Latin Extended-A, in upper case; empty for all others.
fn without_accent(c: char) -> &'static str {
    match c {
        'À'..='Å' | 'à'..='å' | 'Ā'..='ą' => "A",
        'Æ' | 'æ' => "AE",
        'Ç' | 'ç' | 'Ć'..='č' => "C",
        'Ð' | 'ð' | 'Ď'..='đ' => "D",
        'È'..='Ë' | 'è'..='ë' | 'Ē'..='ě' => "E",
        'Ĝ'..='ģ' => "G",
        'Ĥ'..='ħ' => "H",
        'Ì'..='Ï' | 'ì'..='ï' | 'Ĩ'..='ı' => "I",
        'Ĵ' | 'ĵ' => "J",
        'Ķ' | 'ķ' => "K",
        'Ĺ'..='ł' => "L",
        'Ñ' | 'ñ' | 'Ń'..='ň' => "N",
        'Ò'..='Ö' | 'Ø' | 'ò'..='ö' | 'ø' | 'Ō'..='ő' => "O",
        'Œ' | 'œ' => "OE",
        'Ŕ'..='ř' => "R",
        'Ś'..='š' | 'Ș' | 'ș' => "S",
        'ß' | 'ẞ' => "SS",
        'Ţ'..='ŧ' | 'Ț' | 'ț' => "T",
        'Ù'..='Ü' | 'ù'..='ü' | 'Ũ'..='ų' => "U",
        'Ŵ' | 'ŵ' => "W",
        'Ý' | 'ý' | 'ÿ' | 'Ŷ'..='Ÿ' => "Y",
        'Ź'..='ž' => "Z",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_drops_case_accents_and_punctuation() {
        for (text, folded) in [
            ("stop", "STOP"),
            (" Arrêt ! ", "ARRET"),
            ("S.T.O.P", "STOP"),
            ("Désabonnement", "DESABONNEMENT"),
            ("De\u{301}sinscription", "DESINSCRIPTION"),
            ("stop\t\n sms", "STOP SMS"),
            ("Straße œuvre Łódź İstanbul", "STRASSE OEUVRE LODZ ISTANBUL"),
            ("стоп", "СТОП"),
            ("!?…", ""),
            ("", ""),
        ] {
            assert_eq!(fold_keyword(text), folded, "{text}");
        }
    }

    #[test]
    fn a_stop_is_a_keyword_alone_or_with_a_short_code() {
        let keywords: Vec<String> = DEFAULT_STOP_KEYWORDS.iter().map(|k| k.to_string()).collect();
        for stop in ["STOP", "stop.", "Stop 36111", "STOP36111", "«Arrêt»", "opt-out"] {
            assert!(is_keyword(stop, &keywords), "{stop}");
        }
        let long = "STOP".to_owned() + &" ".repeat(300);
        for reply in ["", "stopper", "stop merci", "non stop", "36111", "ne pas stop", &long] {
            assert!(!is_keyword(reply, &keywords), "{reply}");
        }
        assert!(!is_keyword("", &[String::new()]));
        assert!(!is_keyword("123", &[String::new()]));
    }

    #[test]
    fn the_default_keywords_are_written_as_folding_writes_them() {
        for keyword in DEFAULT_STOP_KEYWORDS.iter().chain(DEFAULT_START_KEYWORDS) {
            assert_eq!(fold_keyword(keyword), *keyword);
            assert!(
                !(DEFAULT_STOP_KEYWORDS.contains(keyword) && DEFAULT_START_KEYWORDS.contains(keyword)),
                "{keyword}"
            );
        }
    }
}
