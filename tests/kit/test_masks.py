"""An update changes what its mask names, and nothing that changed meanwhile."""

from dataclasses import dataclass

import pytest

from hardpoint_kit.errors import InvalidArgument, StaleEtag
from hardpoint_kit.masks import apply_mask, check_etag, etag


@dataclass(frozen=True)
class Card:
    name: str
    title: str
    tags: tuple[str, ...] = ()


OLD = Card("n", "old", ("a",))
NEW = Card("other", "new", ())


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["title"], Card("n", "new", ("a",))),
        (["tags", "tags"], Card("n", "old", ())),
        ([], Card("n", "new", ())),
        (["*"], Card("n", "new", ())),
    ],
)
def test_mask_picks_fields(paths: list[str], expected: Card) -> None:
    assert apply_mask(OLD, NEW, paths, ("title", "tags")) == expected


@pytest.mark.parametrize("path", ["name", "unheard", "title.length", "__class__"])
def test_mask_cannot_name_more_than_is_allowed(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        apply_mask(OLD, NEW, ["title", path], ("title", "tags"))
    assert caught.value.place == "update_mask"
    assert caught.value.fix == "name only tags, title"


def test_etag_follows_the_content() -> None:
    assert etag(OLD) == etag(Card("n", "old", ("a",)))
    assert etag(OLD) != etag(Card("n", "old", ("b",)))


def test_stale_etag_is_refused_and_none_is_not() -> None:
    check_etag("", etag(OLD))
    check_etag(etag(OLD), etag(OLD))
    with pytest.raises(StaleEtag):
        check_etag(etag(NEW), etag(OLD))
