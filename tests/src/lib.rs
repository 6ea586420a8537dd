//! Tests of the whole: real server, worker and devices on both databases.
