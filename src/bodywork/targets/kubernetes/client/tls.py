"""TLS to the API server, with the same answers as kubectl gives."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from bodywork.errors import UsageError
from bodywork.targets.kubernetes.client.access import Certificate, Server


def tls(server: Server, certificate: Certificate | None) -> ssl.SSLContext:
    """What verifies the server and shows the client certificate. Raises UsageError."""
    # not create_default_context: its newer versions refuse authorities that kubectl takes
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if server.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif server.authority is not None:
        _trust(context, server)
    else:
        context.load_default_certs()
    if certificate is not None:
        _show(context, certificate)
    return context


def _trust(context: ssl.SSLContext, server: Server) -> None:
    # an authority that is itself signed by another one is enough for kubectl
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=(server.authority or b"").decode("ascii", "replace"))
    except ssl.SSLError as error:
        raise UsageError(
            f"the `certificate-authority` of the cluster {server.url} holds no certificate",
            hint="get the kubeconfig anew from your cluster",
        ) from error


def _show(context: ssl.SSLContext, certificate: Certificate) -> None:
    """The ssl module reads certificates only from files: one of our own, for a moment."""
    handle, path = tempfile.mkstemp(prefix="bodywork-", suffix=".pem")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate.chain.rstrip() + b"\n" + certificate.key)
        context.load_cert_chain(path, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(
            f"the client certificate of the kubeconfig cannot be used: {error}",
            hint="its key has to belong to it and to be without a password; get the kubeconfig anew",
        ) from error
    finally:
        Path(path).unlink()


def _no_password() -> str:
    """Stands in for the question at the terminal that ssl would ask."""
    raise ValueError("its key is locked with a password")
