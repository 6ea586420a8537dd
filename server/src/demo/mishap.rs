//! What goes wrong now and then, so that a coordinator has something to look into.

use super::Error;
use super::calendar::Day;
use super::coordinator::Coordinator;
use super::neighbourhood::Neighbourhood;
use super::volunteer::Volunteer;
use rounds_device::Draft;
use rounds_domain::Body;
use rounds_domain::body::{self, Fields};

/// Every so many days two people correct the same plate.
const CLASH_DAYS: i64 = 60;
/// Every so many days somebody records with the phone of another grid cell.
const ASTRAY_DAYS: i64 = 110;

/// What goes wrong on this day, if anything does.
pub(super) fn happen(
    all: &Neighbourhood,
    coordinator: &mut Coordinator,
    volunteers: &mut [Volunteer],
    day: Day,
) -> Result<(), Error> {
    let Some(volunteer) = volunteers.first_mut() else { return Ok(()) };
    if day.number % CLASH_DAYS == CLASH_DAYS / 2 && day.has_come(day.at(8, 20)) {
        clash(all, coordinator, volunteer, day)?;
    }
    if day.number % ASTRAY_DAYS == ASTRAY_DAYS / 2 && day.has_come(day.at(8, 30)) {
        go_astray(all, volunteer, day)?;
    }
    Ok(())
}

/// Neither has seen what the other wrote.
fn clash(
    all: &Neighbourhood,
    coordinator: &mut Coordinator,
    volunteer: &mut Volunteer,
    day: Day,
) -> Result<(), Error> {
    let cell = &all.communities[volunteer.community].cells[volunteer.cell];
    let building = cell.buildings[day.number as usize % cell.buildings.len()];
    let phones = [&mut coordinator.phone, &mut volunteer.phone];
    for ((phone, minute), plate) in phones.into_iter().zip([10, 20]).zip(["Willow Lane", "Willow Street"]) {
        let Some(seen) = phone.view(building)? else { continue };
        let address = format!("{plate} {}", day.number % 40 + 1);
        let values = Fields::from_iter([("address".to_owned(), address.into())]);
        phone.record(day.at(8, minute), vec![Draft::edit(&seen.record, values, "")])?;
    }
    Ok(())
}

/// The server keeps it aside: the area is not one of the phone's.
fn go_astray(all: &Neighbourhood, volunteer: &mut Volunteer, day: Day) -> Result<(), Error> {
    let cells = &all.communities[volunteer.community].cells;
    let other = &cells[(volunteer.cell + 1) % cells.len()];
    let at_ms = day.at(8, 30);
    let visit = body::Visit {
        subject: Some(*volunteer.chance.pick(&other.dwellings)),
        purpose: "routine".to_owned(),
        outcome: "met".to_owned(),
        ..body::Visit::default()
    };
    let draft = Draft::create(volunteer.chance.id(at_ms), other.area, Body::Visit(visit));
    volunteer.phone.record(at_ms, vec![draft])
}
