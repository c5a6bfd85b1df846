//! `swarm bus permissions`: what a node may do on the bus, and why.

use serde::Serialize;
use swarm::{Layout, Member};
use swarm_bus::permissions::{AllowResponses, Direction, Grant, Policy, Role};
use swarm_bus::{Pattern, Token};
use swarm_pki::NodeId;

use super::parse_pattern;
use crate::args::Global;
use crate::report::{Failure, Output, chain, table};

/// Show what a node may publish and subscribe to, and by which rules
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  swarm bus permissions\n  \
    swarm bus permissions edge7 --role edge\n  \
    swarm bus permissions --explain swarm.commands.edge1.reboot")]
pub(super) struct Permissions {
    /// Another node than this machine's, with the roles of its certificate or with --role
    id: Option<NodeId>,
    /// A role to judge by in place of the certificate's; several add up
    #[arg(long = "role", value_name = "ROLE", requires = "id", value_parser = parse_role)]
    roles: Vec<Role>,
    /// Say of one subject, or of all that * and > stand for, whether the node may use it and why
    #[arg(long, value_name = "SUBJECT")]
    explain: Option<String>,
}

fn parse_role(text: &str) -> Result<Role, String> {
    let roles = || Role::ALL.map(Role::as_str).join(", ");
    text.parse()
        .map_err(|error| format!("{error}: there are {}", roles()))
}

/// Of whom it is.
struct Subject {
    node: Token,
    roles: Vec<Role>,
}

#[derive(Serialize)]
struct All<'a> {
    node: &'a Token,
    roles: Vec<&'static str>,
    #[serde(flatten)]
    permissions: swarm_bus::permissions::Permissions,
}

#[derive(Serialize)]
struct Explained<'a> {
    node: &'a Token,
    roles: Vec<&'static str>,
    subject: &'a Pattern,
    publish: Verdict,
    subscribe: Verdict,
    answers: Option<AllowResponses>,
}

#[derive(Serialize)]
struct Verdict {
    allowed: bool,
    rules: Vec<String>,
}

impl Permissions {
    pub(super) fn run(
        self,
        global: &Global,
        node: Option<&NodeId>,
        output: Output,
    ) -> Result<(), Failure> {
        let asked = self.explain.as_deref().map(parse_pattern).transpose()?;
        let subject = self.subject(global, node)?;
        match asked {
            Some(asked) => explain(&subject, &asked, output),
            None => show(&subject, output),
        }
    }

    fn subject(&self, global: &Global, node: Option<&NodeId>) -> Result<Subject, Failure> {
        let token =
            |id: &NodeId| Token::parse(id.as_str()).map_err(|error| Failure::input(chain(&error)));
        if let (Some(id), false) = (&self.id, self.roles.is_empty()) {
            return Ok(Subject {
                node: token(id)?,
                roles: self.roles.clone(),
            });
        }
        let member = Member::open(Layout::new(&global.dir)?, node)?;
        let certificate = match &self.id {
            None => member.certificate(),
            Some(id) if id == member.id() => member.certificate(),
            Some(id) => member.tls().trust().node(id).cloned().ok_or_else(|| {
                Failure::input(format!("{id} is not in the roster")).hint(format!(
                    "say what it would be: swarm bus permissions {id} --role edge"
                ))
            })?,
        };
        let identity = certificate.identity();
        Ok(Subject {
            node: token(&identity.id)?,
            roles: identity
                .roles
                .iter()
                .filter_map(|role| role.as_str().parse().ok())
                .collect(),
        })
    }
}

impl Subject {
    fn role_names(&self) -> Vec<&'static str> {
        self.roles.iter().map(|role| role.as_str()).collect()
    }

    fn title(&self) -> String {
        match self.role_names().as_slice() {
            [] => format!("{}, without a role on the bus", self.node),
            roles => format!("{}, {}", self.node, roles.join(" and ")),
        }
    }
}

fn show(subject: &Subject, output: Output) -> Result<(), Failure> {
    let policy = Policy::mesh();
    let permissions = policy.permissions(&subject.node, &subject.roles);
    let grants = policy.grants(&subject.node, &subject.roles);
    let all = All {
        node: &subject.node,
        roles: subject.role_names(),
        permissions,
    };
    output.show(&all, || {
        let allowed = &all.permissions;
        let publish = rows(
            "publish",
            &allowed.publish_allow,
            Direction::Publish,
            &grants,
        );
        let subscribe = rows(
            "subscribe",
            &allowed.subscribe_allow,
            Direction::Subscribe,
            &grants,
        );
        let rows = [publish, subscribe].concat();
        let answers = answers(allowed.allow_responses);
        format!(
            "{}\n\n{}\n\n{answers}",
            subject.title(),
            table(&["may", "subject", "because"], &rows)
        )
    })
}

fn rows(
    verb: &str,
    allowed: &[String],
    direction: Direction,
    grants: &[Grant],
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for pattern in allowed {
        let reasons = grants
            .iter()
            .filter(|grant| grant.direction == direction && grant.pattern.as_str() == pattern)
            .map(|grant| grant.reason.to_string());
        rows.push(vec![
            verb.to_owned(),
            pattern.clone(),
            reasons.collect::<Vec<_>>().join("; "),
        ]);
    }
    rows
}

fn answers(responses: Option<AllowResponses>) -> String {
    match responses {
        Some(allowed) => format!(
            "It may answer each request that reaches it, {} within {}.",
            match allowed.max {
                1 => "once".to_owned(),
                max => format!("{max} times"),
            },
            humantime::format_duration(allowed.expires)
        ),
        None => "It answers no requests.".to_owned(),
    }
}

fn explain(subject: &Subject, asked: &Pattern, output: Output) -> Result<(), Failure> {
    let explanation = Policy::mesh().explain(&subject.node, &subject.roles, asked);
    let verdict = |grants: &[Grant]| Verdict {
        allowed: !grants.is_empty(),
        rules: grants
            .iter()
            .map(|grant| grant.reason.to_string())
            .collect(),
    };
    let explained = Explained {
        node: &subject.node,
        roles: subject.role_names(),
        subject: asked,
        publish: verdict(&explanation.publish),
        subscribe: verdict(&explanation.subscribe),
        answers: explanation.answers,
    };
    output.show(&explained, || {
        let mut lines = vec![format!("{}: {asked}", subject.title())];
        for (verb, verdict) in [
            ("publish", &explained.publish),
            ("subscribe", &explained.subscribe),
        ] {
            match verdict.allowed {
                false => lines.push(format!("{verb:<9}  no: no rule allows it")),
                true => lines.push(format!("{verb:<9}  yes: {}", verdict.rules.join("; "))),
            }
        }
        lines.join("\n")
    })
}
