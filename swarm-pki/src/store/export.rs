//! Inventory and audit log as CSV (RFC 4180) and JSON, for spreadsheets and other programs.

use serde::Serialize;

use super::{AuditEntry, Error, NodeRecord, NodeStatus, Store};
use crate::{Fingerprint, Timestamp};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Export {
    /// Every certificate that was ever issued.
    Inventory,
    /// The audit log.
    AuditLog,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) with a header line. A cell that a
    /// spreadsheet would take for a formula, for it begins with `=`, `+`, `-`, `@`, a tab or a
    /// carriage return, gets an apostrophe before it.
    Csv,
    /// A JSON array of objects with the same fields.
    Json,
}

#[derive(Serialize)]
struct CertificateRow {
    node: String,
    serial: String,
    status: &'static str,
    revoked_at: String,
    reason: String,
    not_before: Timestamp,
    not_after: Timestamp,
    roles: String,
    addresses: String,
    dns: String,
    issued_at: Timestamp,
    requester: String,
    fingerprint: Fingerprint,
}

#[derive(Serialize)]
struct AuditRow {
    sequence: u64,
    at: Timestamp,
    requester: String,
    kind: &'static str,
    node: String,
    serials: String,
    detail: String,
}

impl Store {
    /// Writes the inventory or the audit log as one text.
    ///
    /// # Errors
    /// As every reading: [`Error::Io`], [`Error::Corrupt`].
    pub fn export(
        &self,
        what: Export,
        format: ExportFormat,
        now: Timestamp,
    ) -> Result<String, Error> {
        match what {
            Export::Inventory => {
                let rows = self
                    .certificates(now)?
                    .into_iter()
                    .map(CertificateRow::from);
                Ok(write(&rows.collect::<Vec<_>>(), format))
            }
            Export::AuditLog => {
                let rows = self.audit()?.into_iter().map(AuditRow::from);
                Ok(write(&rows.collect::<Vec<_>>(), format))
            }
        }
    }
}

impl From<NodeRecord> for CertificateRow {
    fn from(record: NodeRecord) -> Self {
        let identity = record.certificate.identity();
        let (status, revocation) = match record.status {
            NodeStatus::Live => ("live", None),
            NodeStatus::Expired => ("expired", None),
            NodeStatus::Orphaned => ("orphaned", None),
            NodeStatus::Revoked(revocation) => ("revoked", Some(revocation)),
        };
        Self {
            node: identity.id.to_string(),
            serial: record.certificate.serial().to_string(),
            status,
            revoked_at: revocation.map_or(String::new(), |one| one.at.to_string()),
            reason: revocation.map_or(String::new(), |one| one.reason.to_string()),
            not_before: record.certificate.not_before(),
            not_after: record.certificate.not_after(),
            roles: joined(&identity.roles),
            addresses: joined(&identity.addresses),
            dns: joined(&identity.dns),
            issued_at: record.issued_at,
            requester: record.requester,
            fingerprint: record.certificate.fingerprint(),
        }
    }
}

impl From<AuditEntry> for AuditRow {
    fn from(entry: AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            at: entry.at,
            requester: entry.requester,
            kind: entry.kind,
            node: entry.node.map_or(String::new(), |node| node.to_string()),
            serials: joined(&entry.serials),
            detail: entry.detail,
        }
    }
}

fn joined<T: ToString>(list: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = list.into_iter().map(|one| one.to_string()).collect();
    texts.join(" ")
}

fn write<T: Serialize + Columns>(rows: &[T], format: ExportFormat) -> String {
    match format {
        ExportFormat::Json => {
            let mut text = serde_json::to_string_pretty(rows).expect("rows are plain data");
            text.push('\n');
            text
        }
        ExportFormat::Csv => {
            let mut text = String::new();
            write_line(&mut text, T::COLUMNS.iter().copied());
            for row in rows {
                let value = serde_json::to_value(row).expect("rows are plain data");
                let cells: Vec<String> = T::COLUMNS
                    .iter()
                    .map(|column| match &value[*column] {
                        serde_json::Value::String(text) => text.clone(),
                        other => other.to_string(),
                    })
                    .collect();
                write_line(&mut text, cells.iter().map(String::as_str));
            }
            text
        }
    }
}

/// The columns of a table, in order.
trait Columns {
    const COLUMNS: &'static [&'static str];
}

impl Columns for CertificateRow {
    const COLUMNS: &'static [&'static str] = &[
        "node",
        "serial",
        "status",
        "revoked_at",
        "reason",
        "not_before",
        "not_after",
        "roles",
        "addresses",
        "dns",
        "issued_at",
        "requester",
        "fingerprint",
    ];
}

impl Columns for AuditRow {
    const COLUMNS: &'static [&'static str] = &[
        "sequence",
        "at",
        "requester",
        "kind",
        "node",
        "serials",
        "detail",
    ];
}

fn write_line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&csv_cell(cell));
    }
    text.push_str("\r\n");
}

/// Quotes what has to be quoted, and defuses what a spreadsheet would run.
fn csv_cell(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let defused = if formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if defused.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", defused.replace('"', "\"\""))
    } else {
        defused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_defused() {
        for (cell, written) in [
            ("edge1", "edge1"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("\tx", "'\tx"),
        ] {
            assert_eq!(csv_cell(cell), written);
        }
    }
}
