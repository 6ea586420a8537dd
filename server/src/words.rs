//! What the areas of a caller call things.

use crate::access;
use crate::error::Error;
use crate::limit::LIST_RECORDS_MAX;
use crate::shared::Shared;
use rounds_domain::language::Words;
use rounds_domain::{Body, Kind, Language};
use rounds_store::{Caller, Numbered, RecordFilter};

impl Shared {
    /// The terms that a caller may read, by area.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn terms(&self, caller: &Caller) -> Result<Vec<Numbered>, Error> {
        let areas = access::readable_areas(caller, Kind::Term);
        if areas.is_empty() {
            return Ok(Vec::new());
        }
        let mut filter = RecordFilter::of(Kind::Term, areas, LIST_RECORDS_MAX);
        let mut terms = Vec::new();
        loop {
            let found = self.store.records(&filter).await?;
            filter.after = found.last().map(|numbered| filter.place(numbered));
            let is_last = found.len() < LIST_RECORDS_MAX as usize;
            terms.extend(found);
            if is_last {
                return Ok(terms);
            }
        }
    }

    /// The same as words of a language.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn words(&self, caller: &Caller, language: Language) -> Result<Words, Error> {
        let terms = self.terms(caller).await?;
        let terms = terms.iter().filter_map(|numbered| match numbered.record.body() {
            Ok(Body::Term(term)) => Some(term),
            _ => None,
        });
        Ok(Words::new(language, terms))
    }
}
