"""Certificates for the servers, made with the openssl command: a private authority and what it signs."""

import ssl
import subprocess


def make_certificates(folder, names):
    """An authority, and two certificates in the directory tls-NAME for each of `names`; the context of a client
    that trusts it."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=soak", "-days", "30")
    (folder / "names.ext").write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
    for name in names:
        directory = folder / f"tls-{name}"
        directory.mkdir()
        for other in ("", ".other"):
            openssl("req", *key, "-keyout", f"{directory}/server.key{other}", "-out", "one.csr", "-subj", "/CN=localhost")
            openssl("x509", "-req", "-in", "one.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-days", "30", "-extfile", "names.ext", "-out", f"{directory}/server.pem{other}")
    return ssl.create_default_context(cafile=folder / "ca.pem")
