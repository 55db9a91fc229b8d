"""The app: routes that each say who may use them, behind checks that hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from posttrain.errors import PosttrainError
from posttrain.preferences.store.database import Store
from posttrain.preferences.store.failures import StoreUnavailable
from posttrain.web.access import Access
from posttrain.web.host_check import HostCheck
from posttrain.web.people.routes import people_routes
from posttrain.web.quality.routes import quality_routes
from posttrain.web.ranking.routes import ranking_routes
from posttrain.web.refusals import (
    Refusal,
    answer_failure,
    answer_http_error,
    answer_posttrain_error,
    answer_refusal,
    answer_store_error,
)
from posttrain.web.routes import SecuredRoute, secured
from posttrain.web.security_headers import SecurityHeaders
from posttrain.web.static_files import static_file, static_files


def create_app(store: Store, *, access: Access) -> Starlette:
    """The pages of a store. The caller closes the store."""
    static_files()  # read now, and not while the first visitors wait
    return app_of_routes(
        [
            secured("/static/{path:path}", static_file, role="anyone"),
            *people_routes(),
            *ranking_routes(),
            *quality_routes(),
        ],
        store,
        access,
    )


def app_of_routes(routes: Sequence[BaseRoute], store: Store, access: Access) -> Starlette:
    """An app of these routes, with all checks. TypeError for a route that does not say who may use it."""
    for route in routes:
        if not isinstance(route, SecuredRoute) or not hasattr(route, "role"):
            raise TypeError(
                f"{route!r} does not say who may use it: make it with posttrain.web.routes.secured"
            )
    handlers: Mapping[Any, Any] = {
        Refusal: answer_refusal,
        HTTPException: answer_http_error,
        StoreUnavailable: answer_store_error,
        PosttrainError: answer_posttrain_error,
        Exception: answer_failure,
    }
    app = Starlette(
        routes=list(routes),
        middleware=[Middleware(SecurityHeaders), Middleware(HostCheck, access=access)],
        exception_handlers=handlers,
    )
    # A path with a slash too many is unknown, not a redirect to an address made of the Host header.
    app.router.redirect_slashes = False
    app.state.store = store
    app.state.access = access
    return app
