//! `swarm ca show`: the authorities of the swarm, their lists, and whether the log is whole.

use serde_json::json;
use swarm_pki::Timestamp;
use swarm_pki::store::{AuthorityRecord, KeyPlace};

use crate::args::Global;
use crate::report::{Failure, Output};

use super::{describe, describe_list};

/// Show the authorities and their revocation lists, and check the log of what was issued
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca show")]
pub(super) struct Show {}

impl Show {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let now = Timestamp::now();
        let settings = store.settings()?;
        let log = store.verify()?;
        let authorities = store.authorities()?;
        if let Some(request) = store.pending_authority()?
            && authorities.iter().all(|one| !one.issues)
        {
            let value = json!({ "swarm": settings.swarm, "waits_for_root": true, "request": request.to_pem() });
            return output.show(&value, || {
                format!(
                    "swarm    {} ({})\nwaits for its certificate from the root; the request:\n{}",
                    settings.swarm,
                    settings.domain,
                    request.to_pem()
                )
            });
        }
        let root = store.root()?;
        let (generation, issuing) = store.issuing()?;
        let lists: Vec<_> = store.bundle(now)?.crls.iter().map(describe_list).collect();
        let value = json!({
            "swarm": settings.swarm, "domain": settings.domain,
            "root": describe(&root), "root_key": key_place(&store.root_key()?),
            "issuing": describe(&issuing), "issuing_generation": generation,
            "authorities": authorities.iter().map(describe_authority).collect::<Vec<_>>(),
            "revocation_lists": lists, "settled": store.is_settled()?, "log": log,
        });
        output.show(&value, || {
            let authorities: Vec<_> = authorities.iter().map(text).collect();
            format!(
                "swarm    {} ({})\n{}\nlog      intact, head {log}",
                settings.swarm,
                settings.domain,
                authorities.join("\n"),
            )
        })
    }
}

fn describe_authority(record: &AuthorityRecord) -> serde_json::Value {
    let mut value = describe(&record.certificate);
    value["id"] = json!(record.id.to_string());
    value["label"] = json!(record.label);
    value["key"] = json!(key_place(&record.key));
    value["issues"] = json!(record.issues);
    value["revoked"] = json!(record.revoked.map(|one| one.reason.to_string()));
    value["revocation_list"] = json!(record.crl.map(|(number, _)| number.to_string()));
    value["next_revocation_list"] = json!(record.crl.map(|(_, next)| next.to_string()));
    value
}

fn text(record: &AuthorityRecord) -> String {
    let mut lines = vec![format!(
        "{:<8} {}{}",
        record.id.to_string(),
        record.certificate.subject(),
        if record.issues { ", issues now" } else { "" }
    )];
    if let Some(revoked) = record.revoked {
        lines.push(format!("revoked at {} ({})", revoked.at, revoked.reason));
    }
    lines.push(format!(
        "until {}, key {}",
        record.certificate.not_after(),
        key_place(&record.key)
    ));
    lines.push(format!("fingerprint {}", record.certificate.fingerprint()));
    if let Some((number, next)) = record.crl {
        lines.push(format!("list {number}, the next one by {next}"));
    }
    lines.join("\n         ")
}

fn key_place(place: &KeyPlace) -> String {
    match place {
        KeyPlace::Stored => "here".to_owned(),
        KeyPlace::StoredEncrypted => "here, encrypted".to_owned(),
        KeyPlace::File(path) => format!("in {}", path.display()),
        _ => "elsewhere".to_owned(),
    }
}
