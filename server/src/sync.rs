//! `SyncService`: ops in, records out.

use crate::access::{self, Inspector};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::limit::{
    CONTACT_INTERVAL_MS, FEED_RECORDS_DEFAULT, FEED_RECORDS_MAX, REVOKED_BYTES_MAX, UNSENT_OPS_MAX,
};
use crate::share::Taken;
use crate::shared::Shared;
use prost::Message as _;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::verdict::Reason;
use rounds_domain::{DeviceId, Outcome, Refusal, Verdict};
use rounds_proto::v1::sync_service_server::SyncService;
use rounds_proto::{clock_from_wire, decode_op, record_to_wire, v1, verdict_to_wire};
use rounds_store::{Arrival, Batch, Caller, Contact, Content, Device, FeedItem, Page, Receipt, content_hash};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct Sync(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl SyncService for Sync {
    async fn sync(&self, request: Request<v1::SyncRequest>) -> Result<Response<v1::SyncResponse>, Status> {
        let token = access::token(request.metadata())?;
        Ok(Response::new(self.0.sync(token, request.into_inner()).await?))
    }

    type WatchStream = crate::watch::WatchStream;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let token = access::token(request.metadata())?;
        Ok(Response::new(crate::watch::start(self.0.clone(), token).await?))
    }
}

/// Whether this device keeps a store of its own that is kept in step.
///
/// # Errors
/// `FORBIDDEN` for partners, who see single requests and not whole areas.
pub(crate) fn may_sync(caller: &Caller) -> Result<(), Error> {
    access::not_partner(caller, "sync: use DirectoryService")
}

impl Shared {
    async fn sync(&self, token: [u8; 32], request: v1::SyncRequest) -> Result<v1::SyncResponse, Error> {
        let mut call = self.receive(token, request).await?;
        let receipt = match call.batch.take() {
            Some(batch) => Some(self.store.submit(batch).await?),
            None => None,
        };
        self.answer(call, receipt).await
    }

    /// Looks at what a device asks for and brings, and changes nothing.
    pub(crate) async fn receive(&self, token: [u8; 32], request: v1::SyncRequest) -> Result<Call, Error> {
        let bytes = request.encoded_len();
        self.charge_bytes(token, bytes);
        let room = self.room(token, bytes)?;
        let caller = access::identify(&self.store, token).await?;
        may_sync(&caller)?;
        let now_ms = self.clock.now_ms();
        let cursor = Cursor::read(&request.cursor, self.store.epoch())?;
        // Of a device that does not know of the restore yet, ops are put off: what it takes for acknowledged may be
        // gone, and its number another's.
        let batch = match request.ops.is_empty() || cursor.is_stale() {
            true => None,
            false => Some(self.batch(&caller, &request, now_ms).await?),
        };
        Ok(Call { token, request, caller, now_ms, cursor, batch, _room: room })
    }

    /// What the device is told, once what it brought is committed.
    pub(crate) async fn answer(
        &self,
        call: Call,
        receipt: Option<Receipt>,
    ) -> Result<v1::SyncResponse, Error> {
        let Call { token, request, mut caller, now_ms, cursor, .. } = call;
        if receipt.is_some() {
            // The heads moved, and an op may have made an area.
            caller = access::identify(&self.store, token).await?;
        }
        let receipt = receipt.unwrap_or_else(|| Receipt {
            verdicts: request.ops.iter().map(|sealed| (sealed.seq, put_off())).collect(),
            acknowledged_through: caller.device.acknowledged_through,
            ..Receipt::default()
        });
        self.note_contact(&caller, &request, &receipt, now_ms);
        let pulled = match caller.device.revoked_ms {
            Some(_) => Pulled::default(),
            None => self.pull(&caller, cursor, &request, &receipt, now_ms).await?,
        };
        Ok(v1::SyncResponse {
            verdicts: receipt.verdicts.iter().map(|(seq, verdict)| verdict_to_wire(*seq, verdict)).collect(),
            acknowledged_through: receipt.acknowledged_through,
            safe_to_forget_through: pulled.safe_to_forget_through,
            feed: pulled.feed,
            cursor: pulled.cursor,
            more: pulled.more,
            scope_version: caller.device.scope_version,
            standing: standing(&caller, &receipt).into(),
            forked_at_seq: receipt.forked_at.unwrap_or_default(),
            server_time_ms: now_ms,
            epoch: self.store.epoch().to_string(),
        })
    }

    /// Notes that the device called, and how many ops it still holds after this call, where that is news.
    fn note_contact(&self, caller: &Caller, request: &v1::SyncRequest, receipt: &Receipt, now_ms: i64) {
        let settled =
            receipt.verdicts.iter().filter(|(_, verdict)| verdict.outcome != Outcome::Retry).count();
        let unsent_ops = request.unsent_ops.min(UNSENT_OPS_MAX).saturating_sub(settled as u64);
        let Device { id, seen_ms, unsent_ops: known, .. } = caller.device;
        if now_ms.saturating_sub(seen_ms).abs() >= CONTACT_INTERVAL_MS || unsent_ops != known {
            self.store.note_contact(Contact { device: id, seen_ms: now_ms, unsent_ops });
        }
    }

    /// The ops of a call, each admitted or with the reason why it goes to quarantine.
    ///
    /// # Errors
    /// `DEVICE_REVOKED` for more ops of a device that was revoked, once [`REVOKED_BYTES_MAX`] of it wait in quarantine.
    /// It keeps what was not taken in: once a coordinator has released or dismissed what waits, it is taken in after all.
    async fn batch(&self, caller: &Caller, request: &v1::SyncRequest, now_ms: i64) -> Result<Batch, Error> {
        check_envelopes(&request.ops)?;
        let revoked = caller.device.revoked_ms.is_some();
        let brings_more = request.ops.iter().any(|sealed| sealed.seq > caller.device.acknowledged_through);
        if revoked
            && brings_more
            && self.store.quarantined_bytes(caller.device.id).await? >= REVOKED_BYTES_MAX
        {
            return Err(Error::DeviceRevoked);
        }
        let mut inspector = Inspector::of_recorded(&self.store, caller);
        let mut arrivals = Vec::with_capacity(request.ops.len());
        for sealed in &request.ops {
            let content = match decode_op(&sealed.op) {
                Err(refusal) if is_injected(Bug::PoisonBlocks) => return Err(refusal.into()),
                Err(refusal) => refused(refusal, sealed, None),
                Ok(op) if revoked => {
                    let detail = "the device was revoked before this arrived";
                    refused(Refusal::new(Reason::DeviceRevoked, detail), sealed, Some(op))
                }
                Ok(op) => match inspector.look(&op).await? {
                    Some(refusal) => refused(refusal, sealed, Some(op)),
                    None => Content::Admitted(op),
                },
            };
            arrivals.push(Arrival {
                seq: Some(sealed.seq),
                followed_by: sealed.followed_by,
                hash: content_hash(sealed.followed_by, &sealed.op),
                content,
            });
        }
        Ok(Batch {
            device: caller.device.id,
            arrivals,
            clock: clock_from_wire(request.clock.unwrap_or_default()),
            received_ms: now_ms,
            holds_from: request.holds_from,
            settled: None,
        })
    }

    async fn pull(
        &self,
        caller: &Caller,
        cursor: Cursor,
        request: &v1::SyncRequest,
        receipt: &Receipt,
        now_ms: i64,
    ) -> Result<Pulled, Error> {
        if cursor.is_ahead(&caller.scope) {
            let device = caller.device.id;
            tracing::error!(%device, "the database was set back: stop all servers, run `rounds restored`, start again");
        }
        let plan = cursor.plan(&caller.scope);
        let limit = match request.page_records_max {
            0 => FEED_RECORDS_DEFAULT,
            wanted => wanted.min(FEED_RECORDS_MAX),
        };
        let page = match plan.wanted.is_empty() {
            true => Page { items: Vec::new(), positions: Vec::new(), more: false },
            false => self.store.pull(&plan.wanted, limit).await?,
        };
        let left =
            plan.left.into_iter().map(|area| Ok(item(v1::feed_item::Item::LeftArea(area.to_string()))));
        let items = page.items.iter().filter(|item| !is_unsent_by_a_bug(item));
        let feed = left.chain(items.map(feed_item_to_wire)).collect::<Result<Vec<_>, Error>>()?;
        let mut next = cursor.after(&caller.scope, &page.positions);
        let kept_ms = i64::try_from(self.acknowledged_kept.as_millis()).unwrap_or(i64::MAX);
        let safe_to_forget_through = next.safe_to_forget(receipt.acknowledged_through, now_ms, kept_ms);
        // What left an area may have come to another one after it was seen that nothing is new there: ask again.
        let is_departure = |item: &FeedItem| matches!(item, FeedItem::Departure { .. });
        let unread = plan.wanted.len() < caller.scope.len();
        let more = page.more || (unread && page.items.iter().any(is_departure));
        Ok(Pulled { feed, cursor: next.write(self.store.epoch()), more, safe_to_forget_through })
    }
}

/// A call that was looked at.
pub(crate) struct Call {
    token: [u8; 32],
    request: v1::SyncRequest,
    caller: Caller,
    now_ms: i64,
    cursor: Cursor,
    /// What it brings, to be committed before it is answered.
    pub(crate) batch: Option<Batch>,
    _room: Taken<[u8; 32]>,
}

impl Call {
    /// Who calls.
    pub(crate) fn device(&self) -> DeviceId {
        self.caller.device.id
    }
}

/// [`Bug::TombstoneUnsent`].
fn is_unsent_by_a_bug(item: &FeedItem) -> bool {
    is_injected(Bug::TombstoneUnsent)
        && matches!(item, FeedItem::Record(numbered) if numbered.record.deleted.is_some())
}

/// What a call answers of the feeds. A revoked device gets nothing.
#[derive(Default)]
struct Pulled {
    feed: Vec<v1::FeedItem>,
    cursor: Vec<u8>,
    more: bool,
    safe_to_forget_through: u64,
}

/// The verdict on ops of a device that does not know yet that the server was restored.
fn put_off() -> Verdict {
    let detail = "the server was restored from a backup: send again all that you hold";
    Verdict::because(Outcome::Retry, Refusal::new(Reason::Behind, detail))
}

/// The envelopes are the client's own making: a fault in them is answered, not kept.
fn check_envelopes(ops: &[v1::SealedOp]) -> Result<(), Error> {
    if ops.len() > BATCH_OPS_MAX {
        return Err(Error::BatchTooLarge(ops.len()));
    }
    if ops.first().is_some_and(|first| first.seq == 0) {
        return Err(Error::invalid("ops[0].seq", "the first op of a device is number 1"));
    }
    let gap = ops.windows(2).position(|pair| pair[0].seq.checked_add(1) != Some(pair[1].seq));
    match gap {
        Some(at) => {
            let what = "must follow the number before it: send ops in their order, without gaps";
            Err(Error::invalid(&format!("ops[{}].seq", at + 1), what))
        }
        None => Ok(()),
    }
}

fn refused(refusal: Refusal, sealed: &v1::SealedOp, op: Option<rounds_domain::Op>) -> Content {
    Content::Refused { refusal, raw: sealed.op.to_vec(), op }
}

fn standing(caller: &Caller, receipt: &Receipt) -> v1::DeviceStanding {
    if caller.device.revoked_ms.is_some() {
        v1::DeviceStanding::Revoked
    } else if receipt.forked_at.is_some() {
        v1::DeviceStanding::Forked
    } else {
        v1::DeviceStanding::Good
    }
}

fn feed_item_to_wire(feed_item: &FeedItem) -> Result<v1::FeedItem, Error> {
    Ok(item(match feed_item {
        FeedItem::Record(numbered) => v1::feed_item::Item::Record(
            record_to_wire(&numbered.record, numbered.number).map_err(crate::error::unreadable)?,
        ),
        FeedItem::Departure { area, record } => v1::feed_item::Item::Departure(v1::Departure {
            record: record.to_string(),
            area: area.to_string(),
        }),
    }))
}

fn item(item: v1::feed_item::Item) -> v1::FeedItem {
    v1::FeedItem { item: Some(item) }
}
