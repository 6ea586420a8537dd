//! Contact data on the phone: handed over once, and then gone.

use super::{NAME, PHONE, Town, contact, holds, leak, read};
use rounds_device::{Client, Device, Draft, Error, Phone};
use rounds_domain::{Body, ClockReading, ContactData, RecordId};
use rounds_proto::v1;
use rounds_tests::{TestClock, new_id, on_both_databases};
use std::path::PathBuf;
use std::time::Duration;

struct Clocks(TestClock);

impl Phone for Clocks {
    fn clock(&self) -> ClockReading {
        ClockReading { wall_ms: self.0.now_ms(), boot: 0, monotonic_ms: 0 }
    }

    fn random(&self) -> u64 {
        0
    }
}

on_both_databases! {
    async fn a_phone_hands_contact_data_over_when_it_syncs_and_keeps_none(database: &TestDatabase) {
        let town = Town::on(database).await;
        let clocks = Clocks(town.server.clock.clone());
        let mut device = town.device().await;
        let (good, refused) = (RecordId(new_id()), RecordId(new_id()));
        let at = clocks.clock();
        device.record(at, vec![Draft::create(good, town.north, Body::Request(leak(town.dwelling)))]).unwrap();
        device.record(at, vec![Draft::create(refused, town.south, Body::Request(leak(town.dwelling)))]).unwrap();
        device.give_contact(good, &ContactData { name: "Old".into(), ..contact() }).unwrap();
        device.give_contact(good, &contact()).unwrap();
        device.give_contact(refused, &contact()).unwrap();
        assert!(matches!(device.give_contact(town.dwelling, &contact()), Err(Error::Refused { .. })));
        assert_eq!(device.contacts_held().unwrap(), 2);
        assert!(!device.export().unwrap().to_string().contains(NAME), "what is exported has no names");

        let mut client = Client::new(device).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 1, "what is in quarantine is not there yet");
        assert_eq!(read(&town.server.admin, good).await.unwrap(), Some(contact()));
        assert_eq!(client.read_contact(good).await.unwrap(), Some(contact()), "who raised it may read it");

        let release = v1::ReleaseRequest {
            device: client.device().identity().unwrap().device.to_string(),
            seq: 2,
            ..v1::ReleaseRequest::default()
        };
        town.server.admin.history().release(release).await.unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(read(&town.server.admin, refused).await.unwrap(), Some(contact()), "raised there, held or not");
        assert_eq!(client.device().contacts_held().unwrap(), 0);
        let file = town.files.path().join("phone");
        let wal = PathBuf::from(format!("{}-wal", file.display()));
        let left = [std::fs::read(&file).unwrap(), std::fs::read(wal).unwrap_or_default()].concat();
        assert!(holds(&left, good.0.as_bytes()), "the records are there");
        assert!(!holds(&left, NAME.as_bytes()) && !holds(&left, PHONE.as_bytes()), "the name is not");
        town.server.stop().await;
    }

    async fn a_phone_that_got_no_answer_brings_back_nothing_that_was_taken_back(database: &TestDatabase) {
        let town = Town::on(database).await;
        let clocks = Clocks(town.server.clock.clone());
        let mut client = Client::new(town.device().await).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        client.device_mut().give_contact(town.request, &contact()).unwrap();
        // The file as it is before the phone has the answer.
        let file = town.files.path().join("phone");
        let before = ["", "-wal"].map(|end| {
            let copy = format!("{}-before{end}", file.display());
            std::fs::copy(format!("{}{end}", file.display()), &copy).unwrap();
            copy
        });
        client.sync_until_quiet(&clocks).await.unwrap();
        assert!(town.server.store.has_contact(town.request).await.unwrap());
        town.take_back().await;
        let mut client = Client::new(Device::open(&before[0]).unwrap()).unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 1);
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 0);
        assert!(!town.server.store.has_contact(town.request).await.unwrap());
        town.server.stop().await;
    }

    async fn a_phone_drops_contact_data_of_a_request_that_it_sees_no_more(database: &TestDatabase) {
        let town = Town::on(database).await;
        let clocks = Clocks(town.server.clock.clone());
        let mut client = Client::new(town.device().await).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        client.device_mut().give_contact(town.request, &contact()).unwrap();
        let device = client.device().identity().unwrap().device.to_string();
        let elsewhere = v1::AssignRequest { device, areas: vec![town.south.to_string()] };
        town.server.admin.devices().assign(elsewhere).await.unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 0, "somebody else raised it");
        town.server.stop().await;
    }

    async fn a_phone_drops_contact_data_with_the_request_that_was_raised_in_vain(database: &TestDatabase) {
        let town = Town::on(database).await;
        let clocks = Clocks(town.server.clock.clone());
        let mut device = town.device().await;
        let refused = RecordId(new_id());
        let raised = Draft::create(refused, town.south, Body::Request(leak(town.dwelling)));
        device.record(clocks.clock(), vec![raised]).unwrap();
        device.give_contact(refused, &contact()).unwrap();
        let mut client = Client::new(device).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 1, "it may be released");
        let op = client.device().pending().unwrap()[0].op;
        client.device_mut().dismiss(op).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 0);
        town.server.stop().await;
    }

    async fn a_phone_drops_contact_data_of_a_request_that_was_closed_meanwhile(database: &TestDatabase) {
        let town = Town::on(database).await;
        let clocks = Clocks(town.server.clock.clone());
        let mut client = Client::new(town.device().await).unwrap();
        let own = RecordId(new_id());
        let raised = Draft::create(own, town.north, Body::Request(leak(town.dwelling)));
        client.device_mut().record(clocks.clock(), vec![raised]).unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        town.server.clock.advance(Duration::from_secs(1));

        client.device_mut().give_contact(town.request, &contact()).unwrap();
        town.delete(town.request).await;
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().contacts_held().unwrap(), 0, "the phone has seen that it is deleted");

        client.device_mut().give_contact(own, &contact()).unwrap();
        town.step(own, "rejected").await;
        let device = client.device().identity().unwrap().device.to_string();
        let elsewhere = v1::AssignRequest { device, areas: vec![town.south.to_string()] };
        town.server.admin.devices().assign(elsewhere).await.unwrap();
        client.sync_until_quiet(&clocks).await.unwrap();
        assert_eq!(client.device().view(own).unwrap(), None);
        assert_eq!(client.device().contacts_held().unwrap(), 0, "the server says that it is closed");
        town.server.stop().await;
    }
}
