"""The key `notify:` of the native form, as it is written: a webhook, or several."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from bodywork.spec.form import Form
from bodywork.spec.values import SENTENCE, SecretKey, SecretName, WebAddress


class WebhookForm(Form):
    """A webhook that is told when a run has failed, and when all is well again."""

    secret: SecretName | None = Field(
        None, description="The secret that holds the webhook's address, which is as good as a password."
    )
    key: SecretKey = Field("WEBHOOK_URL", description="The key of that secret.")
    webhook: WebAddress | None = Field(
        None, description="The address itself, if it may be read by all who can read the repository."
    )
    form: Literal["slack", "json"] = Field(
        "slack",
        description="`slack`: a message, as Slack, Mattermost, Rocket.Chat and others take it. `json`: a "
        "document for programs.",
    )
    on: list[Literal["failed", "recovered", "first-success"]] = Field(
        ["failed", "recovered", "first-success"],
        description="What it is told of: that a run `failed`, that one went well after others that had "
        "not (`recovered`), or for the first time ever (`first-success`).",
    )


def _which(value: Any) -> str | None:
    if isinstance(value, str):
        return "address"
    return "several" if isinstance(value, list) else "one" if isinstance(value, dict) else None


Webhooks = Annotated[
    Annotated[list[WebhookForm], Tag("several")]
    | Annotated[WebhookForm, Tag("one")]
    | Annotated[WebAddress, Tag("address")],
    Discriminator(
        _which,
        custom_error_type=SENTENCE,
        custom_error_message="must be a webhook (`secret: NAME`, or its address), or a list of webhooks",
    ),
]
