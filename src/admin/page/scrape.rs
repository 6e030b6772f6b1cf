//! Reads back the Prometheus text of the process: its metrics can be rendered, and in no other way read.

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    labels: Vec<(String, String)>,
    pub value: f64,
}

impl Series {
    /// The value of a label; empty when there is none, which is what Prometheus makes of it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The series of `metric` in `text`. A line that cannot be read is left out.
pub fn series<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = Series> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric).filter(|rest| rest.starts_with(['{', ' ']))?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(inside) => labels(inside)?,
            None => (Vec::new(), rest),
        };
        Some(Series { labels, value: value.trim().parse().ok()? })
    })
}

/// `a="b",c="d"}` and what stands behind it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = quoted_text(quoted)?;
        labels.push((name.to_owned(), value));
        rest = behind;
    }
}

/// Up to the closing quote, unescaped, and what stands behind that.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_their_labels_and_no_other_metrics() {
        let text = "# TYPE a_total counter\n\
                    a_total{source=\"x\",result=\"say \\\"hi\\\", {\\\\} a=\\\"b\\\"\\n\"} 3\n\
                    a_total 1743523210.5\n\
                    a_total_of_b 7\n\
                    a_total{broken 1\n\
                    a_total{source=\"y} 1\n\
                    b 2\n";
        let found: Vec<Series> = series(text, "a_total").collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].label("source"), found[0].value), ("x", 3.0));
        assert_eq!(found[0].label("result"), "say \"hi\", {\\} a=\"b\"\n");
        assert_eq!((found[1].label("source"), found[1].value), ("", 1_743_523_210.5));
    }
}
