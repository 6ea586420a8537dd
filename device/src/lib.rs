//! The offline client that a field app embeds: local store, outbox, sync loop.
