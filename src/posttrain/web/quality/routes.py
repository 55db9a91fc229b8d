"""The addresses of the quality pages, all for reviewers."""

from __future__ import annotations

from posttrain.web.quality.item import item_page, settle_item
from posttrain.web.quality.overview import quality_page
from posttrain.web.routes import SecuredRoute, secured


def quality_routes() -> list[SecuredRoute]:
    """The overview, an item with everyone's judgements, and settling it."""
    return [
        secured("/quality", quality_page, role="reviewer"),
        secured("/quality/items/{item_id:int}", item_page, role="reviewer"),
        secured("/quality/items/{item_id:int}/settle", settle_item, role="reviewer", methods=["POST"]),
    ]
