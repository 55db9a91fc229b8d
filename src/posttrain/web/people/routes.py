"""The addresses of the pages about people."""

from __future__ import annotations

from posttrain.web.people.sign_in import (
    invite_page,
    open_printed_address,
    set_first_password,
    sign_in_page,
    sign_in_with_password,
    sign_out,
)
from posttrain.web.routes import SecuredRoute, secured

FORM_LIMIT = 8 * 1024
"""Bytes of a form about people; whoever is not signed in can send no more than this."""


def people_routes() -> list[SecuredRoute]:
    """Signing in and out, invites, people, the audit log."""
    return [
        secured("/open", open_printed_address, role="anyone"),
        secured("/login", sign_in_page, role="anyone"),
        secured("/login", sign_in_with_password, role="anyone", methods=["POST"], max_body_bytes=FORM_LIMIT),
        secured("/logout", sign_out, role="annotator", methods=["POST"], max_body_bytes=FORM_LIMIT),
        secured("/invite/{secret}", invite_page, role="anyone"),
        secured(
            "/invite/{secret}", set_first_password, role="anyone", methods=["POST"], max_body_bytes=FORM_LIMIT
        ),
    ]
