//! Texts that name columns: `{house_number} {street_name}`.

use super::Setup;

/// A text with columns in it, by their places in the row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Column(usize),
}

impl Template {
    /// A text that is what one column says.
    pub(super) fn column(at: usize) -> Self {
        Self(vec![Part::Column(at)])
    }

    /// Reads a text; `{{` and `}}` stand for the braces themselves.
    pub(super) fn parse(text: &str, header: &[String]) -> Result<Self, Setup> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(char) = rest.next() {
            match char {
                '{' | '}' if rest.peek() == Some(&char) => {
                    rest.next();
                    plain.push(char);
                }
                '{' => {
                    let name: String = rest.by_ref().take_while(|char| *char != '}').collect();
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Column(place_of(&name, header)?));
                }
                _ => plain.push(char),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The columns that it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter_map(|part| match part {
            Part::Column(at) => Some(*at),
            Part::Text(_) => None,
        })
    }

    /// The text for a row, without the gaps that empty columns leave. Empty if all of its columns are: what is
    /// around them says nothing then.
    pub(super) fn fill(&self, row: &[String]) -> String {
        let column = |at: usize| row.get(at).map_or("", |value| value.trim());
        if let [Part::Column(at)] = self.0[..] {
            return column(at).to_owned();
        }
        if self.columns().next().is_some() && self.columns().all(|at| column(at).is_empty()) {
            return String::new();
        }
        let text: String = self
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Column(at) => column(*at),
            })
            .collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Where a column is.
///
/// # Errors
/// The file has no such column.
pub(super) fn place_of(name: &str, header: &[String]) -> Result<usize, Setup> {
    let name = name.trim();
    let mut found = header.iter().enumerate().filter(|(_, column)| *column == name).map(|(at, _)| at);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(Setup::ColumnTwice(name.to_owned())),
        (None, _) => Err(Setup::NoColumn { name: name.to_owned(), header: header.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_template_fills_its_columns_and_closes_the_gaps_of_empty_ones() {
        let header = strings(&["number", "street", "city"]);
        let template = Template::parse("{number} {street}, {city}", &header).unwrap();
        assert_eq!(template.fill(&strings(&["1614", " BROADWAY ", "New York"])), "1614 BROADWAY, New York");
        assert_eq!(template.fill(&strings(&["", "BROADWAY", "New York"])), "BROADWAY, New York");
        assert_eq!(template.fill(&strings(&["", " ", ""])), "");
        assert_eq!(Template::parse("{{{number}}}", &header).unwrap().fill(&strings(&["7"])), "{7}");
        assert_eq!(Template::parse("elevator", &header).unwrap().fill(&strings(&["7"])), "elevator");
    }

    #[test]
    fn a_template_with_an_unknown_column_is_refused_with_the_columns_that_there_are() {
        let error = Template::parse("{nr}", &strings(&["number", "street"])).unwrap_err().to_string();
        assert!(error.contains("nr") && error.contains("number, street"), "{error}");
    }
}
