//! Jobs on apalis: what happened becomes follow-ups.
