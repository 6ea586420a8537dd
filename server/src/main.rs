//! The rounds command.

fn main() {}
