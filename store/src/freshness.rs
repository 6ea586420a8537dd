//! How complete what is known of some areas is: devices that were heard of, and what waits for somebody.

use crate::database::in_areas;
use crate::{Error, Store};
use rounds_domain::AreaId;
use rounds_domain::summary::Freshness;

const HOUR_MS: i64 = 3_600_000;

impl Store {
    /// How complete what is known of these areas is at this time, in ms since 1970 UTC. Phones that were not heard of for
    /// so many hours are silent.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn freshness(
        &self,
        areas: &[AreaId],
        now_ms: i64,
        silent_hours: i32,
    ) -> Result<Freshness, Error> {
        let silent_since_ms = now_ms - i64::from(silent_hours) * HOUR_MS;
        // A device serves an area if one of its roots is that area or one above it, or is within the areas.
        // Role 1 is the field's. Ops that name no area wait for those who hold a root of their device, as in the list.
        let text = "WITH wanted (area) AS (SELECT id FROM areas WHERE id IN {areas}),
             serving (device) AS (
                 SELECT DISTINCT r.device FROM wanted JOIN area_lines l ON l.descendant = wanted.area
                 JOIN device_areas r ON r.area = l.ancestor AND r.left_version IS NULL
             ),
             rooted (device) AS (
                 SELECT r.device FROM wanted JOIN device_areas r ON r.area = wanted.area AND r.left_version IS NULL
             ),
             phones AS (
                 SELECT seen_ms, unsent_ops FROM devices
                 WHERE role = 1 AND revoked_ms IS NULL AND id IN (SELECT device FROM serving)
             )
             SELECT (SELECT count(*) FROM phones),
                 (SELECT count(*) FROM phones WHERE seen_ms < $2),
                 (SELECT CAST(coalesce(sum(unsent_ops), 0) AS bigint) FROM phones),
                 (SELECT coalesce(max(seen_ms), 0) FROM phones),
                 (SELECT count(*) FROM ops WHERE state = 1 AND (area IN (SELECT area FROM wanted)
                     OR (area IS NULL AND device IN (SELECT device FROM rooted)))),
                 (SELECT count(*) FROM wanted JOIN records ON records.area = wanted.area
                     WHERE records.disputed AND NOT records.deleted)";
        let (devices, silent_devices, unsent_ops, heard_ms, quarantined_ops, disputed_records): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
        ) = in_areas!(self, areas, text, fetch_one, |statement| statement.bind(silent_since_ms));
        Ok(Freshness {
            devices,
            silent_devices,
            silent_hours,
            unsent_ops,
            heard_ms,
            quarantined_ops,
            disputed_records,
        })
    }
}
