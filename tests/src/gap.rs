//! Many writers that dawdle in the middle of their commits, beside readers that poll: does any reader miss anything?

use crate::writer::Writer;
use crate::{Act, TestDatabase, new_id, visit};
use rounds_domain::{AreaId, RecordId};
use rounds_store::{Access, FeedItem, Position, Store};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Servers on the same database, each of which has [`WRITERS_PER_SERVER`] commits under way.
const SERVERS: usize = 16;
/// As many as commits of one process go on at the same time on PostgreSQL.
const WRITERS_PER_SERVER: usize = 4;
const AREAS: usize = 8;
const READERS: usize = 4;
/// Ops in a commit of one writer.
const OPS: usize = 40;
/// Most areas that a commit writes into.
const AREAS_MAX: usize = 2;

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gaps {
    /// Commits under way at a time.
    pub writers: usize,
    /// Rows that were written.
    pub rows: usize,
    /// Pages that readers took, all together.
    pub pages: usize,
    /// Rows behind a reader's cursor that it never got, over all readers.
    pub missed: usize,
    /// Cursors that went back.
    pub backwards: usize,
}

/// Writes at least so many rows on PostgreSQL.
///
/// # Panics
/// When the database does not answer.
pub async fn write_beside_readers(database: &TestDatabase, rows: usize) -> Gaps {
    let mut stores = Vec::with_capacity(SERVERS);
    for _ in 0..SERVERS {
        stores.push(database.open().await);
    }
    let gardener = Writer::enrol(&stores[0]).await;
    let mut areas = Vec::with_capacity(AREAS);
    for _ in 0..AREAS {
        areas.push(gardener.area(&stores[0]).await);
    }
    dawdle(database).await;
    let (wanted, writing) = (Arc::new(AtomicUsize::new(rows)), Arc::new(AtomicBool::new(true)));
    let mut readers = Vec::with_capacity(READERS);
    for (number, store) in stores.iter().take(READERS).enumerate() {
        let reader = Reader::of(&areas);
        readers.push(tokio::spawn(reader.poll(store.clone(), 1 + 100 * number as u32, writing.clone())));
    }
    let mut writers = Vec::with_capacity(SERVERS * WRITERS_PER_SERVER);
    for store in &stores {
        for _ in 0..WRITERS_PER_SERVER {
            writers.push(tokio::spawn(write(store.clone(), areas.clone(), wanted.clone())));
        }
    }
    let mut written = HashSet::new();
    for writer in writers {
        written.extend(writer.await.expect("a writer that went on to its end"));
    }
    writing.store(false, Ordering::SeqCst);
    let mut gaps = Gaps {
        writers: SERVERS * WRITERS_PER_SERVER,
        rows: written.len(),
        pages: 0,
        missed: 0,
        backwards: 0,
    };
    for reader in readers {
        let reader = reader.await.expect("a reader that went on to its end");
        gaps.pages += reader.pages;
        gaps.backwards += reader.backwards;
        gaps.missed += written.difference(&reader.seen).count();
    }
    for store in stores {
        store.close().await;
    }
    gaps
}

/// Commits take their time, by chance, while they hold their areas: before and after the numbers are given.
async fn dawdle(database: &TestDatabase) {
    let sql = "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM pg_sleep(random() * 0.003); RETURN NULL; END $$;
               CREATE TRIGGER dawdle BEFORE INSERT ON ops FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
               CREATE TRIGGER dawdle BEFORE UPDATE ON areas FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
               CREATE TRIGGER dawdle AFTER UPDATE ON devices FOR EACH STATEMENT EXECUTE FUNCTION dawdle();";
    database.execute(sql).await.expect("triggers");
}

/// Small numbers by chance.
fn below(limit: usize) -> usize {
    (new_id().as_u128() as u64 % limit as u64) as usize
}

/// Commits until all that is wanted was written. Answers what this one wrote.
async fn write(store: Store, areas: Vec<AreaId>, wanted: Arc<AtomicUsize>) -> Vec<RecordId> {
    let writer = Writer::enrol(&store).await;
    let mut written = Vec::new();
    let less = |left: usize| left.checked_sub(OPS.min(left)).filter(|_| left > 0);
    while wanted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
        let some: Vec<AreaId> = (0..=below(AREAS_MAX)).map(|_| areas[below(AREAS)]).collect();
        let acts: Vec<Act> =
            some.iter().cycle().take(OPS).map(|area| visit(*area, RecordId(new_id()))).collect();
        written.extend(acts.iter().map(Act::record));
        writer.commit(&store, acts).await;
    }
    written
}

struct Reader {
    positions: Vec<Position>,
    seen: HashSet<RecordId>,
    pages: usize,
    backwards: usize,
}

impl Reader {
    fn of(areas: &[AreaId]) -> Self {
        let position = |area: &AreaId| Position { area: *area, access: Access::Full, after: 0 };
        Self { positions: areas.iter().map(position).collect(), seen: HashSet::new(), pages: 0, backwards: 0 }
    }

    /// Polls while somebody writes, and then to the end.
    async fn poll(mut self, store: Store, limit: u32, writing: Arc<AtomicBool>) -> Self {
        loop {
            let is_last = !writing.load(Ordering::SeqCst);
            while self.page(&store, limit).await {}
            if is_last {
                return self;
            }
        }
    }

    async fn page(&mut self, store: &Store, limit: u32) -> bool {
        let page = store.pull(&self.positions, limit).await.expect("a page");
        let pairs = self.positions.iter().zip(&page.positions);
        self.backwards += pairs.filter(|(before, now)| now.after < before.after).count();
        self.seen.extend(page.items.iter().filter_map(|item| match item {
            FeedItem::Record(numbered) => Some(numbered.record.id),
            FeedItem::Departure { .. } => None,
        }));
        self.positions = page.positions;
        self.pages += 1;
        page.more
    }
}
