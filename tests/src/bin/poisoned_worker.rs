//! A worker whose process ends when a job meets a certain record: `poisoned_worker DATABASE RECORD`.
//!
//! Says `drained` when nothing is left to do. The product has no such record; see `rounds_worker::Options::fault`.

use rounds_domain::RecordId;
use rounds_tests::{EPOCH, new_id};
use rounds_worker::{Options, Worker};
use std::error::Error;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(database), Some(record)) = (args.next(), args.next()) else {
        return Err("usage: poisoned_worker DATABASE RECORD".into());
    };
    let poison: RecordId = record.parse()?;
    let fault = move |_, records: &[RecordId]| match records.contains(&poison) {
        true => std::process::abort(),
        false => Ok(()),
    };
    let store = rounds_store::Store::open(&database, EPOCH).await?;
    let options = Options { fault: Some(Arc::new(fault)), ..Options::new(new_id()) };
    let worker = Worker::start(store.clone(), Arc::new(|| 1_790_000_000_000), options).await?;
    worker.drained().await?;
    println!("drained");
    worker.stop().await;
    store.close().await;
    Ok(())
}
