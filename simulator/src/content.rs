//! What messages and replies say, and how many parts that takes.

use strum::IntoStaticStr;

use super::dice::Dice;

/// Why a message is sent: the `flow` of smsmode's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE", const_into_str)]
pub enum Flow {
    Otp,
    Transactional,
    Marketing,
}

impl Flow {
    pub fn draw(dice: &mut Dice) -> Self {
        dice.weighted(&[(Flow::Otp, 30.0), (Flow::Transactional, 40.0), (Flow::Marketing, 30.0)], |flow| flow.1).0
    }
}

/// The text of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub text: String,
    /// `GSM7` or `UNICODE`.
    pub encoding: &'static str,
    /// Characters: septets of the GSM alphabet, or UTF-16 code units.
    pub length: usize,
    pub parts: u32,
}

impl Content {
    fn new(text: String) -> Self {
        // The GSM alphabet (3GPP TS 23.038), as far as the texts below go: ASCII and these.
        let unicode = text.chars().any(|c| !c.is_ascii() && !"éèàùìòÉñöüÄÖÜäÇ€".contains(c));
        // The euro sign takes two septets.
        let length =
            if unicode { text.encode_utf16().count() } else { text.chars().count() + text.matches('€').count() };
        let (alone, joined) = if unicode { (70, 67) } else { (160, 153) };
        let parts = if length <= alone { 1 } else { length.div_ceil(joined) as u32 };
        Self { text, encoding: if unicode { "UNICODE" } else { "GSM7" }, length, parts }
    }

    /// A text of this flow.
    pub fn draw(flow: Flow, dice: &mut Dice) -> Self {
        let number = dice.below(1_000_000);
        Self::new(match flow {
            Flow::Otp => format!("{number:06} est votre code de vérification ACME. Il expire dans 5 minutes."),
            Flow::Transactional => match dice.below(4) {
                0 => format!("ACME: votre commande {number} est expédiée. Livraison prévue demain entre 9h et 12h."),
                1 => format!("Rappel: rendez-vous n° {number} demain à 14h30, 12 rue des Lilas. À bientôt."),
                2 => format!("ACME: your parcel {number} is ready for pick-up. Opening hours: 9 am to 7 pm."),
                _ => format!(
                    "ACME: votre facture {number} est disponible dans votre espace client. Pour toute question, notre service \
                     vous répond du lundi au vendredi de 9h à 18h. Merci de votre confiance et à très vite sur notre site."
                ),
            },
            Flow::Marketing => match dice.below(3) {
                0 => format!("Ventes privées ACME: -30% ce week-end avec le code VIP{number}. STOP au 36111"),
                1 => format!("🎁 ACME fête ses 20 ans ! Profitez de -20€ dès 80€ avec FETE{number}. STOP au 36111"),
                _ => format!(
                    "ACME: nouvelle collection, livraison offerte ce samedi. Retrouvez nos 120 magasins et vos avantages de \
                     fidélité dans l'application, code {number}. Offre valable une fois par client. STOP au 36111"
                ),
            },
        })
    }
}

/// The code that people answer to.
pub const SHORT_CODE: &str = "36111";

/// What people answer when they do not opt out. None of these texts can be a keyword.
const ANSWERS: &[&str] = &[
    "Merci, bien reçu.",
    "Oui, je confirme le rendez-vous de demain",
    "Pouvez-vous me rappeler après 18h ?",
    "Je n'ai rien commandé chez vous",
    "OK pour demain 👍",
    "C'est noté, merci beaucoup",
];

/// An answer that is no opt-out.
pub fn answer(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(ANSWERS)
}

/// Ways to write an opt-out keyword: as it is, in small letters with a stop, before the short code.
pub fn opt_out(keyword: &str, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => keyword.to_owned(),
        1 => format!("{}.", keyword.to_lowercase()),
        _ => format!("{keyword} {SHORT_CODE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_from_length_and_alphabet() {
        for (text, encoding, length, parts) in [
            ("a".repeat(160), "GSM7", 160, 1),
            ("a".repeat(161), "GSM7", 161, 2),
            ("é".repeat(306), "GSM7", 306, 2),
            ("€".repeat(80), "GSM7", 160, 1),
            ("🎁".repeat(35), "UNICODE", 70, 1),
            ("🎁".repeat(36), "UNICODE", 72, 2),
        ] {
            let content = Content::new(text);
            assert_eq!((content.encoding, content.length, content.parts), (encoding, length, parts));
        }
    }
}
