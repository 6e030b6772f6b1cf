//! Two programs beside each other, in turns within one run: what a change has brought.

use crate::everyday::{self, Figure};
use crate::server::{Program, Server};
use crate::{Result, median, range};

/// One line per figure: `a`, `b`, and the median of the rounds' ratios of `b` to `a` with its spread.
pub async fn compare(a: &str, b: &str, rounds: usize) -> Result<String> {
    let mut programs = [Program::new(a), Program::new(b)];
    let collector = Server::bare("")?;
    let mut measured: Vec<Vec<Figure>> = Vec::new();
    for round in 0..rounds {
        // Neither is always the one that finds the machine as the other has left it.
        let mut figures = everyday::round(&programs, &collector).await?;
        if round % 2 == 1 {
            figures.iter_mut().for_each(|figure| figure.values.reverse());
        }
        programs.reverse();
        measured.push(figures);
        eprintln!("round {} of {rounds}", round + 1);
    }
    let mut table = format!("{:<50}{:>10}{:>10}{:>9}\n", "", "A", "B", "B/A");
    for (at, figure) in measured[0].iter().enumerate() {
        let values = |of: usize| measured.iter().map(|round| round[at].values[of]).collect::<Vec<f64>>();
        let (a, b) = (values(0), values(1));
        let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b / a).collect();
        let (low, high) = range(&ratios);
        let (what, a, b, ratio) = (&figure.what, median(&a), median(&b), median(&ratios));
        table.push_str(&format!("{what:<50}{a:>10.1}{b:>10.1}{ratio:>9.2}  ({low:.2} to {high:.2})\n"));
    }
    Ok(table)
}
