"""The addresses of the pages about people."""

from __future__ import annotations

from posttrain.web.access import Role
from posttrain.web.people.annotators import (
    add_person,
    disable_person,
    enable_person,
    give_role,
    invite_person,
    people_page,
)
from posttrain.web.people.audit_log import audit_page
from posttrain.web.people.sign_in import (
    invite_page,
    open_printed_address,
    set_first_password,
    sign_in_page,
    sign_in_with_password,
    sign_out,
)
from posttrain.web.routes import Endpoint, SecuredRoute, secured

FORM_LIMIT = 8 * 1024
"""Bytes of a form about people; whoever is not signed in can send no more than this."""


def people_routes() -> list[SecuredRoute]:
    """Signing in and out, invites, people, the audit log."""
    return [
        secured("/open", open_printed_address, role="anyone"),
        secured("/login", sign_in_page, role="anyone"),
        _form("/login", sign_in_with_password, "anyone"),
        _form("/logout", sign_out, "annotator"),
        secured("/invite/{secret}", invite_page, role="anyone"),
        _form("/invite/{secret}", set_first_password, "anyone"),
        secured("/annotators", people_page, role="admin"),
        _form("/annotators/add", add_person, "admin"),
        _form("/annotators/invite", invite_person, "admin"),
        _form("/annotators/role", give_role, "admin"),
        _form("/annotators/disable", disable_person, "admin"),
        _form("/annotators/enable", enable_person, "admin"),
        secured("/audit", audit_page, role="admin"),
    ]


def _form(path: str, endpoint: Endpoint, role: Role) -> SecuredRoute:
    return secured(path, endpoint, role=role, methods=["POST"], max_body_bytes=FORM_LIMIT)
