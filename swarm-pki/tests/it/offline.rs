//! Machines that join by a file, and carriers who change it on the way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use proptest::prelude::*;
use swarm_pki::{
    CertificateRequest, Fingerprint, KeyAlgorithm, PrivateKey, Timestamp, VerifyError,
    enroll::{
        AcceptError, Accepted, AttachmentError, GrantFile, GrantFileError, MAX_ATTACHMENT_BYTES,
        MAX_ATTACHMENTS,
    },
    testing::{TestAuthority, TestNode},
};

const SETTINGS: &[u8] = b"hub = \"10.44.0.1:8443\"\n";

/// An authority, its hub, and a machine that has sent a request.
struct World {
    authority: TestAuthority,
    hub: TestNode,
    edge: TestNode,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let mut authority = TestAuthority::new("fleet");
        let hub = authority.issue("hub", &["hub"]);
        let edge = authority.issue("edge1", &["edge"]);
        let now = authority.start + Duration::from_secs(86_400);
        Self {
            authority,
            hub,
            edge,
            now,
        }
    }

    fn root(&self) -> Fingerprint {
        self.authority.root.certificate().fingerprint()
    }

    fn plain(&mut self) -> GrantFile {
        let issuer = self.authority.issuing.certificate().clone();
        let bundle = self.authority.bundle(self.now);
        GrantFile::new(self.edge.certificate.clone(), issuer, bundle)
    }

    fn file(&mut self) -> GrantFile {
        let mut file = self.plain();
        let (hub, key) = (&self.hub.certificate, &*self.hub.key);
        file.attach("swarm.toml", SETTINGS, hub, key).unwrap();
        file.attach("empty", b"", hub, key).unwrap();
        file
    }

    fn accept(&self, file: GrantFile) -> Result<Accepted, AcceptError> {
        self.accept_for(file, &self.edge.request())
    }

    fn accept_for(
        &self,
        file: GrantFile,
        request: &CertificateRequest,
    ) -> Result<Accepted, AcceptError> {
        file.accept(self.root(), &self.authority.swarm, request, self.now)
    }
}

#[test]
fn a_file_makes_a_machine_a_member() {
    let mut world = World::new();
    let file = world.file();
    let text = file.to_pem().unwrap();
    assert_eq!(GrantFile::from_pem(&text).unwrap(), file);
    // As a mail program delivers it.
    let mailed = format!(
        "Here it is:\r\n\r\n{}\r\nGreetings",
        text.replace('\n', "\r\n")
    );
    let file = GrantFile::from_pem(&mailed).unwrap();
    assert_eq!(file.certificate(), &world.edge.certificate);

    let accepted = world.accept(file).unwrap();
    assert_eq!(accepted.certificate, world.edge.certificate);
    assert_eq!(&accepted.issuer, world.authority.issuing.certificate());
    assert_eq!(accepted.trust.roster().len(), 2);
    assert_eq!(accepted.trust.crls().count(), 2);
    let settings = accepted.attachment("swarm.toml").unwrap();
    assert_eq!(settings.bytes, SETTINGS);
    assert_eq!(settings.signer, world.hub.certificate);
    assert!(accepted.attachment("empty").unwrap().bytes.is_empty());
    assert!(accepted.attachment("other").is_none());
    let chain = accepted.chain().map(|one| one.der().clone());
    assert!(accepted.trust.verify(&chain, world.now).is_ok());
}

#[test]
fn an_issuing_authority_that_only_the_file_names_is_found() {
    let mut world = World::new();
    let issuer = world.authority.issuing.certificate().clone();
    let mut bundle = world.authority.bundle(world.now);
    bundle.issuers.clear();
    bundle.nodes.clear();
    let file = GrantFile::new(world.edge.certificate.clone(), issuer.clone(), bundle);
    assert_eq!(world.accept(file).unwrap().issuer, issuer);
}

#[test]
fn a_file_for_somebody_else_is_refused() {
    let mut world = World::new();
    let swarm = world.authority.swarm.clone();
    let request = world.edge.request();
    let other_root = Fingerprint([7; 32]);
    let refused = world.file().accept(other_root, &swarm, &request, world.now);
    let Err(AcceptError::WrongRoot { expected, found }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((expected, &found[..]), (other_root, &[world.root()][..]));

    let other_swarm = "herd".parse().unwrap();
    let file = world.file();
    let refused = file.accept(world.root(), &other_swarm, &request, world.now);
    assert!(matches!(
        refused,
        Err(AcceptError::Untrusted(VerifyError::WrongSwarm { .. }))
    ));

    let file = world.file();
    let refused = world.accept_for(file, &world.hub.request());
    assert!(matches!(refused, Err(AcceptError::OtherKey("TLS"))));
    let id = world.edge.certificate.id();
    let request = CertificateRequest::build(&*world.edge.key, &swarm, id, [9; 32]).unwrap();
    let file = world.file();
    let refused = world.accept_for(file, &request);
    assert!(matches!(refused, Err(AcceptError::OtherKey("WireGuard"))));
}

#[test]
fn certificates_that_do_not_count_are_refused() {
    let mut world = World::new();
    let file = world.file();
    let (day, request) = (Duration::from_secs(86_400), world.edge.request());
    for (now, early) in [
        (world.now + 60 * day, false),
        (world.authority.start - 400 * day, true),
    ] {
        // Without the lists, which say that it is not so early.
        let mut file = file.clone();
        if early {
            let mut bundle = world.authority.bundle(world.now);
            bundle.crls.clear();
            let issuer = world.authority.issuing.certificate().clone();
            file = GrantFile::new(world.edge.certificate.clone(), issuer, bundle);
        }
        let refused = file.accept(world.root(), &world.authority.swarm, &request, now);
        match refused.unwrap_err() {
            AcceptError::Untrusted(VerifyError::NotYetValid { .. }) => assert!(early),
            AcceptError::Untrusted(VerifyError::Expired { .. }) => assert!(!early),
            other => panic!("{other:?}"),
        }
    }

    let stolen = world.edge.certificate.clone();
    world.authority.revoke(&stolen, world.now);
    let file = world.file();
    assert!(matches!(
        world.accept(file),
        Err(AcceptError::Untrusted(VerifyError::Revoked { .. }))
    ));
}

#[test]
fn another_authority_in_the_issuers_place_is_refused() {
    let mut world = World::new();
    let bundle = world.authority.bundle(world.now);
    let root = world.authority.root.certificate().clone();
    let foreign = TestAuthority::new("fleet").issuing.certificate().clone();
    for issuer in [root, foreign] {
        let file = GrantFile::new(world.edge.certificate.clone(), issuer, bundle.clone());
        assert!(matches!(world.accept(file), Err(AcceptError::OtherIssuer)));
    }
}

#[track_caller]
fn attachment_fault(refused: Result<Accepted, AcceptError>) -> AttachmentError {
    match refused {
        Err(AcceptError::Attachment { label, source }) => {
            assert_eq!(label, "swarm.toml");
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attachment_of_somebody_without_standing_is_refused() {
    let mut world = World::new();
    let stranger = TestAuthority::new("fleet").issue("hub", &["hub"]);
    let mut file = world.plain();
    file.attach(
        "swarm.toml",
        SETTINGS,
        &stranger.certificate,
        &*stranger.key,
    )
    .unwrap();
    let fault = attachment_fault(world.accept(file));
    assert!(
        matches!(
            fault,
            AttachmentError::Signer(VerifyError::UnknownIssuer { .. })
        ),
        "{fault}"
    );

    let stolen = world.hub.certificate.clone();
    world.authority.revoke(&stolen, world.now);
    let file = world.file();
    let fault = attachment_fault(world.accept(file));
    assert!(
        matches!(fault, AttachmentError::Signer(VerifyError::Revoked { .. })),
        "{fault}"
    );
}

#[test]
fn an_attachment_is_good_for_one_certificate_only() {
    let mut world = World::new();
    let text = world.file().to_pem().unwrap();
    let attachment = &text[text.find("-----BEGIN SWARM ATTACHMENT").unwrap()..];
    // Another machine's file, with the first one's attachments put into it.
    let edge2 = world.authority.issue("edge2", &["edge"]);
    let issuer = world.authority.issuing.certificate().clone();
    let bundle = world.authority.bundle(world.now);
    let other = GrantFile::new(edge2.certificate.clone(), issuer, bundle);
    let mixed = GrantFile::from_pem(&(other.to_pem().unwrap() + attachment)).unwrap();
    let fault = attachment_fault(world.accept_for(mixed, &edge2.request()));
    assert_eq!(fault, AttachmentError::Signature);
}

#[test]
fn what_cannot_be_attached_is_said() {
    let mut world = World::new();
    let mut file = world.plain();
    let (hub, key) = (world.hub.certificate.clone(), world.hub.key.clone());
    let mut attach = |label: &str, bytes: &[u8]| file.attach(label, bytes, &hub, &*key);
    for label in ["", "A", "a/b", ".hidden", "..", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(attach(label, b""), Err(AttachmentError::Label), "{label:?}");
    }
    let long = vec![0; MAX_ATTACHMENT_BYTES + 1];
    let refused = attach("long", &long);
    assert_eq!(refused, Err(AttachmentError::TooLong(long.len())));
    attach("longest", &long[1..]).unwrap();
    let refused = attach("longest", b"again");
    assert_eq!(
        refused,
        Err(AttachmentError::RepeatedLabel("longest".into()))
    );
    for n in 1..MAX_ATTACHMENTS {
        attach(&format!("{n}"), b"").unwrap();
    }
    assert_eq!(attach("last", b""), Err(AttachmentError::TooMany));
    let other = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
    let refused = world.plain().attach("x", b"", &hub, &other);
    assert_eq!(refused, Err(AttachmentError::OtherKey));

    let again = GrantFile::from_pem(&file.to_pem().unwrap()).unwrap();
    assert_eq!(again, file);
    assert_eq!(
        world.accept(again).unwrap().attachments.len(),
        MAX_ATTACHMENTS
    );
}

#[test]
fn texts_that_are_no_grant_file_are_named() {
    let mut world = World::new();
    let text = world.file().to_pem().unwrap();
    let read = |text: &str| GrantFile::from_pem(text).unwrap_err();
    assert_eq!(
        read("hello"),
        GrantFileError::Missing("the node's certificate")
    );
    let node = world.edge.certificate.to_pem();
    let missing = GrantFileError::Missing("the issuing authority's certificate");
    assert_eq!(read(&node), missing);
    assert_eq!(
        read(&(node + &world.authority.issuing.certificate().to_pem())),
        GrantFileError::Missing("the trust bundle")
    );
    let issuer = world.authority.issuing.certificate().to_pem();
    assert!(matches!(read(&issuer), GrantFileError::Certificate(_)));
    let cut = &text[..text.len() - 20];
    assert_eq!(read(cut), GrantFileError::CutOff);
    let with_key = text.clone() + &world.edge.key.to_pem();
    assert_eq!(
        read(&with_key),
        GrantFileError::UnexpectedBlock("PRIVATE KEY".into())
    );
    let at = text.find("-----BEGIN SWARM ATTACHMENT").unwrap();
    let twice = text.clone() + &text[at..];
    assert!(matches!(
        read(&twice),
        GrantFileError::Attachment {
            index: 2,
            source: AttachmentError::RepeatedLabel(_)
        }
    ));
    assert!(matches!(
        read(&(text + "-----BEGIN SWARM ATTACHMENT-----\nAAAA\n-----END SWARM ATTACHMENT-----\n")),
        GrantFileError::Attachment {
            index: 2,
            source: AttachmentError::Malformed
        }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_carrier_who_changes_a_byte_changes_nothing_that_is_accepted(
        at in any::<prop::sample::Index>(),
        to in prop_oneof![prop::char::range(' ', '~'), Just('\n')],
    ) {
        let mut world = World::new();
        let file = world.file();
        let genuine = world.accept(file.clone()).unwrap();
        let mut text = file.to_pem().unwrap();
        let at = at.index(text.len());
        text.replace_range(at..=at, to.encode_utf8(&mut [0; 4]));
        if let Ok(accepted) = GrantFile::from_pem(&text).map(|file| world.accept(file))
            && let Ok(accepted) = accepted
        {
            prop_assert_eq!(accepted.certificate, genuine.certificate);
            prop_assert_eq!(accepted.issuer, genuine.issuer);
            // An attachment may be lost, for instance when its border is no border any more.
            for attachment in accepted.attachments {
                prop_assert!(genuine.attachments.contains(&attachment));
            }
        }
    }
}
