"""`notify:` of the native form -> the model."""

from __future__ import annotations

from bodywork.spec.model import Occasion, Webhook
from bodywork.spec.report import Report
from bodywork.spec.tree import Path
from bodywork.spec.v2_notify import WebhookForm, Webhooks

KEY = "notify"
OPEN = (
    "whoever can read this file can write there: keep the address in a secret "
    "(`bodywork secret set chat WEBHOOK_URL`) and write `notify: {secret: chat}`"
)


def webhooks(said: Webhooks | None, report: Report) -> tuple[Webhook, ...]:
    """Who is told; what is wrong or odd is in the report."""
    if said is None:
        return ()
    if isinstance(said, str):
        report.warn((KEY,), OPEN)
        return (Webhook(url=said),)
    if isinstance(said, WebhookForm):
        return (_webhook(said, (KEY,), report),)
    return tuple(_webhook(one, (KEY, number), report) for number, one in enumerate(said))


def _webhook(form: WebhookForm, path: Path, report: Report) -> Webhook:
    told = any(report.broken((*path, key)) for key in ("secret", "webhook"))
    if (form.secret is None) == (form.webhook is None) and not told:
        wrong = "write either `secret` or `webhook`" + (", not both" if form.secret else "")
        report.error(path, wrong, key=True)
    if not form.on and not report.broken((*path, "on")):
        report.error((*path, "on"), "write at least one of failed, recovered and first-success")
    if form.webhook is not None:
        report.warn((*path, "webhook"), OPEN)
    return Webhook(
        url=form.webhook,
        secret=form.secret,
        key=form.key,
        form=form.form,
        on=tuple(Occasion(one) for one in dict.fromkeys(form.on)),
    )
