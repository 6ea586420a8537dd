//! Areas around the caller's own, with something of everything in each, and who calls.

use crate::act::{Act, new_id};
use crate::peer::Peer;
use crate::server::TestServer;
use rounds_domain::op::Step;
use rounds_domain::{Action, AreaId, Body, DeviceId, Kind, OpId, RecordId, Role, body};
use rounds_proto::v1;
use rounds_server::secret::{code_hash, token_hash};
use rounds_store::{Link, NewCode};
use tonic::transport::Channel;

/// How an area lies to the one for which the caller is enrolled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    /// The very same.
    Own,
    /// Below it.
    Child,
    /// Above it.
    Parent,
    /// Below the same parent.
    Sibling,
    /// In another tree.
    Other,
    /// There is no such area.
    Absent,
}

impl Relation {
    pub(super) const ALL: [Self; 6] =
        [Self::Own, Self::Child, Self::Parent, Self::Sibling, Self::Other, Self::Absent];
}

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    /// Somebody without a token.
    Nobody,
    /// Somebody with a token that was never given out.
    Stranger,
    /// A coordinator that was revoked.
    Revoked,
    /// A device with this role, for the own area.
    Device(Role),
}

impl Caller {
    /// Whether it is a device with this role.
    pub(super) fn has(self, role: Role) -> bool {
        self == Self::Device(role)
    }
}

/// What there is in an area.
pub(super) struct Place {
    pub(super) area: AreaId,
    pub(super) dwelling: RecordId,
    pub(super) visit: RecordId,
    pub(super) referred: RecordId,
    pub(super) checklist: RecordId,
    pub(super) worker: RecordId,
    pub(super) organization: RecordId,
    /// Stands in every text that only those of the area may read.
    secret: String,
    /// Stands in every text that those of the areas below may read as well.
    shared: String,
    /// Stands in the request that was referred to the partner.
    referral: String,
}

impl Place {
    /// One of which nothing is there.
    fn absent() -> Self {
        let id = || RecordId(new_id());
        Self {
            area: AreaId(new_id()),
            dwelling: id(),
            visit: id(),
            referred: id(),
            checklist: id(),
            worker: id(),
            organization: id(),
            secret: "secret of nothing".to_owned(),
            shared: "shared by nothing".to_owned(),
            referral: "referral of nothing".to_owned(),
        }
    }
}

/// Areas around the caller's own.
pub(super) struct Ground<'a> {
    pub(super) server: &'a TestServer,
    channel: Channel,
    places: [Place; 6],
    /// The organization that the partner acts for.
    partner: RecordId,
}

impl<'a> Ground<'a> {
    pub(super) async fn lay(server: &'a TestServer) -> Self {
        let city = server.area("City", None).await;
        let partner = body::Organization { name: "Water".to_owned(), ..body::Organization::default() };
        let partner = server.add(city, Body::Organization(partner)).await;
        let mut places = Vec::new();
        // In the order of their relations, but that each comes after the one above it.
        let parent = fill(server, "parent", Some(city), partner).await;
        let own = fill(server, "own", Some(parent.area), partner).await;
        let child = fill(server, "child", Some(own.area), partner).await;
        let sibling = fill(server, "sibling", Some(parent.area), partner).await;
        let other = fill(server, "other", None, partner).await;
        places.extend([own, child, parent, sibling, other, Place::absent()]);
        let places = places.try_into().unwrap_or_else(|_| unreachable!("six"));
        Self { server, channel: server.channel().await, places, partner }
    }

    pub(super) fn place(&self, relation: Relation) -> &Place {
        &self.places[relation as usize]
    }

    pub(super) fn own(&self) -> &Place {
        self.place(Relation::Own)
    }

    /// The link by which the partner answers for the request that was referred to it there.
    pub(super) fn link(&self, place: &Place, expires_ms: i64) -> Link {
        Link::referral(place.referred, self.partner, expires_ms)
    }

    /// What shows that something of an area was told: that which only its own may read, and what others may too.
    pub(super) fn marks(&self, relation: Relation) -> (&str, &str) {
        let place = self.place(relation);
        (&place.secret, &place.shared)
    }

    /// What an answer tells that this caller must not see.
    pub(super) fn leaked(&self, caller: Caller, told: &str) -> Vec<String> {
        let mut leaked = Vec::new();
        for relation in Relation::ALL {
            let is_own = matches!(relation, Relation::Own | Relation::Child);
            let (all, shared, referral) = match caller {
                Caller::Device(Role::Admin) => (true, true, true),
                Caller::Device(Role::Partner) => (false, is_own || relation == Relation::Parent, is_own),
                Caller::Device(_) => (is_own, is_own || relation == Relation::Parent, is_own),
                Caller::Nobody | Caller::Stranger | Caller::Revoked => (false, false, false),
            };
            let place = self.place(relation);
            let marks = [(all, &place.secret), (shared, &place.shared), (referral, &place.referral)];
            let seen = marks.into_iter().filter(|(may, mark)| !may && told.contains(mark.as_str()));
            leaked.extend(seen.map(|(_, mark)| mark.clone()));
        }
        leaked
    }

    /// Somebody who calls, just enrolled.
    pub(super) async fn caller(&self, caller: Caller) -> Peer {
        let own = self.own().area;
        match caller {
            Caller::Nobody => self.peer(DeviceId(new_id()), String::new()),
            Caller::Stranger => self.peer(DeviceId(new_id()), "A".repeat(52)),
            Caller::Revoked => {
                let peer = self.enrolled(Role::Coordinator, &[own], None, "caller").await;
                let revoked = self.server.store.revoke(peer.id, self.server.clock.now_ms()).await;
                assert!(revoked.expect("a database that answers"));
                peer
            }
            Caller::Device(Role::Admin) => self.enrolled(Role::Admin, &[], None, "caller").await,
            Caller::Device(Role::Partner) => {
                self.enrolled(Role::Partner, &[own], Some(self.partner), "caller").await
            }
            Caller::Device(role) => self.enrolled(role, &[own], None, "caller").await,
        }
    }

    fn peer(&self, id: DeviceId, token: String) -> Peer {
        Peer::known(self.channel.clone(), self.server.clock.clone(), id, token)
    }

    /// A device that serves these areas. It is made past the services: they are what is tried.
    async fn enrolled(
        &self,
        role: Role,
        areas: &[AreaId],
        organization: Option<RecordId>,
        label: &str,
    ) -> Peer {
        let (id, store, now_ms) = (new_id(), &self.server.store, self.server.clock.now_ms());
        let (code, token) = (id.to_string(), format!("token{}", id.simple()));
        let (hash, areas) = (code_hash(&code), areas.to_vec());
        let new =
            NewCode { hash, role, areas, worker: None, organization, maker: None, expires_ms: now_ms + 1 };
        store.create_code(new).await.expect("a database that answers");
        let enrolled = store.enrol(hash, DeviceId(id), label, token_hash(&token), None, now_ms).await;
        self.peer(enrolled.expect("a database that answers").expect("a code that is good").id, token)
    }

    /// A phone of these areas; an id that no device has where there is no such area.
    pub(super) async fn phone_of(&self, relations: &[Relation]) -> DeviceId {
        if relations.contains(&Relation::Absent) {
            return DeviceId(new_id());
        }
        let areas: Vec<AreaId> = relations.iter().map(|relation| self.place(*relation).area).collect();
        let label = &self.place(relations[relations.len() - 1]).secret;
        self.enrolled(Role::Field, &areas, None, label).await.id
    }

    /// The cursor of a phone of an area, which has read all there is; none where there is no such area.
    pub(super) async fn cursor_of(&self, relation: Relation) -> Vec<u8> {
        if relation == Relation::Absent {
            return Vec::new();
        }
        let place = self.place(relation);
        let mut phone = self.enrolled(Role::Field, &[place.area], None, &place.secret).await;
        phone.pull().await;
        phone.cursor
    }

    /// An op that waits in the quarantine of an area.
    pub(super) async fn quarantined(&self, relation: Relation) -> OpId {
        let device = self.phone_of(&[relation]).await;
        let op = OpId { device, seq: 1 };
        if relation == Relation::Absent {
            return op;
        }
        let place = self.place(relation);
        let mut phone = self.enrolled(Role::Field, &[place.area], None, &place.secret).await;
        let delete = Action::Delete { reason: place.secret.clone() };
        let verdicts = phone.act(vec![Act::on(place.dwelling, place.area, Kind::Place, delete)]).await;
        assert_eq!(verdicts[0].outcome(), v1::Outcome::Quarantined, "a phone deletes nothing");
        OpId { device: phone.id, seq: 1 }
    }

    /// Something happens in an area.
    pub(super) async fn stir(&self, relation: Relation) {
        if relation != Relation::Absent {
            let place = self.place(relation);
            self.server.add(place.area, visited(place.dwelling, &place.secret)).await;
        }
    }
}

/// A visit of which there is this to say.
pub(super) fn visited(dwelling: RecordId, note: &str) -> Body {
    Body::Visit(body::Visit {
        subject: Some(dwelling),
        purpose: "routine".to_owned(),
        outcome: "met".to_owned(),
        note: note.to_owned(),
        ..body::Visit::default()
    })
}

/// An area with something of everything in it.
async fn fill(server: &TestServer, name: &str, parent: Option<AreaId>, partner: RecordId) -> Place {
    let [secret, shared, referral] = ["secret", "shared", "referral"].map(|mark| format!("{mark} of {name}"));
    let area = server.area(&shared, parent).await;
    let add = async |body: Body| server.add(area, body).await;
    let place = body::Place { name: secret.clone(), sort: "dwelling".to_owned(), ..body::Place::default() };
    let dwelling = add(Body::Place(place)).await;
    let visit = add(visited(dwelling, &secret)).await;
    let request = |description: &str| {
        Body::Request(body::Request {
            subject: Some(dwelling),
            category: "water".to_owned(),
            channel: "visit".to_owned(),
            description: description.to_owned(),
            ..body::Request::default()
        })
    };
    add(request(&secret)).await;
    let referred = add(request(&referral)).await;
    let due_at_ms = Some(server.clock.now_ms());
    for step in [
        Step { to: "triaged".to_owned(), ..Step::default() },
        Step { to: "referred".to_owned(), organization: Some(partner), due_at_ms, ..Step::default() },
    ] {
        let step = Act::step(referred, area, Kind::Request, step).op(&server.clock);
        assert_eq!(server.admin.change(vec![step]).await[0].outcome(), v1::Outcome::Applied);
    }
    let checklist = body::Checklist {
        name: shared.clone(),
        series: name.to_owned(),
        version: Some(1),
        ..body::Checklist::default()
    };
    let checklist = add(Body::Checklist(checklist)).await;
    let term = body::Term {
        vocabulary: "request_category".to_owned(),
        word: format!("word_{name}"),
        label_en: shared.clone(),
        ..body::Term::default()
    };
    add(Body::Term(term)).await;
    let worker = add(Body::Worker(body::Worker { name: secret.clone(), ..body::Worker::default() })).await;
    let organization = body::Organization { name: shared.clone(), ..body::Organization::default() };
    let organization = add(Body::Organization(organization)).await;
    dispute(server, area, &secret).await;
    Place { area, dwelling, visit, referred, checklist, worker, organization, secret, shared, referral }
}

/// Two people rename a dwelling without knowing of each other.
async fn dispute(server: &TestServer, area: AreaId, secret: &str) {
    let dwelling = server.dwelling(area, "before").await;
    for name in ["meanwhile", secret] {
        let mut phone = server.enrol(Role::Field, &[area]).await;
        phone.act(vec![Act::edit(dwelling, area, Kind::Place, "name", "before".into(), name.into())]).await;
        server.clock.advance(std::time::Duration::from_secs(1));
    }
}
