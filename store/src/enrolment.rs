//! Codes, devices and callers.

use crate::audit::{AuditAction, NewAudit, append};
use crate::database::{Database, read_on, write_on};
use crate::device::{Access, Caller, Contact, Device, DeviceFilter, NewCode, ScopedArea};
use crate::row::{json, parse};
use crate::sqlite::hex_list;
use crate::{Error, Store};
use rounds_domain::{AreaId, DeviceId, OpId, RecordId, Role};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The columns of a device, as every statement here selects them.
const DEVICE_COLUMNS: &str =
    "d.id, d.label, d.role, d.worker, d.organization, d.scope_version, d.enrolled_ms,
    d.seen_ms, d.revoked_ms, d.acknowledged_through, d.unsent_ops, d.forked_at, d.lost_ops, d.copy_of";

/// Whether a device meets a filter: its areas are `$1`, the time since when phones were silent is `$2`; null for none.
/// Role 1 is the field's.
const MEETS: &str = "($1 IS NULL OR d.id IN
         (SELECT device FROM device_areas WHERE left_version IS NULL AND area IN {areas}))
     AND ($2 IS NULL OR (d.role = 1 AND d.revoked_ms IS NULL AND d.seen_ms <= $2 AND d.enrolled_ms <= $2))";

const REVOKE_SQL: &str = "UPDATE devices SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL";
/// A device, the copies of it that got names of their own, and copies of those, in the order of their ids.
const LINE_SQL: &str = "WITH RECURSIVE line (id) AS (
         SELECT id FROM devices WHERE id = $1
         UNION SELECT copy.id FROM devices AS copy JOIN line ON copy.copy_of = line.id)
     SELECT id FROM devices WHERE id IN (SELECT id FROM line) ORDER BY id";
/// Codes that a device made and nobody used.
const END_CODES_SQL: &str = "UPDATE codes SET expires_ms = 0 WHERE maker = $1 AND used_by IS NULL";
/// The roots that a device has.
pub(crate) const ROOTS_SQL: &str =
    "SELECT area FROM device_areas WHERE device = $1 AND left_version IS NULL ORDER BY area";

/// Runs a statement with [`MEETS`] in it on either database.
macro_rules! filtered {
    ($store:expr, $filter:expr, $text:expr, $run:ident, |$statement:ident| $bind:expr) => {
        match &$store.shared.database {
            Database::Sqlite { readers, .. } => {
                let text = $text.replace("{areas}", "(SELECT unhex(value) FROM json_each($1))");
                let areas = $filter.areas.map(|areas| hex_list(areas.iter().map(|area| area.0)));
                let $statement = query_as(AssertSqlSafe(text)).bind(areas).bind($filter.silent_since_ms);
                $bind.$run(readers).await?
            }
            Database::Postgres { pool, .. } => {
                let text = $text.replace("{areas}", "(SELECT unnest($1::uuid[]))");
                let areas: Option<Vec<Uuid>> =
                    $filter.areas.map(|areas| areas.iter().map(|area| area.0).collect());
                let $statement = query_as(AssertSqlSafe(text)).bind(areas).bind($filter.silent_since_ms);
                $bind.$run(pool).await?
            }
        }
    };
}

fn device_sql() -> String {
    format!("SELECT {DEVICE_COLUMNS} FROM devices d WHERE d.id = $1")
}

#[derive(sqlx::FromRow)]
struct DeviceColumns {
    id: Uuid,
    label: String,
    role: i16,
    worker: Option<Uuid>,
    organization: Option<Uuid>,
    scope_version: i64,
    enrolled_ms: i64,
    seen_ms: i64,
    revoked_ms: Option<i64>,
    acknowledged_through: i64,
    unsent_ops: i64,
    forked_at: Option<i64>,
    lost_ops: i64,
    copy_of: Option<Uuid>,
}

/// A device and one of its roots, if it has any.
#[derive(sqlx::FromRow)]
struct RootedColumns {
    #[sqlx(flatten)]
    device: DeviceColumns,
    area: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct CallerColumns {
    #[sqlx(flatten)]
    device: DeviceColumns,
    area: Option<Uuid>,
    head: Option<i64>,
    is_full: Option<bool>,
}

impl DeviceColumns {
    fn device(self, areas: Vec<AreaId>) -> Result<Device, Error> {
        Ok(Device {
            id: DeviceId(self.id),
            label: self.label,
            role: role(self.role)?,
            worker: self.worker.map(RecordId),
            organization: self.organization.map(RecordId),
            scope_version: self.scope_version as u64,
            enrolled_ms: self.enrolled_ms,
            seen_ms: self.seen_ms,
            revoked_ms: self.revoked_ms,
            acknowledged_through: self.acknowledged_through as u64,
            unsent_ops: self.unsent_ops as u64,
            forked_at: self.forked_at.map(|seq| seq as u64),
            lost_ops: self.lost_ops as u64,
            copy_of: self.copy_of.map(DeviceId),
            areas,
        })
    }
}

fn role(number: i16) -> Result<Role, Error> {
    Role::from_number(number).ok_or_else(|| Error::Unreadable(format!("role {number}")))
}

impl Store {
    /// Keeps a one-time code.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn create_code(&self, code: NewCode) -> Result<(), Error> {
        let areas = json(&code.areas)?;
        write_on!(&self.shared.database, tx => {
            query(
                "INSERT INTO codes (hash, role, worker, organization, areas, expires_ms, maker)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&code.hash[..])
            .bind(code.role.number())
            .bind(code.worker.map(|id| id.0))
            .bind(code.organization.map(|id| id.0))
            .bind(&areas)
            .bind(code.expires_ms)
            .bind(code.maker.map(|id| id.0))
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    /// Turns a code into a device, and says so in the audit log. `None`: no such code, used before, or past its time. A
    /// code works once. `first_device` is what its phone was first, if it was another device before, as it says: what it
    /// and other later names of that one bring takes effect once.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; the code can still be used then.
    pub async fn enrol(
        &self,
        code_hash: [u8; 32],
        id: DeviceId,
        label: &str,
        token_hash: [u8; 32],
        first_device: Option<DeviceId>,
        now_ms: i64,
    ) -> Result<Option<Device>, Error> {
        let enrolled = write_on!(&self.shared.database, tx => {
            let code: Option<(i16, Option<Uuid>, Option<Uuid>, String)> = query_as(
                "UPDATE codes SET used_by = $2 WHERE hash = $1 AND used_by IS NULL AND expires_ms > $3
                 RETURNING role, worker, organization, areas",
            )
            .bind(&code_hash[..])
            .bind(id.0)
            .bind(now_ms)
            .fetch_optional(&mut *tx)
            .await?;
            match code {
                Some((role, worker, organization, areas)) => {
                    query(
                        "INSERT INTO devices (id, label, role, worker, organization, token_hash, scope_version,
                         enrolled_ms, last_at_ms, first_device) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $8)",
                    )
                    .bind(id.0)
                    .bind(label)
                    .bind(role)
                    .bind(worker)
                    .bind(organization)
                    .bind(&token_hash[..])
                    .bind(now_ms)
                    .bind(first_device.map(|id| id.0))
                    .execute(&mut *tx)
                    .await?;
                    for area in parse::<Vec<AreaId>>(&areas)? {
                        query("INSERT INTO device_areas (device, area, since_version) VALUES ($1, $2, 1)
                               ON CONFLICT DO NOTHING")
                            .bind(id.0)
                            .bind(area.0)
                            .execute(&mut *tx)
                            .await?;
                    }
                    // Read here: once the code is used, an error would leave a device that nobody has the token of.
                    let columns: DeviceColumns = query_as(AssertSqlSafe(device_sql()))
                        .bind(id.0)
                        .fetch_one(&mut *tx)
                        .await?;
                    let roots: Vec<Uuid> = query_scalar(ROOTS_SQL).bind(id.0).fetch_all(&mut *tx).await?;
                    let device = columns.device(roots.into_iter().map(AreaId).collect())?;
                    let entry = NewAudit::of(&device, now_ms, AuditAction::SignIn, device.id);
                    append!(tx, entry);
                    Some(device)
                }
                None => None,
            }
        });
        Ok(enrolled)
    }

    /// A device of this process itself (the worker, an import), without a token. The same id gives the same device.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn internal_device(
        &self,
        id: DeviceId,
        label: &str,
        role: Role,
        now_ms: i64,
    ) -> Result<Device, Error> {
        write_on!(&self.shared.database, tx => {
            query(
                "INSERT INTO devices (id, label, role, scope_version, enrolled_ms, last_at_ms)
                 VALUES ($1, $2, $3, 1, $4, $4) ON CONFLICT DO NOTHING",
            )
            .bind(id.0)
            .bind(label)
            .bind(role.number())
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        });
        self.device(id).await?.ok_or_else(|| Error::Unreadable(format!("device {id}")))
    }

    /// Who this token names, with the scope of this moment. Revoked devices too.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn caller(&self, token_hash: [u8; 32]) -> Result<Option<Caller>, Error> {
        // One statement, because it is the whole cost of a sync that has nothing new.
        let sql = format!(
            "WITH d AS (SELECT * FROM devices WHERE token_hash = $1)
             SELECT {DEVICE_COLUMNS}, a.id AS area, a.head, true AS is_full
               FROM d JOIN device_areas r ON r.device = d.id AND r.left_version IS NULL
               JOIN area_lines l ON l.ancestor = r.area JOIN areas a ON a.id = l.descendant
             UNION ALL
             SELECT {DEVICE_COLUMNS}, a.id, a.head, false
               FROM d JOIN device_areas r ON r.device = d.id AND r.left_version IS NULL
               JOIN area_lines l ON l.descendant = r.area AND l.ancestor <> r.area JOIN areas a ON a.id = l.ancestor
             UNION ALL
             SELECT {DEVICE_COLUMNS}, a.id, a.head, true FROM d JOIN areas a ON d.role IN (5, 6)
             UNION ALL
             SELECT {DEVICE_COLUMNS}, r.area, NULL, NULL
               FROM d LEFT JOIN device_areas r ON r.device = d.id AND r.left_version IS NULL"
        );
        let rows: Vec<CallerColumns> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(sql)).bind(&token_hash[..]).fetch_all(pool).await?
        });
        let mut scope: BTreeMap<AreaId, ScopedArea> = BTreeMap::new();
        let mut roots = Vec::new();
        let mut device = None;
        for row in rows {
            match (row.area.map(AreaId), row.head, row.is_full) {
                (Some(area), Some(head), Some(is_full)) => {
                    let access = if is_full { Access::Full } else { Access::Reference };
                    let scoped = ScopedArea { area, access, head: head as u64 };
                    let entry = scope.entry(area).or_insert(scoped);
                    entry.access = entry.access.max(access);
                }
                (Some(root), ..) => roots.push(root), // perhaps there is no such area yet
                (None, ..) => {}
            }
            device = Some(row.device);
        }
        roots.sort();
        let Some(device) = device else { return Ok(None) };
        Ok(Some(Caller { device: device.device(roots)?, scope: scope.into_values().collect() }))
    }

    /// Whether the device held the area under an assignment that it had not yet been told the end of when it knew
    /// `scope_version`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn held(&self, device: DeviceId, area: AreaId, scope_version: u64) -> Result<bool, Error> {
        let count: i64 = read_on!(&self.shared.database, pool => {
            query_scalar(
                "SELECT count(*) FROM device_areas r JOIN area_lines l ON l.ancestor = r.area
                 WHERE r.device = $1 AND l.descendant = $2 AND (r.left_version IS NULL OR r.left_version > $3)",
            )
            .bind(device.0)
            .bind(area.0)
            .bind(scope_version.min(i64::MAX as u64) as i64)
            .fetch_one(pool)
            .await?
        });
        Ok(count > 0)
    }

    /// Notes a contact, soon; at most one per device and minute is worth it.
    pub fn note_contact(&self, contact: Contact) {
        if let Ok(committer) = self.shared.committer.try_read() {
            committer.note(contact);
        }
    }

    /// A device.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn device(&self, id: DeviceId) -> Result<Option<Device>, Error> {
        let columns: Option<DeviceColumns> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(device_sql())).bind(id.0).fetch_optional(pool).await?
        });
        match columns {
            Some(columns) => Ok(Some(columns.device(self.roots(id).await?)?)),
            None => Ok(None),
        }
    }

    /// Devices that meet the filter, by id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn devices(
        &self,
        filter: &DeviceFilter<'_>,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Device>, Error> {
        let sql = format!(
            "WITH page AS (SELECT d.* FROM devices d WHERE {MEETS} AND d.id > $3 ORDER BY d.id LIMIT $4)
             SELECT {DEVICE_COLUMNS}, r.area FROM page d
             LEFT JOIN device_areas r ON r.device = d.id AND r.left_version IS NULL ORDER BY d.id, r.area"
        );
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let rows: Vec<RootedColumns> =
            filtered!(self, filter, sql, fetch_all, |statement| statement.bind(after).bind(i64::from(limit)));
        let mut found: Vec<(DeviceColumns, Vec<AreaId>)> = Vec::new();
        for RootedColumns { device, area } in rows {
            match found.last_mut() {
                Some((last, roots)) if last.id == device.id => roots.extend(area.map(AreaId)),
                _ => found.push((device, area.map(AreaId).into_iter().collect())),
            }
        }
        found.into_iter().map(|(columns, roots)| columns.device(roots)).collect()
    }

    /// How many devices meet the filter.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_devices(&self, filter: &DeviceFilter<'_>) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM devices d WHERE {MEETS}");
        let (count,): (i64,) = filtered!(self, filter, sql, fetch_one, |statement| statement);
        Ok(count.unsigned_abs())
    }

    async fn roots(&self, id: DeviceId) -> Result<Vec<AreaId>, Error> {
        let roots: Vec<Uuid> = read_on!(&self.shared.database, pool => {
            query_scalar(ROOTS_SQL).bind(id.0).fetch_all(pool).await?
        });
        Ok(roots.into_iter().map(AreaId).collect())
    }

    /// Revokes a device, and the copies of it that got names of their own: nobody knows which of them is in whose hands.
    /// Their tokens still name them, so that they can be told. Codes that they made and nobody used are good for nothing
    /// from now on. False: there is no such device.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke(&self, id: DeviceId, now_ms: i64) -> Result<bool, Error> {
        let lock = if self.is_postgres() { " FOR UPDATE" } else { "" };
        let line_sql = format!("{LINE_SQL}{lock}");
        let line = write_on!(&self.shared.database, tx => {
            let mut line: Vec<Uuid> = Vec::new();
            // In the order in which commits lock devices, or each would wait for the other. Until there are no more:
            // whoever makes a copy holds the row of what it is a copy of.
            loop {
                let locked: Vec<Uuid> =
                    query_scalar(AssertSqlSafe(line_sql.as_str())).bind(id.0).fetch_all(&mut *tx).await?;
                if locked.len() == line.len() {
                    break;
                }
                line = locked;
            }
            for device in &line {
                let revoked = query(REVOKE_SQL).bind(*device).bind(now_ms).execute(&mut *tx).await?;
                if revoked.rows_affected() == 1 || *device == id.0 {
                    query(END_CODES_SQL).bind(*device).execute(&mut *tx).await?;
                }
            }
            line
        });
        Ok(!line.is_empty())
    }

    /// Revokes a device that ends its enrolment itself: codes that it made are good still.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sign_out(&self, id: DeviceId, now_ms: i64) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            query(REVOKE_SQL).bind(id.0).bind(now_ms).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Gives a device another token; the old one names nobody from now on. False: there is no such device.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rotate(&self, id: DeviceId, token_hash: [u8; 32]) -> Result<bool, Error> {
        let changed = write_on!(&self.shared.database, tx => {
            query("UPDATE devices SET token_hash = $2 WHERE id = $1")
                .bind(id.0)
                .bind(&token_hash[..])
                .execute(&mut *tx)
                .await?
                .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Gives a device other roots. Where it loses some, codes that it made and nobody used are good for nothing from now
    /// on: they might be for what it lost. Answers the new scope version; `None`: there is no such device.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn assign(&self, id: DeviceId, areas: &[AreaId]) -> Result<Option<u64>, Error> {
        let version = write_on!(&self.shared.database, tx => {
            let version: Option<i64> = query_scalar(
                "UPDATE devices SET scope_version = scope_version + 1 WHERE id = $1 RETURNING scope_version",
            )
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(version) = version {
                let roots: Vec<Uuid> =
                    query_scalar("SELECT area FROM device_areas WHERE device = $1 AND left_version IS NULL")
                        .bind(id.0)
                        .fetch_all(&mut *tx)
                        .await?;
                let lost: Vec<Uuid> =
                    roots.iter().copied().filter(|root| !areas.contains(&AreaId(*root))).collect();
                if !lost.is_empty() {
                    query(END_CODES_SQL).bind(id.0).execute(&mut *tx).await?;
                }
                for root in &lost {
                    query("UPDATE device_areas SET left_version = $3
                           WHERE device = $1 AND area = $2 AND left_version IS NULL")
                        .bind(id.0)
                        .bind(*root)
                        .bind(version)
                        .execute(&mut *tx)
                        .await?;
                }
                for area in areas.iter().filter(|area| !roots.contains(&area.0)) {
                    query("INSERT INTO device_areas (device, area, since_version) VALUES ($1, $2, $3)
                           ON CONFLICT DO NOTHING")
                        .bind(id.0)
                        .bind(area.0)
                        .bind(version)
                        .execute(&mut *tx)
                        .await?;
                }
            }
            version
        });
        Ok(version.map(|version| version as u64))
    }

    /// A new device with the role, areas and holder of another, for the copy of a phone whose history is its own from
    /// this op on, and comes after the ops before it; revoked if that was. Done again, it answers the same device, unless
    /// that may do more by now than the other: whoever still has the token of a device that was revoked, or that lost
    /// areas, must not get at one that was not. `None`: so it is, or there is no other, or `new` has another token by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fork(
        &self,
        from: OpId,
        new: DeviceId,
        token_hash: [u8; 32],
        now_ms: i64,
    ) -> Result<Option<Device>, Error> {
        let there = write_on!(&self.shared.database, tx => {
            // Nobody revokes it meanwhile.
            query("UPDATE devices SET copy_of = copy_of WHERE id = $1").bind(from.device.0).execute(&mut *tx).await?;
            let made = query(
                "INSERT INTO devices (id, label, role, worker, organization, token_hash, scope_version, enrolled_ms,
                 last_at_ms, last_stamp, revoked_ms, copy_of, first_device)
                 SELECT $2, label, role, devices.worker, organization, $3, scope_version, $4, coalesce(ops.at_ms, enrolled_ms),
                     coalesce(ops.stamp, 0), revoked_ms, devices.id, coalesce(first_device, devices.id)
                 FROM devices LEFT JOIN ops ON ops.device = devices.id AND ops.seq = $5
                 WHERE devices.id = $1 ON CONFLICT DO NOTHING",
            )
            .bind(from.device.0)
            .bind(new.0)
            .bind(&token_hash[..])
            .bind(now_ms)
            .bind(i64::try_from(from.seq).unwrap_or(i64::MAX) - 1)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if made == 1 {
                query(
                    "INSERT INTO device_areas (device, area, since_version, left_version)
                     SELECT $2, area, since_version, left_version FROM device_areas WHERE device = $1",
                )
                .bind(from.device.0)
                .bind(new.0)
                .execute(&mut *tx)
                .await?;
            }
            let there: i64 = query_scalar(
                "SELECT count(*) FROM devices AS made JOIN devices AS other ON other.id = $1
                 WHERE made.id = $2 AND made.token_hash = $3
                     AND (other.revoked_ms IS NULL OR made.revoked_ms IS NOT NULL)
                     AND NOT EXISTS (
                         SELECT 1 FROM device_areas AS more
                         WHERE more.device = made.id AND more.left_version IS NULL AND NOT EXISTS (
                             SELECT 1 FROM device_areas AS held
                             WHERE held.device = other.id AND held.area = more.area AND held.left_version IS NULL
                         )
                     )",
            )
            .bind(from.device.0)
            .bind(new.0)
            .bind(&token_hash[..])
            .fetch_one(&mut *tx)
            .await?;
            there
        });
        if there == 1 { self.device(new).await } else { Ok(None) }
    }

    /// How many copies of one phone got names of their own: of the one that this device is, or is a copy of.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn copies(&self, device: DeviceId) -> Result<u64, Error> {
        let line: i64 = read_on!(&self.shared.database, pool => {
            query_scalar(
                "WITH RECURSIVE origin (id, copy_of) AS (
                     SELECT id, copy_of FROM devices WHERE id = $1
                     UNION SELECT d.id, d.copy_of FROM devices AS d JOIN origin ON d.id = origin.copy_of),
                 line (id) AS (
                     SELECT id FROM origin
                     UNION SELECT copy.id FROM devices AS copy JOIN line ON copy.copy_of = line.id)
                 SELECT count(*) FROM line",
            )
            .bind(device.0)
            .fetch_one(pool)
            .await?
        });
        Ok(line.unsigned_abs().saturating_sub(1))
    }
}
