//! The wire: rounds.v1, its generated code, and the only conversions between wire and domain.
