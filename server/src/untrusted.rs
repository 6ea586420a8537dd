//! What comes back from strangers beside messages, read as the edge reads it: for programs that try whether anything can
//! harm it.

use crate::cursor::Cursor;
use crate::page;
use crate::secret::{code_hash, token_hash};
use rounds_domain::AreaId;
use rounds_store::{Access, ScopedArea};
use uuid::Uuid;

/// Reads a cursor, works out what there would be to send, and writes the next one. False: it is none.
pub fn cursor(bytes: &[u8], epoch: Uuid) -> bool {
    let Ok(cursor) = Cursor::read(bytes, epoch) else { return false };
    let scope = [ScopedArea { area: AreaId(epoch), access: Access::Full, head: 9 }];
    let plan = cursor.plan(&scope);
    let mut next = cursor.after(&scope, &plan.wanted);
    next.safe_to_forget(7, i64::MAX, 1);
    Cursor::read(&next.write(epoch), epoch).is_ok()
}

/// Reads the token of a page of any list. False: it is none of any.
pub fn page_token(token: &str) -> bool {
    let is_list = page::after_device(token).is_ok() || page::after_op(token).is_ok();
    is_list || page::after_record(token).is_ok() || page::after_day(token).is_ok()
}

/// Reads how many entries a page should have.
pub fn page_size(asked: i32) -> bool {
    page::size(asked, crate::limit::LIST_MAX).is_ok()
}

/// Hashes a one-time code and a token as somebody typed them.
pub fn secrets(text: &str) -> ([u8; 32], [u8; 32]) {
    (code_hash(text), token_hash(text))
}
