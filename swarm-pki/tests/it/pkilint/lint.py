"""Runs pkilint's own programs over many files: arguments in, one JSON line of findings a file.

pyasn1-fasder, the fast decoder that pkilint uses, takes some object identifiers for longer than they
are (2.25.2147483647 fails, 2.25.2147483648 passes); pyasn1's own decoder reads them all.
"""

import contextlib
import io
import json
import sys

import pkilint.document
from pkilint.bin import lint_crl, lint_pkix_cert, lint_pkix_signer_signee_cert_chain
from pyasn1.codec.der.decoder import decode

pkilint.document.decode_der = lambda substrate, asn1Spec: decode(substrate, asn1Spec=asn1Spec)

LINTERS = {
    "certificate": (lint_pkix_cert, []),
    "list": (lint_crl, ["-t", "CRL", "-p", "PKIX"]),
    "pair": (lint_pkix_signer_signee_cert_chain, []),
}

for line in sys.stdin:
    kind, *files = line.split()
    linter, options = LINTERS[kind]
    said, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaints):
        linter.main(["lint", "-f", "JSON", *options, *files])
    # what cannot be read at all is told on standard error, and nothing on standard output
    findings = json.loads(said.getvalue())["results"] if said.getvalue() else None
    print(json.dumps({"findings": findings, "complaints": complaints.getvalue()}), flush=True)
