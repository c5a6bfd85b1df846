"""Makes chains of certificates, good and bad ones, each with what it is about: one JSON line a chain.

Independent of the crate under test: keys, certificates and lists come from pyca/cryptography.
"""

import datetime
import ipaddress
import json
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID

OUT = pathlib.Path(sys.argv[1])
NOW = datetime.datetime.fromtimestamp(int(sys.argv[2]), datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAME = "good.inside.example"
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
}
pool = {}


def key(kind, place):
    """The key of a place in the chain; made once, for RSA takes its time."""
    if (kind, place) not in pool:
        pool[kind, place] = KINDS[kind]()
    return pool[kind, place]


def algorithm(private):
    return None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(**given):
    every = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{one: given.get(one, False) for one in every})


class Authority:
    def __init__(self, title, kind, above=None, *, pathlen=None, period=(-10, 10), ca=True,
                 signs=True, lists=True, constraints=None, critical=False, real_key=True):
        self.name, self.key, self.revoked = name(title), key(kind, title), []
        signer = above or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name).issuer_name(signer.name).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + period[0] * DAY).not_valid_after(NOW + period[1] * DAY)
            .add_extension(x509.BasicConstraints(ca, pathlen if ca else None), True)
            .add_extension(usage(key_cert_sign=signs, crl_sign=lists, digital_signature=True), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        )
        if above:
            aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key())
            builder = builder.add_extension(aki, False)
        if constraints:
            builder = builder.add_extension(constraints, True)
        if critical:
            builder = builder.add_extension(UNKNOWN, True)
        self.certificate = builder.sign(signer.key, algorithm(signer.key))

    def list(self, *, period=(-1, 5), signer=None, critical=False, critical_entry=False):
        signer = signer or self.key
        builder = (
            x509.CertificateRevocationListBuilder().issuer_name(self.name)
            .last_update(NOW + period[0] * DAY).next_update(NOW + period[1] * DAY)
            .add_extension(x509.CRLNumber(7), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        if critical:
            builder = builder.add_extension(UNKNOWN, True)
        serials = [*self.revoked, *([4711] if critical_entry else [])]
        for serial in serials:
            entry = (x509.RevokedCertificateBuilder().serial_number(serial)
                     .revocation_date(NOW - DAY).add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False))
            if serial == 4711:
                entry = entry.add_extension(UNKNOWN, True)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(signer, algorithm(signer))


def leaf(above, kind, *, period=(-5, 5), purposes=(Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH), critical=False,
         names=(NAME,), signer=None, signature=True):
    private = key(kind, "leaf")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("leaf")).issuer_name(above.name).public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + period[0] * DAY).not_valid_after(NOW + period[1] * DAY)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage(digital_signature=signature, key_agreement=not signature), True)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("10.9.8.7"))]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    if critical:
        builder = builder.add_extension(UNKNOWN, True)
    signer = signer or above.key
    return builder.sign(signer, algorithm(signer)), private


def constraints(permitted=None, excluded=None):
    return x509.NameConstraints(permitted, excluded)


DNS, IP = x509.DNSName, lambda text: x509.IPAddress(ipaddress.ip_network(text))

# What is wrong: with the root, with the authority right below it (`top`), with the one that issues the
# leaf (`low`), with the leaf, with the lists. Go's TLS has no lists, and asks clients for no name.
FAULTS = {
    "good": {},
    "good-no-purpose-stated": {"leaf": {"purposes": ()}},
    "good-name-permitted": {"low": {"constraints": constraints([DNS("inside.example"), IP("10.0.0.0/8")])}},
    "expired-leaf": {"leaf": {"period": (-5, -1)}},
    "expired-issuing": {"low": {"period": (-5, -1)}},
    "expired-root": {"root": {"period": (-5, -1)}},
    "early-leaf": {"leaf": {"period": (1, 5)}},
    "early-issuing": {"low": {"period": (1, 5)}},
    "purpose-client-alone": {"leaf": {"purposes": (Purpose.CLIENT_AUTH,)}, "go": True},
    "purpose-server-alone": {"leaf": {"purposes": (Purpose.SERVER_AUTH,)}, "tls": True, "go": False},
    "purpose-code-signing": {"leaf": {"purposes": (Purpose.CODE_SIGNING,)}},
    "name-of-another": {"leaf": {"names": ("other.inside.example",)}, "go": True},
    "name-not-permitted": {"low": {"constraints": constraints([DNS("outside.example"), IP("10.0.0.0/8")])}},
    "name-excluded": {"low": {"constraints": constraints(None, [DNS("inside.example")])}},
    "address-excluded": {"low": {"constraints": constraints(None, [IP("10.9.0.0/16")])}},
    "path-too-long-below-top": {"top": {"pathlen": 0}, "deep": True},
    "path-too-long-below-root": {"root": {"pathlen": 0}, "deep": True},
    "revoked-leaf": {"revoke": "leaf", "go": True},
    "revoked-issuing": {"revoke": "low", "go": True},
    "critical-extension-of-leaf": {"leaf": {"critical": True}},
    "critical-extension-of-issuing": {"low": {"critical": True}},
    "critical-extension-of-list": {"list": {"critical": True}, "go": True},
    "critical-extension-of-list-entry": {"list": {"critical_entry": True}, "go": True},
    "weak-key-of-leaf": {"leaf_kind": "rsa1024", "go": True},
    "weak-key-of-issuing": {"low_kind": "rsa1024", "go": True},
    "issuing-is-no-authority": {"low": {"ca": False}},
    "issuing-signs-no-certificates": {"low": {"signs": False}},
    "issuing-signs-no-lists": {"low": {"lists": False}, "go": True},
    "leaf-signed-by-another": {"forge": "leaf"},
    "list-signed-by-another": {"forge": "list", "go": True},
    "list-missing": {"drop": "low", "go": True},
    "list-of-root-missing": {"drop": "root", "go": True},
    "list-overdue": {"list": {"period": (-5, -1)}, "go": True},
    "list-from-the-future": {"list": {"period": (1, 5)}, "go": True},
    "root-unknown": {"other_root": True},
}


def make(title, kind, deep, fault):
    # A root that is at fault has a name and a key that no good one has: Go's side trusts all roots at once.
    faulty = "root" in fault or "other_root" in fault
    root = Authority(f"root of {title}" if faulty else "root", kind, **fault.get("root", {}))
    above = [root]
    if deep:
        above.append(Authority("top", kind, root, **fault.get("top", {})))
    low = Authority("low", fault.get("low_kind", kind), above[-1], **fault.get("low", {}))
    above.append(low)
    stranger = key(kind, "stranger")
    certificate, private = leaf(
        low, fault.get("leaf_kind", kind), signer=stranger if fault.get("forge") == "leaf" else None,
        **fault.get("leaf", {}))
    if fault.get("revoke") == "leaf":
        low.revoked.append(certificate.serial_number)
    if fault.get("revoke") == "low":
        above[-2].revoked.append(low.certificate.serial_number)
    lists = []
    for authority in above:
        if authority is {"low": low, "root": root}.get(fault.get("drop")):
            continue
        forged = stranger if fault.get("forge") == "list" and authority is low else None
        lists.append(authority.list(signer=forged, **(fault.get("list", {}) if authority is low else {})))
    trusted = Authority(f"root of {title}, another", kind) if fault.get("other_root") else root
    pem = lambda things: b"".join(one.public_bytes(serialization.Encoding.PEM) for one in things)
    folder = OUT / title
    folder.mkdir()
    (folder / "root.pem").write_bytes(pem([trusted.certificate]))
    (folder / "intermediates.pem").write_bytes(pem(one.certificate for one in reversed(above[1:])))
    (folder / "leaf.pem").write_bytes(pem([certificate]))
    (folder / "lists.pem").write_bytes(pem(lists))
    (folder / "chain.pem").write_bytes(pem([certificate, *(one.certificate for one in reversed(above[1:]))]))
    (folder / "key.pem").write_bytes(private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    good = title.split(".")[0].startswith("good")
    tls = fault.get("tls", good)
    print(json.dumps({"case": title, "tls": tls, "go": fault.get("go", good)}), flush=True)


for kind in ("p256", "p384", "ed25519", "rsa2048"):
    for deep in (False, True):
        for title, fault in FAULTS.items():
            if fault.get("deep", deep) == deep:
                make(f"{title}.{kind}.{'deep' if deep else 'flat'}", kind, deep, fault)
