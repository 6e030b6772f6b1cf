//! Two programs beside each other, in turns within one run: what a change has brought.

use crate::everyday::{self, Figure};
use crate::server::{Program, Server};
use crate::{Result, median, range};

/// One line per figure: `a`, `b`, and the median of the rounds' ratios of `b` to `a` with its spread.
pub async fn compare(a: &str, b: &str, rounds: usize) -> Result<String> {
    let (a, b) = (Program::new(a), Program::new(b));
    let collector = Server::bare("")?;
    let mut measured: Vec<[Vec<Figure>; 2]> = Vec::new();
    for round in 0..rounds {
        // Neither is always the one that runs on a machine that the other has warmed.
        let (of_a, of_b);
        if round % 2 == 0 {
            of_a = everyday::round(&a, &collector).await?;
            of_b = everyday::round(&b, &collector).await?;
        } else {
            of_b = everyday::round(&b, &collector).await?;
            of_a = everyday::round(&a, &collector).await?;
        }
        measured.push([of_a, of_b]);
        eprintln!("round {} of {rounds}", round + 1);
    }
    let mut table = format!("{:<50}{:>10}{:>10}{:>9}\n", "", "A", "B", "B/A");
    for (at, (what, _)) in measured[0][0].iter().enumerate() {
        let values = |of: usize| measured.iter().map(|round| round[of][at].1).collect::<Vec<f64>>();
        let (a, b) = (values(0), values(1));
        let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b / a).collect();
        let (low, high) = range(&ratios);
        let (a, b, ratio) = (median(&a), median(&b), median(&ratios));
        table.push_str(&format!("{what:<50}{a:>10.1}{b:>10.1}{ratio:>9.2}  ({low:.2} to {high:.2})\n"));
    }
    Ok(table)
}
