//! Rows of pg_timezone_names: the zones with what their clocks show now.

use tidelog_storage::{Datum, Interval};

use super::pg_catalog::yes;
use super::{Named, text};
use crate::text::Zone;
use crate::text::datetime::now_micros;

pub(super) fn names() -> Vec<Named> {
    let now = now_micros();
    let row = |(name, zone): (&'static str, Zone)| {
        let offset = Interval {
            months: 0,
            days: 0,
            micros: zone.offset_at(now) * 1_000_000,
        };
        vec![
            ("name", text(name)),
            ("abbrev", text(zone.abbreviation_at(now))),
            ("utc_offset", Datum::Interval(offset)),
            ("is_dst", yes(zone.is_dst_at(now))),
        ]
    };
    Zone::all().map(row).collect()
}
